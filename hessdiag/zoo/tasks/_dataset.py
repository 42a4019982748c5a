"""Dataset: the raw samples of one task; and Task: its name and how to make them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from hessdiag.optional import import_optional

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Dataset:
    """The raw samples of one task.

    Parameters
    ----------
    name : str
        Unique name.
    parent : str
        Name of the real data set, or of the family of generated ones, that the samples come from:
        the unit that evaluation never splits.
    frame : pandas.DataFrame of shape (n_samples, n_features)
        Raw features; columns of strings are categorical.
    target : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Class indices, int64; for regression float32 values, one column for each target.
    n_classes : int
        Number of outputs that a network needs: classes, or targets of a regression.
    kind : {"classification", "regression"}, default="classification"
        What is predicted.
    form : {"tabular", "series", "image", "tokens"}, default="tabular"
        Whether the columns have an order that networks may use; tokens are ids of symbols.
    shape : tuple of int or None, default=None
        What a row reshapes to: (channels, length) of a series, (channels, height, width) of an
        image; of tokens the number of ids and how many a row has; None for a table.
    teacher_width : int or None, default=None
        Hidden units of the teacher network that made the targets; None where none did.
    """

    name: str
    parent: str
    frame: pd.DataFrame = field(repr=False)
    target: np.ndarray = field(repr=False)
    n_classes: int
    kind: str = "classification"
    form: str = "tabular"
    shape: tuple | None = None
    teacher_width: int | None = None

    @property
    def n_outputs(self) -> int:
        """int : Number of outputs that a network needs; the same as `n_classes`."""
        return self.n_classes


@dataclass(frozen=True)
class Task:
    """One task of the zoo: where it belongs, and how its samples are made.

    Parameters
    ----------
    parent : str
        Real data set or generated family.
    make : callable
        Takes the task's name and parent and ``arguments``, and returns a `Dataset`.
    arguments : dict
        Further keyword arguments of ``make``.
    real : bool, default=True
        Whether the samples come from a real data set.
    plain : bool, default=True
        Whether plain recipes use it too, or those of practice alone.
    """

    parent: str
    make: Callable
    arguments: dict
    real: bool = True
    plain: bool = True

    def load(self, name):
        """Return the samples of the task."""
        return self.make(name, self.parent, **self.arguments)


def practice_task(make, parent, real=True, **arguments):
    """Return a `Task` that recipes of practice alone use."""
    return Task(parent, make, arguments, real=real, plain=False)


def make_classification_dataset(name, parent, X, labels, shape=None):
    """Return a classification `Dataset` of features and labels of any kind."""
    classes, target = np.unique(np.asarray(labels), return_inverse=True)
    target = target.astype(np.int64)
    form = _form(shape)
    return Dataset(name, parent, _frame(X), target, len(classes), form=form, shape=shape)


def make_regression_dataset(name, parent, X, values, shape=None):
    """Return a regression `Dataset` of features and one or more columns of values."""
    target = np.asarray(values, dtype=np.float32).reshape(len(X), -1)
    form = _form(shape)
    return Dataset(name, parent, _frame(X), target, target.shape[1], "regression", form, shape)


def make_image_dataset(name, parent, images, answer, classes=True):
    """Return a `Dataset` of images, with classes or with values.

    They are (n_images, height, width), or have their channels before the height.
    """
    make = make_classification_dataset if classes else make_regression_dataset
    shape = (1,) * (4 - images.ndim) + images.shape[1:]
    return make(name, parent, images.reshape(len(images), -1), answer, shape=shape)


def make_token_dataset(name, parent, ids, vocabulary, answer, classes=True):
    """Return a `Dataset` of sequences of ids below ``vocabulary``, with classes or with values."""
    make = make_classification_dataset if classes else make_regression_dataset
    dataset = make(name, parent, np.asarray(ids, dtype=np.int64), answer)
    return replace(dataset, form="tokens", shape=(vocabulary, ids.shape[1]))


def task_seed(name):
    """Return a seed that follows from a task's name alone, so that no task moves another."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest())


def _form(shape):
    """Return the form that a per-sample shape stands for."""
    return {None: "tabular", 2: "series", 3: "image"}[shape and len(shape)]


def _frame(X):
    """Return features as a frame with columns x0, x1, ...; frames keep their column names."""
    pandas = import_optional("pandas", "zoo", "The zoo's data")
    if isinstance(X, pandas.DataFrame):
        return X.reset_index(drop=True)
    return pandas.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
