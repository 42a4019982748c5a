"""Recipe: all that determines one zoo network, frozen, with a stable id."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

import numpy as np

from hessdiag.zoo._datasets import DEMO_DATASET, list_datasets

# From starving to lavish. The widest networks of a group are trained only to measure what widening
# the next narrower ones would gain, and are not labelled themselves.
WIDTHS = (2, 4, 8, 24, 72, 216)
WEIGHT_DECAYS = (0.0, 0.1, 1.0)


@dataclass(frozen=True, order=True)
class Recipe:
    """All that determines one zoo network.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    n_train : int
        Training samples asked for (at most half of the set is used).
    label_noise : float
        Share of training labels that is flipped.
    family : str
        Architecture family; ``"mlp"``.
    depth : int
        Number of hidden layers.
    activation : str
        ``"relu"``, ``"tanh"`` or ``"gelu"``.
    width : int
        Units of each hidden layer.
    weight_decay : float
        Decoupled weight decay of AdamW.
    learning_rate : float
        Learning rate of AdamW.
    n_steps : int
        Number of optimizer steps, rounded up to whole epochs.
    batch_size : int
        Samples of each step.
    split_seed : int
        Seed of the division into training and held-out samples, and of the label noise.
    seed : int
        Seed of the initial weights and of the order of the batches.
    """

    dataset: str
    n_train: int
    label_noise: float
    family: str
    depth: int
    activation: str
    width: int
    weight_decay: float
    learning_rate: float = 3e-3
    n_steps: int = 1000
    batch_size: int = 32
    split_seed: int = 0
    seed: int = 0

    @property
    def id(self):
        """str : 16 hexadecimal digits that follow from the fields alone."""
        return _short_hash(asdict(self))

    @property
    def group(self):
        """str : Hash of all fields but width, weight decay and seed: what labels compare."""
        return _short_hash(asdict(replace(self, width=0, weight_decay=0.0, seed=0)))

    @property
    def config(self):
        """str : Hash of all fields but the seed: the unit that a label belongs to."""
        return _short_hash(asdict(replace(self, seed=0)))


def make_recipes(datasets=None, n_groups=3, n_seeds=3, random_state=0):
    """Lay out the recipes of a zoo.

    A group fixes data set, split, label noise, depth, activation and training length, drawn at
    random; its members cross every width with every weight decay and every seed, because a label
    compares networks of one group. Groups come round by round over the data sets, so that a build
    that was stopped early still covers all of them.

    Parameters
    ----------
    datasets : list of str or None, default=None
        Data sets to use; None takes all but the demo's.
    n_groups : int, default=3
        Groups for each data set.
    n_seeds : int, default=3
        Networks for each configuration; labels are averages over them.
    random_state : int, default=0
        Seed of the draws. A larger ``n_groups`` keeps the groups of a smaller one.

    Returns
    -------
    recipes : list of Recipe
        In the order in which they are best trained.

    Raises
    ------
    ValueError
        If fewer than 2 seeds or no group are asked for, or the demo's data set is.

    Examples
    --------
    >>> from hessdiag.zoo import make_recipes
    >>> recipes = make_recipes(["iris"], n_groups=1)
    >>> len(recipes)
    54
    """
    if n_groups < 1 or n_seeds < 2:
        raise ValueError(
            f"Expected n_groups >= 1 and n_seeds >= 2 (labels need a standard error over seeds), "
            f"found n_groups={n_groups} and n_seeds={n_seeds}."
        )
    datasets = list_datasets() if datasets is None else list(datasets)
    if DEMO_DATASET in datasets:
        raise ValueError(
            f"The data set {DEMO_DATASET!r} is kept aside for the demo and must not be in a zoo. "
            "Leave it out of `datasets`."
        )
    recipes = []
    for round_ in range(n_groups):
        for name in datasets:
            # A seed of the name itself, so that adding a data set leaves the others as they were.
            digest = hashlib.blake2b(name.encode(), digest_size=4).digest()
            rng = np.random.default_rng([random_state, round_, int.from_bytes(digest)])
            base = Recipe(
                dataset=name,
                n_train=int(rng.choice([100, 300, 1000, 2000])),
                label_noise=float(rng.choice([0.0, 0.0, 0.1, 0.25])),
                family="mlp",
                depth=int(rng.choice([1, 2, 3])),
                activation=str(rng.choice(["relu", "relu", "tanh", "gelu"])),
                width=0,
                weight_decay=0.0,
                n_steps=int(rng.choice([300, 1000])),
                split_seed=round_,
            )
            recipes += [
                replace(base, width=width, weight_decay=decay, seed=seed)
                for width in WIDTHS
                for decay in WEIGHT_DECAYS
                for seed in range(n_seeds)
            ]
    return recipes


def _short_hash(fields):
    """16 hexadecimal digits of the canonical JSON of some fields."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
