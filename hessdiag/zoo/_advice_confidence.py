"""The confidence from which on advice is given, chosen on networks whose data set was left out."""

from __future__ import annotations

import numpy as np

from hessdiag.diagnosis import DELTA, UNDERPARAMETERIZED, WELL_FIT

#: Shares of the advised networks whose held-out loss shall fall, and fall by delta: what we aim at.
AIM_LOWERED = 0.95
AIM_BY_DELTA = 0.80

#: A measured gain that is the best of several interventions reads high: what counts is what is left
#: of it after so many of its standard errors.
N_ERRORS = 2.0

#: Shares of fewer networks say nothing.
MIN_ADVISED = 30


def confidence_for_advice(model, gains, errors=None, delta=DELTA, constraints=None, groups=None):
    """Choose how sure a diagnosis must be for advice to be given.

    The networks that the diagnoser learned from are called by it while their data set is left
    out. Of those that are called unhealthy, the most that can be advised, the surest first, are
    sought such that in 95 % the gain of what is advised (widening, or a way of constraining) is
    above zero, and in 80 % at least `delta`: the measured gain, less twice its standard error where
    it is the best of several interventions. Both shares, p of k networks, count less their standard
    error, the square root of p (1 - p) / d for d data sets, as networks of one share its fate: the
    aims are to be met on others. Where no number of networks reaches both, the one that misses by
    least is taken. No other network is looked at.

    Parameters
    ----------
    model : TableDiagnoser
        Fitted.
    gains : ndarray of shape (n_networks, 2)
        Measured gains of widening and of constraining of the networks of `fit`, in order.
    errors : ndarray of shape (n_networks, 2) or None, default=None
        Their standard errors; None, and NaN, count as 0.
    delta : float, default=0.05
        Smallest gain that counts.
    constraints : ndarray of shape (n_networks, 3) or None, default=None
        Measured gains of each way of constraining as it is advised, NaN where there is none: then
        that of the way which would have been advised counts, and not that of the best one.
    groups : array-like of shape (n_networks,) or None, default=None
        Data sets that the networks come from; None takes each for one of its own.

    Returns
    -------
    confidence : float
        The probability of the diagnosis below which there is no advice; 0 where no network is
        called unhealthy.
    """
    probabilities = model.left_out_probabilities_
    named = model.classes_[probabilities.argmax(axis=1)]
    confidence = probabilities.max(axis=1)
    called = np.flatnonzero(named != WELL_FIT)
    if not len(called):
        return 0.0
    order = called[np.argsort(-confidence[called], kind="stable")]
    certain = np.array(gains, dtype=float)
    if errors is not None:
        certain -= N_ERRORS * np.nan_to_num(errors)
    if constraints is not None:
        certain[:, 1] = _gain_as_advised(model, certain[:, 1], np.asarray(constraints, dtype=float))
    gained = np.where(named == UNDERPARAMETERIZED, *certain.T)[order]
    n_datasets = np.arange(1, len(order) + 1)
    if groups is not None:
        _, first = np.unique(np.asarray(groups)[order], return_index=True)
        n_datasets = np.cumsum(np.isin(np.arange(len(order)), first))
    lowered = _sure_share(gained > 0, n_datasets)
    by_delta = _sure_share(gained >= delta, n_datasets)
    missing = np.maximum(AIM_LOWERED - lowered, 0) + np.maximum(AIM_BY_DELTA - by_delta, 0)
    missing[: min(MIN_ADVISED, len(order)) - 1] = np.inf
    most = len(order) - 1 - np.argmin(missing[::-1])
    return float(confidence[order[most]])


def _sure_share(flags, n_datasets):
    """Share of the first, the first two, ... flags, less its standard error over data sets."""
    share = np.cumsum(flags) / np.arange(1, len(flags) + 1)
    return share - np.sqrt(share * (1 - share) / n_datasets)


def _gain_as_advised(model, best, constraints):
    """Gain of the way of constraining of which most is expected, among those that were measured."""
    expected = model.left_out_constraints_
    if expected is None:
        return best
    possible = np.isfinite(constraints)
    advised = np.where(possible, expected, -np.inf).argmax(axis=1)
    gained = np.take_along_axis(constraints, advised[:, None], axis=1)[:, 0]
    return np.where(possible.any(axis=1), gained, best)
