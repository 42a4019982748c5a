"""Sub-tasks of real sets: some of the classes, half of the features, or one column from the rest.

What each takes was chosen once, from the data, and stands here as tables.
"""

from __future__ import annotations

import numpy as np

from hessdiag.zoo.tasks._dataset import Task, make_classification_dataset, make_regression_dataset
from hessdiag.zoo.tasks._real import SHAPES, make_real, read_samples

#: Classes, as the parent labels them, of sub-tasks ``<parent>-classes-1``, ``-2``.
CLASSES = {
    "letter": ["B D E P R S", "H K M N U V W X"],
    "led7digit": ["0 2 3 6 8 9", "1 4 5 7"],
    "marketing": ["1 5 9", "2 4 6 8"],
    "mnist1d": ["0 3 6 8 9", "1 2 4 5 7"],
    "movement_libras": ["1 3 5 8 12 15", "2 4 6 9 14"],
    "optdigits": ["1 4 7 9", "0 3 5 6 8"],
    "penbased": ["0 5 8 9", "1 2 7"],
    "satimage": ["3 4 7", "1 2 5"],
    "segment": ["3 4 5", "1 2 6 7"],
    "vowel": ["0 1 2 3 4", "5 6 7 8 9 10"],
}

#: Columns of sub-tasks ``<parent>-features``: about half of them, drawn at random, none constant.
FEATURES = {
    "bands": "1 2 4 7 10 11 13 14 16",
    "chess": "1 2 4 5 7 9 10 16 17 19 20 21 22 24 26 27 31 33",
    "crx": "0 1 3 4 6 7 12",
    "german": "0 1 5 7 9 11 12 14 17 18",
    "heart": "3 6 7 9 10 11",
    "housevotes": "0 1 2 8 9 11 12 13",
    "letter": "0 3 5 7 9 10 11 12",
    "marketing": "5 6 9 10 11 12",
    "mushroom": "0 1 2 7 8 9 11 13 17 20 21",
    "ring": "2 4 6 7 10 11 12 13 16 17",
    "satimage": "0 1 2 4 6 7 10 12 13 16 18 21 23 24 26 28 33 35",
    "segment": "5 7 8 10 11 13 15 16 18",
    "spambase": "0 1 2 5 6 8 10 11 17 19 20 22 25 28 29 31 32 34 35 36 37 41 42 43 47 48 50 53",
    "splice": "0 3 7 9 10 13 14 15 16 17 21 24 30 33 34 36 37 38 39 40 41 43 44 46 47 49 51 52 53",
    "twonorm": "2 3 5 6 7 10 12 13 14 19",
    "vehicle": "0 1 3 4 6 7 8 10 14",
    "vowel": "1 2 5 6 11 12",
    "wdbc": "0 4 5 9 10 11 12 15 17 18 20 21 22 23 29",
    "wine": "0 3 5 8 9 12",
}

#: Columns that sub-tasks ``<parent>-predict-<column>`` predict. Each has at least 15 values, none
#: of which more than three in ten samples share, correlates with no other column beyond 0.92, and
#: has a variance that extra trees on the other columns explain in part: 0.2 to 0.98 of it.
PREDICTED = {
    "bupa": ["x3"],
    "ionosphere": ["x6", "x12"],
    "letter": ["x7", "x8"],
    "magic": ["x2", "x9"],
    "penbased": ["x2", "x10"],
    "phoneme": ["x1", "x3"],
    "pima": ["x1"],
    "saheart": ["x3"],
    "segment": ["x0"],
    "sonar": ["x42"],
    "vehicle": ["x0", "x3"],
    "vowel": ["x6", "x9"],
    "wdbc": ["x4", "x28"],
    "wine": ["x0", "x12"],
}


def make_class_subset(name, parent, classes):
    """Return the samples of some classes of a real set, in the form of the parent."""
    frame, labels = read_samples(parent)
    mask = np.isin(labels, classes)
    return make_classification_dataset(
        name, parent, frame[mask], labels[mask], shape=SHAPES.get(parent)
    )


def make_feature_subset(name, parent, columns):
    """Return some columns of a real set of few classes, or of its 11 most frequent ones."""
    whole = make_real(parent, parent)
    return make_classification_dataset(name, parent, whole.frame[columns], whole.target)


def make_column_regression(name, parent, column):
    """Return the columns of a real set but one, and that one as the target; labels play no part."""
    frame, _ = read_samples(parent)
    return make_regression_dataset(name, parent, frame.drop(columns=column), frame[column])


SUBSET_TASKS = {
    f"{parent}-classes-{number}": Task(parent, make_class_subset, {"classes": classes.split()})
    for parent, choices in CLASSES.items()
    for number, classes in enumerate(choices, start=1)
}
SUBSET_TASKS |= {
    f"{parent}-features": Task(
        parent, make_feature_subset, {"columns": [f"x{index}" for index in columns.split()]}
    )
    for parent, columns in FEATURES.items()
}
SUBSET_TASKS |= {
    f"{parent}-predict-{column}": Task(parent, make_column_regression, {"column": column})
    for parent, columns in PREDICTED.items()
    for column in columns
}
