"""Gains as numbers: how they are given, on which scale they are learned, what an estimate holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from hessdiag.labels import DELTA

#: The two gains that a diagnosis follows from, in the order of the columns of `predict_gains`.
GAINS = ("gain_widening", "gain_constraining")

#: The gain of training longer, which moves no diagnosis: the third column, where it is known.
LONGER = "gain_longer"

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
    longer : ndarray of shape (n_networks,) or None
        `LONGER`, NaN where it was not measured; None where it is not given or never was.
    """

    values: np.ndarray
    parts: np.ndarray | None
    errors: np.ndarray | None
    longer: np.ndarray | None = None

    def as_columns(self, rows):
        """Columns by name, of some networks."""
        columns = dict(zip(GAINS, self.values[rows].T, strict=True))
        if self.parts is not None:
            columns |= dict(zip(CONSTRAINTS, self.parts[rows].T, strict=True))
        if self.errors is not None:
            columns |= dict(zip(ERRORS, self.errors[rows].T, strict=True))
        if self.longer is not None:
            columns[LONGER] = self.longer[rows]
        return columns

    def of_groups(self, groups):
        """What can be learned with groups left out: of training longer, what two of them have."""
        if self.longer is None or len(np.unique(groups[np.isfinite(self.longer)])) > 1:
            return self
        return self._replace(longer=None)

    def targets(self):
        """Known gains on the learning scale, a column each: values, parts, longer."""
        known = [part for part in (self.values, self.parts, self.longer) if part is not None]
        return [to_learning_scale(part.reshape(len(part), -1)) for part in known]


@dataclass(frozen=True)
class ExpectedGains:
    """What a model expects of each intervention on one network.

    Parameters
    ----------
    widening, constraining : GainEstimate or None
        The two gains of a diagnosis; None where the model knows no gains.
    longer : GainEstimate or None
        Gain of training longer; None where the model does not know it.
    constraints : dict of str to float
        Gain of each way of constraining, as far as the model knows them.
    """

    widening: GainEstimate | None = None
    constraining: GainEstimate | None = None
    longer: GainEstimate | None = None
    constraints: dict = field(default_factory=dict)

    @property
    def values(self) -> dict[str, float]:
        """dict of str to float : Expected gains of what may be advised, by intervention."""
        known = {name: getattr(self, name) for name in ("widening", "constraining", "longer")}
        return {name: gain.value for name, gain in known.items() if gain is not None}


def check_gains(gains, n_networks):
    """Read gains from an array, a data frame or a dict of columns.

    Parameters
    ----------
    gains : array-like of shape (n_networks, 2) or (n_networks, 5), dict or DataFrame
        Columns `GAINS`, then `CONSTRAINTS` where they are known; by name in a dict or frame, which
        may have `ERRORS` and `LONGER` too.
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
    errors = longer = None
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
        if LONGER in gains:
            longer = _check_longer(gains[LONGER], n_networks)
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
    return MeasuredGains(table[:, :2], parts if known else None, errors, longer)


def _check_longer(values, n_networks):
    """Gains of training longer with NaN where there is none; None where there is none at all."""
    values = np.asarray(values, dtype=float)
    if values.shape != (n_networks,):
        raise ValueError(
            f"Expected {LONGER} of shape ({n_networks},), found shape {values.shape}. Give a "
            "number for each network, NaN where it was not measured."
        )
    finite = np.isfinite(values)
    return np.where(finite, values, np.nan) if finite.any() else None


def to_learning_scale(gains):
    """Scale that gains are averaged on: linear below `DELTA`, logarithmic beyond, either way."""
    return np.arcsinh(np.asarray(gains) / DELTA)


def from_learning_scale(values):
    """Inverse of `to_learning_scale`."""
    return np.sinh(values) * DELTA
