"""Split: one division of a task's samples into training, validation and test parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

if TYPE_CHECKING:
    from hessdiag.zoo.tasks._dataset import Dataset

# Held-out samples beyond this number cost evaluation time and hardly narrow the loss.
MAX_TEST = 2000


@dataclass(frozen=True, eq=False)
class Split:
    """One division of a data set into training, validation and test samples.

    The encoder and the scaler have seen the training samples alone. The validation samples serve
    only the validation baseline of the evaluation, the test samples only the labels.

    Parameters
    ----------
    X_train, y_train : ndarray of float32, ndarray of int64 or float32
        Training part: encoded and standardized features, and class indices with the label noise
        that was asked for, or targets of shape (n_samples, n_targets) in units of their clean
        training standard deviation, with noise.
    X_valid, y_valid : ndarray of float32, ndarray of int64 or float32
        Validation part, with clean targets.
    X_test, y_test : ndarray of float32, ndarray of int64 or float32
        Test part, with clean targets.
    n_classes : int
        Number of outputs: classes of the data set, or targets of a regression.
    kind : {"classification", "regression"}, default="classification"
        What is predicted.
    form : {"tabular", "series", "image"}, default="tabular"
        Whether the columns have an order that networks may use.
    shape : tuple of int or None, default=None
        What a row reshapes to; None for a table.
    """

    X_train: np.ndarray
    y_train: np.ndarray
    X_valid: np.ndarray
    y_valid: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    n_classes: int
    kind: str = "classification"
    form: str = "tabular"
    shape: tuple | None = None

    @property
    def n_outputs(self) -> int:
        """int : Number of outputs that a network needs; the same as `n_classes`."""
        return self.n_classes

    @property
    def null_loss(self) -> float:
        """float : Loss of knowing nothing: ln C for C classes, 1 (the variance) for regression."""
        return float(np.log(self.n_classes)) if self.kind == "classification" else 1.0


def split_dataset(
    dataset: Dataset, n_train: int, label_noise: float = 0.0, random_state: int = 0
) -> Split:
    """Divide a data set into training, validation and test samples.

    The division of a classification task is stratified.

    Parameters
    ----------
    dataset : Dataset
        The samples to divide.
    n_train : int
        Training samples wanted. At most half of the samples are used for training; an eighth
        more serves validation, and the rest, at most 2,000, is the test part.
    label_noise : float, default=0.0
        For classification the share of training labels replaced by another class, drawn
        uniformly; for regression the variance of Gaussian noise added to the standardized
        training targets. Held-out targets stay clean: held-out loss then says how well the network
        learned what is true.
    random_state : int, default=0
        Seed of the division and of the noise.

    Returns
    -------
    split : Split
        Encoded, standardized parts.

    Raises
    ------
    ValueError
        If the noise is negative.
    """
    if label_noise < 0:
        raise ValueError(f"Expected label_noise >= 0, found {label_noise}. Give 0 for none.")
    target = dataset.target
    n_train = min(n_train, len(target) // 2)
    n_valid = max(n_train // 4, 2 * dataset.n_classes)
    regression = dataset.kind == "regression"
    splitter = ShuffleSplit if regression else StratifiedShuffleSplit
    splitter = splitter(1, train_size=n_train, random_state=random_state)
    order, _ = next(splitter.split(dataset.frame, None if regression else target))
    rest = np.setdiff1d(np.arange(len(target)), order)
    rest = np.random.default_rng([random_state, 1]).permutation(rest)
    parts = order, rest[:n_valid], rest[n_valid : n_valid + MAX_TEST]

    features = _encode(dataset, parts)
    if regression:
        scaler = StandardScaler().fit(target[order].astype(np.float64))
        targets = [_contiguous(scaler.transform(target[part].astype(np.float64))) for part in parts]
        targets[0] = blur_targets(targets[0], label_noise, random_state)
    else:
        targets = [target[part] for part in parts]
        targets[0] = flip_labels(targets[0], dataset.n_classes, label_noise, random_state)
    return Split(
        X_train=features[0],
        y_train=targets[0],
        X_valid=features[1],
        y_valid=targets[1],
        X_test=features[2],
        y_test=targets[2],
        n_classes=dataset.n_classes,
        kind=dataset.kind,
        form=dataset.form,
        shape=dataset.shape,
    )


def flip_labels(y: np.ndarray, n_classes: int, share: float, random_state: int = 0) -> np.ndarray:
    """Replace a share of the labels by another class, drawn uniformly.

    Parameters
    ----------
    y : ndarray of int64 of shape (n_samples,)
        Class indices.
    n_classes : int
        Number of classes.
    share : float
        Share of labels to replace, between 0 and 1; the number is rounded.
    random_state : int, default=0
        Seed.

    Returns
    -------
    y_noisy : ndarray of int64 of shape (n_samples,)
        A copy with exactly ``round(share * n_samples)`` labels changed.
    """
    generator = np.random.default_rng([random_state, 2])
    chosen = generator.permutation(len(y))[: round(share * len(y))]
    noisy = y.copy()
    noisy[chosen] = (y[chosen] + generator.integers(1, n_classes, len(chosen))) % n_classes
    return noisy


def blur_targets(y, variance, random_state=0):
    """Add independent Gaussian noise to the targets of a regression.

    Parameters
    ----------
    y : ndarray of float32 of shape (n_samples, n_targets)
        Targets.
    variance : float
        Variance of the noise, in squared units of the targets.
    random_state : int, default=0
        Seed.

    Returns
    -------
    y_noisy : ndarray of float32 of shape (n_samples, n_targets)
        A noisy copy.
    """
    generator = np.random.default_rng([random_state, 2])
    return (y + np.sqrt(variance) * generator.standard_normal(y.shape)).astype(np.float32)


def _encode(dataset, parts):
    """Return the features of each part: ids of tokens as they are, all else standardized."""
    rows = [dataset.frame.iloc[part] for part in parts]
    if dataset.form == "tokens":
        return [_contiguous(part) for part in rows]
    encoder = _encoder(dataset.frame).fit(rows[0])
    return [_contiguous(encoder.transform(part)) for part in rows]


def _encoder(frame):
    """One-hot for strings, then zero mean and unit variance for every column."""
    strings = [name for name in frame if not np.issubdtype(frame[name].dtype, np.number)]
    numbers = [name for name in frame if name not in strings]
    return make_pipeline(
        ColumnTransformer(
            [
                ("numbers", "passthrough", numbers),
                ("strings", OneHotEncoder(handle_unknown="ignore", sparse_output=False), strings),
            ]
        ),
        StandardScaler(),
    )


def _contiguous(array):
    """Return an array as C-contiguous float32."""
    return np.ascontiguousarray(array, dtype=np.float32)
