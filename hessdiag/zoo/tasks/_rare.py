"""Tasks with a rare class: one class to be told from all others, or most of a class left out."""

from __future__ import annotations

import numpy as np

from hessdiag.zoo.tasks._dataset import Task, make_classification_dataset, task_seed
from hessdiag.zoo.tasks._real import SHAPES, read_samples
from hessdiag.zoo.tasks._sklearn import RARE_CLUSTERS

#: Classes, as the parent labels them, that tasks ``<parent>-detect-<class>`` tell from all others.
DETECTED = {
    "contraceptive": "2",
    "letter": "Q",
    "marketing": "9",
    "mnist1d": "3",
    "movement_libras": "9",
    "optdigits": "8",
    "penbased": "5",
    "satimage": "4",
    "splice": "EI",
}

#: The class of a two-class parent that is rare in task ``<parent>-rare``, and how many of its
#: samples are kept: 2 to 12 % of the task's.
RARE = {
    "banana": ("1.0", 150),
    "chess": ("nowin", 90),
    "crx": ("positive", 40),
    "german": ("2", 80),
    "ionosphere": ("b", 30),
    "magic": ("h", 250),
    "mammographic": ("1", 45),
    "mushroom": ("p", 400),
    "phoneme": ("1", 400),
    "ring": ("1", 120),
    "saheart": ("1", 40),
    "spambase": ("1", 150),
    "tic-tac-toe": ("negative", 50),
    "titanic": ("1.0", 165),
    "twonorm": ("0", 410),
    "wdbc": ("M", 30),
}


def make_detection(name, parent, detected):
    """Return a real set in the form of the parent, its classes but one taken together."""
    frame, labels = read_samples(parent)
    return make_classification_dataset(
        name, parent, frame, labels == detected, shape=SHAPES.get(parent)
    )


def make_rare(name, parent, rare, n_kept):
    """Return a real set of which a few samples of one class, drawn at random, are kept."""
    frame, labels = read_samples(parent)
    of_class = np.flatnonzero(labels == rare)
    kept = np.random.default_rng(task_seed(name)).choice(of_class, n_kept, replace=False)
    rows = np.union1d(np.flatnonzero(labels != rare), kept)
    return make_classification_dataset(
        name, parent, frame.iloc[rows], labels[rows], shape=SHAPES.get(parent)
    )


RARE_TASKS = {
    f"{parent}-detect-{detected}": Task(parent, make_detection, {"detected": detected})
    for parent, detected in DETECTED.items()
}
RARE_TASKS |= {
    f"{parent}-rare": Task(parent, make_rare, {"rare": rare, "n_kept": n_kept})
    for parent, (rare, n_kept) in RARE.items()
}


def has_rare_class(name: str) -> bool:
    """Say whether a task is one of those with a rare class: these, and generated ones.

    Parameters
    ----------
    name : str
        Name of a task.

    Returns
    -------
    bool
        Whether it has one.
    """
    return name in RARE_TASKS or name in RARE_CLUSTERS
