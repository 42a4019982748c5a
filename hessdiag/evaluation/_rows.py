"""The rows of the evaluation: what each may know of a network."""

from __future__ import annotations

import numpy as np

from hessdiag.diagnosis import leading_columns
from hessdiag.features import DIAGNOSTIC_FAMILIES, SpectralFeatures

ROW_TITLES = {
    "dummy": "dummy (most frequent)",
    "train_loss_sizes": "training loss + sizes",
    "weights": "weight norms and spectra",
    "weightwatcher": "WeightWatcher's alpha + training loss",
    "global_hessian": "whole-net trace, lambda_max + train. loss",
    "rules": "skore's rules (with validation set)",
    "validation": "validation set + training loss + sizes",
    "curvature": "curvature of layers, without forecasts",
    "forecasts": "forecasts by wide layers alone",
    "hessdiag": "hessdiag",
    "hessdiag_validation": "hessdiag + validation set",
}

#: Rows that learn nothing from the zoo.
NOT_LEARNED = ("dummy", "rules")

#: Families of measures that hold what layers of unlimited width forecast against the net.
FORECASTS = ("attainable", "between")

#: All others that diagnoses are made from: curvature, and loss, error and sizes.
CURVATURE = tuple(name for name in DIAGNOSTIC_FAMILIES if name not in FORECASTS)

_GLOBAL_HESSIAN = ("log_trace", "log_max_eigenvalue")


def evaluation_rows(zoo):
    """Make the table of each row that learns.

    Parameters
    ----------
    zoo : Bunch
        As from `load_reference_zoo`.

    Returns
    -------
    tables : dict of str to ndarray of shape (n_networks, n_columns)
        What each row may know of a network. No row but ``validation`` and ``hessdiag_validation``
        holds anything of the validation set, and none anything of the test set.

        - ``train_loss_sizes``: training loss and error; numbers of parameters, samples, outputs
          and layers.
        - ``weights``: statistics of weights, biases and singular values of each layer, pooled over
          layers.
        - ``weightwatcher``: alpha and its companions, pooled over layers, with training loss and
          error.
        - ``global_hessian``: trace and largest eigenvalue of the whole net's curvature, with
          training loss and error.
        - ``validation``: validation loss and error, and their distances from those of training,
          with the columns of ``train_loss_sizes``.
        - ``curvature``: `SpectralFeatures` of all families but forecasts.
        - ``forecasts``: those of the families of forecasts alone.
        - ``hessdiag``: `SpectralFeatures` with its defaults.
        - ``hessdiag_validation``: both of the last.
    """
    columns = zoo.columns
    context, curvature, forecasts = (
        SpectralFeatures(families=families).fit(zoo.tables).transform(zoo.tables)
        for families in (("context",), CURVATURE, FORECASTS)
    )
    train_loss = columns["train_loss"] / columns["null_loss"]
    valid_loss = columns["valid_loss"] / columns["null_loss"]
    training = np.column_stack([train_loss, columns["train_error"]])
    validation = np.column_stack(
        [
            valid_loss,
            columns["valid_error"],
            valid_loss - train_loss,
            columns["valid_error"] - columns["train_error"],
        ]
    )
    whole_net = [[table.network[name] for name in _GLOBAL_HESSIAN] for table in zoo.tables]
    return {
        "train_loss_sizes": context,
        "weights": _rivals(zoo, "weights__"),
        "weightwatcher": np.column_stack([_rivals(zoo, "weightwatcher__"), training]),
        "global_hessian": np.column_stack([whole_net, training]),
        "validation": np.column_stack([context, validation]),
        "curvature": curvature,
        "forecasts": forecasts,
        "hessdiag": zoo.data,
        "hessdiag_validation": np.column_stack([zoo.data, validation]),
    }


def training_curve_row(zoo):
    """Make the table of what a training curve tells: whether the loss is still falling.

    Parameters
    ----------
    zoo : Bunch
        As from `load_reference_zoo`.

    Returns
    -------
    table : ndarray of shape (n_networks, n_columns) or None
        Training loss and error, the fall of the loss over the last 40 % of the run, in null losses
        and as a share of the loss, and sizes; None where the table has no losses along the way.
    """
    columns = zoo.columns
    earlier = columns.get("train_loss_earlier")
    if earlier is None or not np.isfinite(earlier).any():
        return None
    context = SpectralFeatures(families=("context",)).fit(zoo.tables).transform(zoo.tables)
    fall, least = earlier - columns["train_loss"], np.finfo(np.float32).tiny
    return np.column_stack(
        [context, fall / columns["null_loss"], fall / np.maximum(earlier, least)]
    )


def leading_columns_of_rows(tables):
    """Say which columns lead in each row that has such: those that `FitDiagnoser` lets lead.

    Parameters
    ----------
    tables : dict of str to ndarray
        As from `evaluation_rows`.

    Returns
    -------
    leading : dict of str to ndarray of bool
        By row; rows without leading columns are missing.
    """
    leading = {"forecasts": leading_columns(SpectralFeatures(families=FORECASTS))}
    own = leading_columns(SpectralFeatures())
    if tables["hessdiag"].shape[1] != len(own):
        return leading  # other columns than those of the features' defaults
    rows = {name: tables[name].shape[1] for name in ("hessdiag", "hessdiag_validation")}
    return leading | {name: np.pad(own, (0, width - len(own))) for name, width in rows.items()}


def _rivals(zoo, prefix):
    """The columns of one rival."""
    return np.column_stack(
        [values for name, values in zoo.rivals.items() if name.startswith(prefix)]
    )
