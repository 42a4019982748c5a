"""What a net held back from training by its own split, and the part that is left."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
from torch.utils.data import Subset

from hessdiag.cases._rows import rows_of
from hessdiag.curvature.network import untouched_surroundings


def part_trained_on(net, X, y, held_back):
    """Leave out the samples that a net held back while it was trained.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net; it is left as it is.
    X, y : as the net's ``fit`` takes them
        What it was fitted on, or the part of it that it was trained on.
    held_back : {"drop", "keep"}
        Whether to leave them out.

    Returns
    -------
    X, y : as the net's ``fit`` takes them
        The part that it was trained on.
    n_held_back : int
        How many samples were left out.
    notes : tuple of str
        What to say of it.

    Raises
    ------
    ValueError
        If the net held samples back, and which of those given cannot be known.
    """
    n_trained, n_validated = _recorded_sizes(net)
    n_samples = _length(X, y)
    if not n_trained and not n_validated and held_back == "drop" and _splits(net):
        note = (
            "The net has no record of its training, and a train_split: whether samples among these "
            "were held back from training cannot be known, and all are examined."
        )
        return X, y, 0, (note,)
    if not n_validated or n_samples is None or _is_training_part(net, n_samples, n_trained):
        return X, y, 0, ()
    if held_back == "keep":
        note = (
            f"The net held back {n_validated} samples from training; as asked for, none was left "
            f"out of the {n_samples} that are examined."
        )
        return X, y, 0, (note,)
    found, reason = _split(net, X, y)
    if found is not None:
        train, n_left_out = found
        if n_left_out == 0:
            return X, y, 0, ()
        if n_left_out == n_validated:
            note = (
                f"{n_left_out} of {n_samples} samples, which the net's train_split held back from "
                "training, are left out."
            )
            return *_part(X, y, train), n_left_out, (note,)
        reason = (
            f"its train_split would hold back {n_left_out} of the {n_samples} samples given, and "
            f"held back {n_validated} beside {n_trained} in training"
        )
    raise ValueError(
        f"Expected the data that the net was fitted on, of which its train_split held back "
        f"{n_validated} samples, found that these cannot be known: {reason}. Pass as X, y the part "
        "that it was trained on, or held_back='keep' to examine all that is given."
    )


def _recorded_sizes(net):
    """Count the samples of training and of validation in the last epoch, by the net's history."""
    rows = list(getattr(net, "history_", None) or [])
    if not rows:
        return 0, 0
    complete = [row for row in rows if "train_loss" in row] or rows
    batches = complete[-1].get("batches", [])
    return tuple(
        sum(batch.get(f"{part}_batch_size", 0) for batch in batches) for part in ("train", "valid")
    )


def _splits(net):
    """Say whether a net would hold back a part of what it is fitted on."""
    split = getattr(net, "train_split", None)
    return bool(split) and not (isinstance(split, partial) and "valid_ds" in split.keywords)


def _is_training_part(net, n_samples, n_trained):
    """Say whether as many samples are given as the net was trained on."""
    if n_samples == n_trained:
        return True
    if not getattr(net, "iterator_train__drop_last", False):
        return False
    size = getattr(net, "iterator_train__batch_size", net.batch_size)
    return n_trained <= n_samples < n_trained + size


def _length(X, y):
    """Count the samples; None where that is not known."""
    try:
        if y is not None and not isinstance(y, dict):
            return len(y)
        if isinstance(X, dict):
            return len(next(iter(X.values())))
        if isinstance(X, (list, tuple)) and hasattr(X[0], "dtype") and X[0].ndim:
            return len(X[0])
        return X.shape[0] if hasattr(X, "tocsr") else len(X)
    except TypeError:
        return None


def _split(net, X, y):
    """Split as the net does, twice; return the part to train on and the size of the other.

    The part is an array of places, or a data set where places cannot be told. Where the split
    cannot be found again, None and the reason come back.
    """
    split = net.train_split
    if not split:
        return None, "it has no train_split any more"
    if isinstance(split, partial) and "valid_ds" in split.keywords:
        return (None, 0), ""
    twin = object.__new__(type(net))
    twin.__dict__.update(net.__dict__)
    try:
        # A split may hold a generator, which is drawn from.
        twin.__dict__["train_split"] = copy.deepcopy(split)
    except Exception:
        return None, "its train_split cannot be copied, and may not be drawn from again"
    try:
        # Twice from one state of all generators: a draw without a seed is another one then.
        with untouched_surroundings(None):
            (train, valid), (again, _) = (twin.get_split_datasets(X, y) for _ in range(2))
    except Exception as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        return None, f"its train_split fails on them ({type(error).__name__}: {reason})"
    places, others, n_samples = _places(train, X), _places(again, X), _length(X, y)
    if valid is None or (places is None and len(train) == n_samples):
        return (None, 0), ""
    if places is None:
        return None, "its train_split does not tell which samples it takes"
    if not np.array_equal(places, others):
        return None, "its train_split draws at random, without a seed"
    return (np.sort(places), n_samples - len(np.unique(places))), ""


def _places(dataset, X):
    """Return the places of a subset's samples in the data given; None where it is no subset."""
    if dataset is X or not isinstance(dataset, Subset):
        return None
    places, outer = np.asarray(dataset.indices), _places(dataset.dataset, X)
    return places if outer is None else outer[places]


def _part(X, y, places):
    """Take some samples of inputs and targets."""
    return rows_of(X, places), rows_of(y, places)
