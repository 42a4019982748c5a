"""Gains as numbers: how they are given, on which scale they are learned, what an estimate holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hessdiag.labels import DELTA

#: The two gains, in the order of the columns of `predict_gains`.
GAINS = ("gain_widening", "gain_constraining")

#: The ways of constraining whose gains may be known one by one.
CONSTRAINTS = ("gain_narrowing", "gain_decay", "gain_stopping")

#: Standard errors of the two gains.
ERRORS = ("se_widening", "se_constraining")


@dataclass(frozen=True)
class GainEstimate:
    """How far an intervention is expected to lower held-out loss.

    Parameters
    ----------
    value : float
        Expected fall of the held-out loss, in units of the task's null loss.
    low, high : float
        Interval that holds the measured gain with probability `coverage`.
    coverage : float
        Share of networks on data sets never seen whose gain lies within.
    """

    value: float
    low: float
    high: float
    coverage: float


class MeasuredGains(NamedTuple):
    """Gains that were measured.

    Parameters
    ----------
    values : ndarray of shape (n_networks, 2)
        `GAINS`, finite.
    parts : ndarray of shape (n_networks, 3) or None
        `CONSTRAINTS`, NaN where there is none; None where they are not given or one was never
        measured.
    errors : ndarray of shape (n_networks, 2) or None
        `ERRORS`; None where they are not given.
    """

    values: np.ndarray
    parts: np.ndarray | None
    errors: np.ndarray | None

    def as_columns(self, rows):
        """Columns by name, of some networks."""
        columns = dict(zip(GAINS, self.values[rows].T, strict=True))
        if self.parts is not None:
            columns |= dict(zip(CONSTRAINTS, self.parts[rows].T, strict=True))
        if self.errors is not None:
            columns |= dict(zip(ERRORS, self.errors[rows].T, strict=True))
        return columns


def check_gains(gains, n_networks):
    """Read gains from an array, a data frame or a dict of columns.

    Parameters
    ----------
    gains : array-like of shape (n_networks, 2) or (n_networks, 5), dict or DataFrame
        Columns `GAINS`, then `CONSTRAINTS` where they are known; by name in a dict or frame, which
        may have `ERRORS` too.
    n_networks : int
        Number of networks.

    Returns
    -------
    measured : MeasuredGains
        What is known of them.

    Raises
    ------
    ValueError
        If columns are missing, lengths differ, a gain of widening or constraining is not finite,
        or a standard error is negative.
    """
    errors = None
    if hasattr(gains, "keys"):
        missing = [name for name in GAINS if name not in gains]
        if missing:
            raise ValueError(
                f"Expected gains with the columns {GAINS}, found none named {missing}. "
                "Rename them, or give an array of shape (n_networks, 2)."
            )
        parts = CONSTRAINTS if all(name in gains for name in CONSTRAINTS) else ()
        if all(name in gains for name in ERRORS):
            errors = np.column_stack([np.asarray(gains[name], dtype=float) for name in ERRORS])
        gains = np.column_stack([np.asarray(gains[name], dtype=float) for name in (*GAINS, *parts)])
    table = np.asarray(gains, dtype=float)
    if table.ndim != 2 or table.shape[1] not in (2, 5) or len(table) != n_networks:
        raise ValueError(
            f"Expected gains of shape ({n_networks}, 2): {GAINS}, or ({n_networks}, 5) with "
            f"{CONSTRAINTS} behind, found shape {table.shape}. Give a row for each network."
        )
    n_missing = int((~np.isfinite(table[:, :2])).sum())
    if n_missing:
        raise ValueError(
            f"Expected finite gains, found {n_missing} that are NaN or infinite. "
            "Leave out networks whose gains were not measured."
        )
    if errors is not None and (np.nan_to_num(errors) < 0).any():
        raise ValueError(
            f"Expected standard errors {ERRORS} of at least 0, found {np.nanmin(errors):g}. "
            "Leave these columns out where errors are not known."
        )
    parts = np.where(np.isfinite(table[:, 2:]), table[:, 2:], np.nan)
    # A way of constraining that was never measured cannot be learned.
    known = parts.shape[1] > 0 and np.isfinite(parts).any(axis=0).all()
    return MeasuredGains(table[:, :2], parts if known else None, errors)


def to_learning_scale(gains):
    """Scale that gains are averaged on: linear below `DELTA`, logarithmic beyond, either way."""
    return np.arcsinh(np.asarray(gains) / DELTA)


def from_learning_scale(values):
    """Inverse of `to_learning_scale`."""
    return np.sinh(values) * DELTA
