"""Grids of what people train: schedules, augmentation, norms, runs cut short, memorizing ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from hessdiag.zoo._augmentation import AUGMENTATIONS
from hessdiag.zoo._recipes import Recipe
from hessdiag.zoo.networks import FAMILIES

#: Shares of the families among the grids of a task, by the form of its samples.
FAMILY_SHARES = {
    "image": {
        "cnn2d": 0.25,
        "cnn2d_global": 0.15,
        "resnet": 0.2,
        "transformer": 0.15,
        "gru": 0.15,
        "mixer": 0.1,
    },
    "series": {
        "cnn1d": 0.25,
        "cnn1d_global": 0.15,
        "resnet1d": 0.15,
        "gru": 0.2,
        "lstm": 0.1,
        "transformer": 0.15,
    },
    "tokens": {"textcnn": 0.25, "gru": 0.25, "lstm": 0.2, "transformer": 0.3},
    "tabular": {"mlp": 1.0},
}

#: From starving to lavish; the widest are trained for comparison alone.
WIDTHS = {
    "mlp": (4, 16, 64, 216),
    "cnn1d": (1, 4, 12, 40),
    "cnn2d": (1, 4, 12, 40),
    "cnn1d_global": (2, 6, 16, 48),
    "cnn2d_global": (2, 6, 16, 48),
    "resnet": (2, 4, 8, 16),
    "resnet1d": (2, 4, 10, 24),
    "gru": (2, 6, 16, 48),
    "lstm": (2, 6, 16, 48),
    "transformer": (4, 8, 16, 40),
    "mixer": (4, 8, 16, 40),
    "textcnn": (2, 6, 16, 48),
}

#: Of grids that memorize: the narrowest, too, can learn some samples by heart.
MEMORIZING_WIDTHS = {
    "cnn1d": (2, 4, 12, 40),
    "cnn2d": (2, 4, 12, 40),
    "cnn1d_global": (3, 6, 16, 48),
    "cnn2d_global": (3, 6, 16, 48),
    "gru": (4, 8, 20, 48),
    "lstm": (4, 8, 20, 48),
    "transformer": (8, 12, 20, 40),
    "mixer": (8, 12, 20, 40),
    "textcnn": (3, 6, 16, 48),
}

DEPTHS = {
    "mlp": (2, 3),
    "cnn1d": (1, 2, 2),
    "cnn2d": (1, 2, 2),
    "cnn1d_global": (2, 3),
    "cnn2d_global": (2, 3),
    "resnet": (1, 1, 2),
    "resnet1d": (1, 1, 2),
    "gru": (1,),
    "lstm": (1,),
    "transformer": (1, 1, 2),
    "mixer": (1, 2),
    "textcnn": (1,),
}

ACTIVATIONS = {
    "gru": {"tanh": 1.0},
    "lstm": {"tanh": 1.0},
    "transformer": {"gelu": 1.0},
    "mixer": {"gelu": 1.0},
    None: {"relu": 0.8, "gelu": 0.2},
}

NORMALIZATIONS = {
    "resnet": {"batch": 0.8, "layer": 0.1, "none": 0.1},
    "resnet1d": {"batch": 0.8, "layer": 0.1, "none": 0.1},
    "gru": {"none": 1.0},
    "lstm": {"none": 1.0},
    "transformer": {"layer": 1.0},
    "mixer": {"layer": 1.0},
    "mlp": {"batch": 0.6, "layer": 0.2, "none": 0.2},
    None: {"none": 0.45, "batch": 0.4, "layer": 0.15},
}

#: Optimizer and schedule. What has attention or gates is hardly ever trained by SGD, and learns
#: nothing by heart that way in so few steps.
GATED = ("gru", "lstm", "transformer", "mixer")
METHODS = {"sgd cosine": 0.35, "adamw constant": 0.35, "adamw cosine": 0.2, "sgd constant": 0.1}
GATED_METHODS = {
    "memorizing": {"adamw constant": 0.6, "adamw cosine": 0.4},
    "ordinary": {"adamw constant": 0.5, "adamw cosine": 0.35, "sgd cosine": 0.15},
    "undertrained": {"adamw constant": 0.5, "adamw cosine": 0.35, "sgd cosine": 0.15},
}

#: How grids are trained, and their shares.
REGIMES = {"memorizing": 0.35, "ordinary": 0.45, "undertrained": 0.2}

N_TRAIN = {
    "memorizing": (100, 150, 200, 300),
    "ordinary": (200, 500, 1000, 2000),
    "undertrained": (200, 500, 1000),
}

# A share of flipped labels, or a variance in units of that of the targets.
LABEL_NOISE: dict[str, dict[str, tuple[float, ...]]] = {
    "memorizing": {"classification": (0.25, 0.35, 0.5), "regression": (0.5, 1.0, 2.0)},
    "ordinary": {"classification": (0.0, 0.0, 0.1, 0.25), "regression": (0.0, 0.0, 0.25, 1.0)},
    "undertrained": {"classification": (0.0, 0.0, 0.1, 0.25), "regression": (0.0, 0.0, 0.25, 1.0)},
}

LEARNING_RATES: dict[str, dict[str, tuple[float, ...]]] = {
    "memorizing": {"adamw": (3e-3, 1e-2), "sgd": (0.05, 0.1)},
    "ordinary": {"adamw": (1e-3, 3e-3), "sgd": (0.03, 0.1)},
    "undertrained": {"adamw": (1e-3, 3e-3), "sgd": (0.01, 0.03, 0.1)},
}

N_STEPS = {
    "memorizing": (1500, 1500, 2000),
    "ordinary": (200, 400, 600),
    "undertrained": (10, 20, 40, 60),
}

#: The two weight decays of a grid.
LEAST_DECAYS = {"adamw": (0.0, 0.01), "sgd": (0.0, 5e-4)}
MOST_DECAYS = {"adamw": {0.1: 0.5, 1.0: 0.5}, "sgd": {1e-3: 0.5, 1e-2: 0.5}}

#: Of ordinary grids; tokens have no samples to be trained on before.
PRETRAINING = {"none": 0.75, "frozen": 0.17, "tuned": 0.08}

#: Longest runs of the families whose steps take several times those of the others.
LONGEST_SLOW = {"lstm": {"memorizing": 1500, "ordinary": 600}} | {
    family: {"memorizing": 1000, "ordinary": 400}
    for family in ("gru", "transformer", "mixer", "resnet", "resnet1d")
}

#: Most samples that these memorize in so few steps.
MOST_MEMORIZED = dict.fromkeys(LONGEST_SLOW, 150)


def draw_practice_grid(task, round_: int, random_state: int) -> tuple[Recipe, Sequence, Sequence]:
    """Draw the fields that a grid's members share, its widths and its weight decays.

    Parameters
    ----------
    task : Dataset
        The task.
    round_ : int
        Number of the grid among those of the task.
    random_state : int
        Seed of the draws.

    Returns
    -------
    base : Recipe
        A recipe without width and weight decay.
    widths : tuple of int
        In ascending order.
    decays : tuple of float
        In ascending order.
    """

    def draw(field, choices):
        # A generator for each field, so that another choice of one leaves all the rest as it was.
        digest = hashlib.blake2b(f"practice/{task.name}/{field}".encode(), digest_size=4).digest()
        point = np.random.default_rng([random_state, round_, int.from_bytes(digest)]).random()
        names = list(choices)
        shares = (
            [choices[name] for name in names] if isinstance(choices, dict) else [1] * len(names)
        )
        ends = np.cumsum(shares) / np.sum(shares)
        return names[min(int(np.searchsorted(ends, point, side="right")), len(names) - 1)]

    family = draw("family", _available(task.form))
    regime = draw("regime", REGIMES)
    optimizer, schedule = draw(
        "method", GATED_METHODS[regime] if family in GATED else METHODS
    ).split()
    noise = draw("label_noise", LABEL_NOISE[regime][task.kind])
    if task.kind == "classification" and task.n_classes == 2:
        noise = min(noise, 0.35)  # half of them flipped would leave nothing to learn
    n_steps = draw("n_steps", N_STEPS[regime])
    n_steps = min(n_steps, LONGEST_SLOW.get(family, {}).get(regime, n_steps))
    dropout = draw("dropout", {0.0: 0.6, 0.1: 0.2, 0.3: 0.2})
    augmentation = draw("augmented", {False: 0.65, True: 0.35})
    pretraining = draw("pretraining", PRETRAINING)
    if regime != "ordinary" or task.form == "tokens":
        pretraining = "none"
    rates = LEARNING_RATES["memorizing" if pretraining == "frozen" else regime][optimizer]
    kind = draw("augmentation", AUGMENTATIONS[task.form])
    least = draw("least_decay", LEAST_DECAYS[optimizer])
    widths, n_train = WIDTHS[family], draw("n_train", N_TRAIN[regime])
    if regime == "memorizing":
        widths = MEMORIZING_WIDTHS.get(family, widths)
        n_train = min(n_train, MOST_MEMORIZED.get(family, n_train))
        # Nothing that would keep a network from learning each sample by heart.
        dropout, augmentation, least = 0.0, False, 0.0
    base = Recipe(
        dataset=task.name,
        n_train=n_train,
        label_noise=noise,
        family=family,
        depth=draw("depth", DEPTHS[family]),
        activation=draw("activation", ACTIVATIONS.get(family, ACTIVATIONS[None])),
        width=0,
        weight_decay=0.0,
        learning_rate=draw("learning_rate", rates),
        n_steps=n_steps,
        batch_size=draw("batch_size", (32, 32, 64)),
        split_seed=round_,
        optimizer=optimizer,
        normalization=draw("normalization", NORMALIZATIONS.get(family, NORMALIZATIONS[None])),
        dropout=dropout,
        schedule=schedule,
        augmentation=kind if augmentation else "none",
        pretraining=pretraining,
    )
    return base, widths, (least, draw("most_decay", MOST_DECAYS[optimizer]))


def practice_order(tasks):
    """Return tasks with the forms taking turns, so that a build stopped early has seen them all."""
    of_form = {form: [task for task in tasks if task.form == form] for form in FAMILY_SHARES}
    place = {
        task.name: (index + 0.5) / len(members)
        for members in of_form.values()
        for index, task in enumerate(members)
    }
    return sorted(tasks, key=lambda task: place[task.name])


def _available(form):
    """Shares of the families that are there."""
    return {name: share for name, share in FAMILY_SHARES[form].items() if name in FAMILIES}
