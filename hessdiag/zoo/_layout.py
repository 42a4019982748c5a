"""Lay out the recipes of a zoo: grids drawn at random, crossed with widths, decays and seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from hessdiag.moved import renamed_keyword
from hessdiag.zoo import _practice
from hessdiag.zoo._practice import draw_practice_grid, practice_order
from hessdiag.zoo._recipes import Recipe
from hessdiag.zoo.tasks import (
    DEMO_DATASET,
    TASKS,
    list_datasets,
    list_tasks,
    load_dataset,
)

# From starving to lavish. The widest networks of a grid are trained only to measure what widening
# the next narrower ones would gain, and are not labelled themselves.
WIDTHS = {
    "mlp": (2, 4, 8, 24, 72, 216),
    "residual_mlp": (2, 4, 8, 24, 72, 216),
    "cnn1d": (1, 2, 4, 8, 16, 48),
    "cnn2d": (1, 2, 4, 8, 16, 48),
    "attention": (2, 4, 8, 12, 24, 48),
}

# Nothing, some, plenty: decoupled decay acts through the learning rate alone, an L2 penalty through
# momentum too, hence on other scales.
WEIGHT_DECAYS = {"adamw": (0.0, 0.1, 1.0), "sgd": (0.0, 1e-3, 1e-2)}

LEARNING_RATES = {"adamw": {3e-3: 0.7, 1e-3: 0.3}, "sgd": {0.03: 0.5, 0.1: 0.5}}

#: Shares of the families among the grids of a task, by the form of its samples.
FAMILY_SHARES = {
    "tabular": {"mlp": 0.65, "residual_mlp": 0.25, "attention": 0.1},
    "series": {"cnn1d": 0.6, "mlp": 0.2, "residual_mlp": 0.1, "attention": 0.1},
    "image": {"cnn2d": 0.6, "mlp": 0.2, "residual_mlp": 0.1, "attention": 0.1},
}

# Convolutions and attention cost several times what dense layers do: two at most, in short runs.
DEPTHS = {
    "mlp": (1, 2, 3),
    "residual_mlp": (1, 2, 3),
    "cnn1d": (1, 2),
    "cnn2d": (1, 2),
    "attention": (1, 1, 1, 2),
}
N_STEPS = {
    "mlp": {300: 0.7, 1000: 0.27, 2000: 0.03},
    "residual_mlp": {300: 0.7, 1000: 0.27, 2000: 0.03},
    "cnn1d": {300: 0.9, 1000: 0.1},
    "cnn2d": {300: 0.9, 1000: 0.1},
    "attention": {300: 0.9, 1000: 0.1},
}
BATCH_SIZES = {
    "mlp": (32, 128),
    "residual_mlp": (32, 128),
    "cnn1d": (32,),
    "cnn2d": (32,),
    "attention": (32,),
}

# A share of flipped labels, or a variance in units of that of the targets.
LABEL_NOISE = {"classification": (0.0, 0.0, 0.1, 0.25), "regression": (0.0, 0.0, 0.25, 1.0)}


@renamed_keyword("n_groups", "n_grids")
def make_recipes(
    tasks: Sequence[str] | None = None,
    n_grids: int = 1,
    n_seeds: int = 3,
    random_state: int = 0,
    recipes: Literal["plain", "practice"] = "plain",
) -> list[Recipe]:
    """Lay out the recipes of a zoo.

    A grid fixes task, split, label noise, architecture family, depth, activation, normalization,
    dropout, optimizer, learning rate, batch size and training length, each drawn at random; its
    members cross every width with every weight decay and every seed, because a label compares
    networks of one grid. Grids come round by round over the tasks, real data sets before their
    sub-tasks and before generated tasks, so that a build that was stopped early still covers all
    of them.

    Families are drawn among those that suit the form of a task's samples. Of plain recipes, two of
    three grids on tables are plain MLPs, the others residual MLPs and attention nets; three of
    five on series and images are CNNs. Most grids have neither normalization (seven of ten) nor
    dropout (four of five).

    Recipes of practice are what people train on images, series, tokens and now and then tables:
    convolutional, residual, recurrent and attention networks; SGD with momentum and AdamW, at a
    constant or a cosine learning rate; batch and layer norms, dropout, augmentation, bodies that
    were trained before. A fifth of the grids stop after few steps; a third are trained to memorize
    few samples with noisy labels, narrow networks too. A grid has four widths and two weight
    decays; the forms of samples take turns within a round.

    Parameters
    ----------
    tasks : list of str or None, default=None
        Tasks to use, as from `list_tasks`; None takes all that it lists for these recipes, and
        for those of practice one of sixteen tables.
    n_grids : int, default=1
        Grids for each task.
    n_seeds : int, default=3
        Networks for each configuration; labels are averages over them.
    random_state : int, default=0
        Seed of the draws. A larger `n_grids` keeps the grids of a smaller one, and more tasks
        keep those of fewer.
    recipes : {"plain", "practice"}, default="plain"
        What is drawn.

    Returns
    -------
    list of Recipe
        In the order in which they are best trained.

    Raises
    ------
    ValueError
        If fewer than 2 seeds or no grid are asked for, or a task of the demo's data set is, or a
        task or kind of recipes that is not known.

    Examples
    --------
    >>> from hessdiag.zoo import make_recipes
    >>> recipes = make_recipes(["iris"])
    >>> len(recipes)
    54
    """
    if n_grids < 1 or n_seeds < 2:
        raise ValueError(
            f"Expected n_grids >= 1 and n_seeds >= 2 (labels need a standard error over seeds), "
            f"found n_grids={n_grids} and n_seeds={n_seeds}. Ask for more."
        )
    if recipes not in ("plain", "practice"):
        raise ValueError(
            f"Expected recipes among plain, practice, found {recipes!r}. Pass one of these."
        )
    known = [
        load_dataset(name) for name in (list_tasks(recipes=recipes) if tasks is None else tasks)
    ]
    kept_aside = [task.name for task in known if task.parent == DEMO_DATASET]
    if kept_aside:
        raise ValueError(
            f"Expected tasks of other data sets than {DEMO_DATASET!r}, which is kept aside for the "
            f"demo, found {', '.join(kept_aside)}. Leave them out of `tasks`."
        )
    unsuited = [task.name for task in known if recipes == "plain" and not TASKS[task.name].plain]
    if unsuited:
        raise ValueError(
            f"Expected tasks of plain recipes, found {', '.join(unsuited)}, which only recipes of "
            "practice use. Leave them out of `tasks`, or pass recipes='practice'."
        )
    real = set(list_datasets())
    known.sort(key=lambda task: (task.name not in real, task.parent not in real))
    if recipes == "practice":
        known = practice_order([t for t in known if tasks is not None or _is_of_practice(t)])
    laid_out = []
    for round_ in range(n_grids):
        for task in known:
            if recipes == "practice":
                base, widths, decays = draw_practice_grid(task, round_, random_state)
            else:
                base = _draw_grid(task, round_, random_state)
                widths, decays = WIDTHS[base.family], WEIGHT_DECAYS[base.optimizer]
            laid_out += [
                replace(base, width=width, weight_decay=decay, seed=seed)
                for width in widths
                for decay in decays
                for seed in range(n_seeds)
            ]
    return laid_out


def choose_tasks(
    names: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    recipes: Literal["plain", "practice"] = "practice",
) -> list[str] | None:
    """Choose tasks by their own names and by what they belong to.

    Parameters
    ----------
    names : list of str or None, default=None
        Tasks to take.
    datasets : list of str or None, default=None
        Real data sets and families of generated tasks, all of whose tasks to take besides.
    recipes : {"plain", "practice"}, default="practice"
        Which recipes use these tasks, as for `list_tasks`.

    Returns
    -------
    tasks : list of str or None
        Names without repetition; None, which `make_recipes` reads as all, where neither was given.

    Raises
    ------
    ValueError
        If no task belongs to one of the data sets.
    """
    if names is None and datasets is None:
        return None
    chosen = list(names or [])
    usable = set(list_tasks(include_demo=True, recipes=recipes))
    for parent in datasets or []:
        children = [name for name in TASKS if name in usable and TASKS[name].parent == parent]
        if not children:
            known = sorted({TASKS[name].parent for name in usable})
            raise ValueError(
                "Expected a data set of hessdiag.zoo.list_datasets() or a family of generated "
                f"tasks, found {parent!r}. Name one of these: {', '.join(known)}."
            )
        chosen += children
    return list(dict.fromkeys(chosen))


def _is_of_practice(task):
    """Say whether a task is no table, or one of the few tables that stand for all."""
    digest = hashlib.blake2b(task.name.encode(), digest_size=4).digest()
    return task.form != "tabular" or int.from_bytes(digest) % 16 == 0


def narrowest_width(family: str) -> int:
    """Return the least width that the zoo has of a family.

    Parameters
    ----------
    family : str
        The family.

    Returns
    -------
    width : int
        Its least width.
    """
    return min((*WIDTHS.get(family, ()), *_practice.WIDTHS.get(family, ())))


def _draw_grid(task, round_, random_state):
    """Draw the fields that a grid's members share."""

    def draw(field, choices):
        # A generator for each field, seeded by its name and the task's, so that adding a task, or
        # a field, or another choice of one field leaves all the rest as it was.
        digest = hashlib.blake2b(f"{task.name}/{field}".encode(), digest_size=4).digest()
        rng = np.random.default_rng([random_state, round_, int.from_bytes(digest)])
        shares = list(choices.values()) if isinstance(choices, dict) else None
        return list(choices)[rng.choice(len(choices), p=shares)]

    family = draw("family", FAMILY_SHARES[task.form])
    optimizer = draw("optimizer", {"adamw": 0.7, "sgd": 0.3})
    normalization = draw("normalization", {"none": 0.7, "layer": 0.15, "batch": 0.15})
    return Recipe(
        dataset=task.name,
        n_train=draw("n_train", (100, 300, 1000, 2000)),
        label_noise=draw("label_noise", LABEL_NOISE[task.kind]),
        family=family,
        depth=draw("depth", DEPTHS[family]),
        activation=draw("activation", ("relu", "relu", "tanh", "gelu")),
        width=0,
        weight_decay=0.0,
        learning_rate=draw("learning_rate", LEARNING_RATES[optimizer]),
        n_steps=draw("n_steps", N_STEPS[family]),
        batch_size=draw("batch_size", BATCH_SIZES[family]),
        split_seed=round_,
        optimizer=optimizer,
        # An attention block is hard to train without.
        normalization="layer" if family == "attention" else normalization,
        dropout=draw("dropout", {0.0: 0.8, 0.1: 0.1, 0.3: 0.1}),
    )
