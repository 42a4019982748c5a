"""Recipe: all that determines one zoo network, frozen, with a stable id."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, dataclass, fields

from hessdiag.moved import warn_of_old_name


@dataclass(frozen=True, order=True)
class Recipe:
    """All that determines one zoo network.

    Ids hash the fields without a default and those that differ from theirs, so that a field added
    later leaves the ids of earlier recipes as they were.

    Parameters
    ----------
    dataset : str
        Name of the task: one of `list_tasks`.
    n_train : int
        Training samples asked for (at most half of the set is used).
    label_noise : float
        Share of training labels that is flipped; for regression, the variance of the Gaussian
        noise on the training targets, in units of theirs.
    family : str
        Architecture family: "mlp", "residual_mlp", "cnn1d", "cnn2d", "attention", or another one
        of `hessdiag.zoo.networks`.
    depth : int
        Number of hidden layers, blocks or convolutions.
    activation : {"relu", "tanh", "gelu"}
        Activation.
    width : int
        Units of each hidden layer, channels of each convolution, or size of each token.
    weight_decay : float
        Decoupled weight decay of AdamW, or L2 penalty of SGD.
    learning_rate : float, default=3e-3
        Learning rate.
    n_steps : int, default=1000
        Number of optimizer steps, rounded up to whole epochs.
    batch_size : int, default=32
        Samples of each step.
    split_seed : int, default=0
        Seed of the division into training and held-out samples, and of the label noise.
    seed : int, default=0
        Seed of the initial weights, of the order of the batches and of dropout.
    optimizer : {"adamw", "sgd"}, default="adamw"
        AdamW, or SGD with momentum 0.9.
    normalization : {"none", "layer", "batch"}, default="none"
        Normalization of hidden layers.
    dropout : float, default=0.0
        Share of hidden units that is dropped in training.
    schedule : {"constant", "cosine"}, default="constant"
        Learning rate of the steps: the same for all, or falling to zero along half a cosine.
    augmentation : {"none", "jitter", "shift", "flip", "swap"}, default="none"
        How each batch is altered in training; samples keep their labels. By Gaussian noise, by
        moving series or images by a few positions, by mirroring images, or by repeating tokens of
        a sample in other places.
    pretraining : {"none", "frozen", "tuned"}, default="none"
        Whether all but the head was trained before, on generated samples of the same shape; it
        then stays as it is, or is trained on.

    Examples
    --------
    >>> from hessdiag.zoo import Recipe
    >>> Recipe("iris", 100, 0.1, "mlp", 2, "relu", 8, 0.1).id
    '56a6ffc3d9828252'
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
    optimizer: str = "adamw"
    normalization: str = "none"
    dropout: float = 0.0
    schedule: str = "constant"
    augmentation: str = "none"
    pretraining: str = "none"

    @property
    def id(self) -> str:
        """str : 16 hexadecimal digits that follow from the fields alone."""
        return self._hash(())

    @property
    def grid(self) -> str:
        """str : Hash of all fields but width, weight decay and seed: what labels compare."""
        return self._hash(("width", "weight_decay", "seed"))

    @property
    def group(self) -> str:
        """str : Old name of `grid`."""
        warn_of_old_name("group", "grid", "attribute of Recipe")
        return self.grid

    @property
    def config(self) -> str:
        """str : Hash of all fields but the seed: the unit that a label belongs to."""
        return self._hash(("seed",))

    def _hash(self, without):
        """16 hexadecimal digits of the canonical JSON of the fields that say something."""
        content = {
            name: getattr(self, name)
            for name, default in _DEFAULTS
            if name not in without and (default is MISSING or getattr(self, name) != default)
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


_DEFAULTS = tuple((field.name, field.default) for field in fields(Recipe))
