"""The confidence from which on advice is given, chosen on networks whose data set was left out."""

from __future__ import annotations

import numpy as np

from hessdiag.diagnosis import CONSTRAINTS, WAYS
from hessdiag.labels import DELTA, UNDERPARAMETERIZED, WELL_FIT

#: Shares of the advised networks whose held-out loss shall fall, and fall by delta: what we aim at.
AIM_LOWERED = 0.95
AIM_BY_DELTA = 0.80

#: Shares of fewer networks say nothing.
MIN_ADVISED = 30


def confidence_for_advice(model, widening, constraints, groups, delta=DELTA):
    """Choose how sure a diagnosis must be for advice to be given.

    The networks that the diagnoser learned from are called by it while their data set is left
    out. Of those that are called unhealthy, the most that can be advised, the surest first, are
    sought such that in 95 % the measured gain of what is advised is above zero, and in 80 % at
    least `delta`. Both shares, p of k networks, count less their standard error, the square root of
    p (1 - p) / d for d data sets, as networks of one share its fate: the aims are to be met on
    others. Where no number of networks reaches both, the one that misses by least is taken.
    Networks whose advice was not tried do not count. No other network is looked at.

    Parameters
    ----------
    model : TableDiagnoser
        Fitted.
    widening : ndarray of shape (n_networks,)
        Measured gain of widening as it is advised, of the networks of `fit`, in order; NaN where
        it was not tried.
    constraints : ndarray of shape (n_networks, 3)
        The same for each way of constraining. The one that would have been advised counts: of which
        most is expected, among those that were tried.
    groups : array-like of shape (n_networks,)
        Data sets that the networks come from.
    delta : float, default=0.05
        Smallest gain that counts.

    Returns
    -------
    confidence : float
        The probability of the diagnosis below which there is no advice; 0 where no network is
        called unhealthy.
    """
    probabilities = model.left_out_probabilities_
    named = model.classes_[probabilities.argmax(axis=1)]
    confidence = probabilities.max(axis=1)
    constraining = _gain_as_advised(model, np.asarray(constraints, dtype=float))
    gained = np.where(named == UNDERPARAMETERIZED, widening, constraining)
    called = np.flatnonzero((named != WELL_FIT) & np.isfinite(gained))
    if not len(called):
        return 0.0
    order = called[np.argsort(-confidence[called], kind="stable")]
    _, first = np.unique(np.asarray(groups)[order], return_index=True)
    n_datasets = np.cumsum(np.isin(np.arange(len(order)), first))
    lowered = _sure_share(gained[order] > 0, n_datasets)
    by_delta = _sure_share(gained[order] >= delta, n_datasets)
    missing = np.maximum(AIM_LOWERED - lowered, 0) + np.maximum(AIM_BY_DELTA - by_delta, 0)
    missing[: min(MIN_ADVISED, len(order)) - 1] = np.inf
    most = len(order) - 1 - np.argmin(missing[::-1])
    return float(confidence[order[most]])


def _sure_share(flags, n_datasets):
    """Share of the first, the first two, ... flags, less its standard error over data sets."""
    share = np.cumsum(flags) / np.arange(1, len(flags) + 1)
    return share - np.sqrt(share * (1 - share) / n_datasets)


def _gain_as_advised(model, constraints):
    """Gain of the way of constraining of which most is expected, among those that were tried."""
    expected = model.left_out_constraints_
    if expected is None:
        # The gentlest way is then advised.
        gentlest = [f"gain_{way}" for way in WAYS]
        expected = [-gentlest.index(name) for name in CONSTRAINTS]
    expected = np.where(np.isfinite(constraints), expected, -np.inf)
    return np.take_along_axis(constraints, expected.argmax(axis=1)[:, None], axis=1)[:, 0]
