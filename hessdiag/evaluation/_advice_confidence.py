"""The confidence from which on advice is given, chosen on networks whose data set was left out."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from hessdiag.diagnosis import CONSTRAINTS, LONGER, WAYS, choose_actions
from hessdiag.labels import DELTA, UNDERPARAMETERIZED, WELL_FIT, nearest_gains

#: Shares of the advised networks whose held-out loss shall fall, and fall by delta: what we aim at.
AIM_LOWERED = 0.95
AIM_BY_DELTA = 0.80

#: Shares of fewer networks say nothing.
MIN_ADVISED = 30


class AdviceConfidence:
    """How sure advice is, which is as sure as the diagnosis that it follows from.

    Advice to train longer follows from no diagnosis but from the gain that is expected: it is as
    sure as that gain is probably at least `delta`, by logistic regression on the networks that the
    diagnoser learned from, each expectation made with its data set left out.

    Parameters
    ----------
    model : TableDiagnoser
        Fitted.
    longer : ndarray of shape (n_networks,) or None, default=None
        Measured gain of training longer of the networks of `fit`, NaN where there is none.
    delta : float, default=0.05
        Smallest gain that counts.
    """

    def __init__(self, model, longer=None, delta=DELTA):
        self.delta = delta
        self.training_, self.share_ = None, None
        if longer is None or LONGER not in model.gain_names_:
            return
        known = np.isfinite(longer)
        helped = longer[known] >= delta
        self.share_ = float(helped.mean())
        if 0 < self.share_ < 1:
            expected = self._scaled(model.left_out_gains_[known, 2])
            self.training_ = LogisticRegression().fit(expected, helped)

    def advise(self, named, confidence, ratios, gains):
        """Choose actions, and say how sure each is.

        Parameters
        ----------
        named : ndarray of str of shape (n,)
            Diagnoses.
        confidence : ndarray of shape (n,)
            Their probabilities.
        ratios : ndarray of shape (n,)
            Training loss over that of a constant.
        gains : ndarray of shape (n, 2) or (n, 3)
            Expected gains.

        Returns
        -------
        actions : ndarray of str of shape (n,)
            As from `choose_actions`.
        confidence : ndarray of shape (n,)
            How sure they are.
        """
        plain = choose_actions(named, ratios)
        if self.share_ is None:
            return plain, confidence
        actions = choose_actions(named, ratios, gains, self.delta)
        likely = np.full(len(actions), self.share_)
        if self.training_ is not None:
            likely = self.training_.predict_proba(self._scaled(gains[:, 2]))[:, 1]
        return actions, np.where(actions == plain, confidence, likely)

    def _scaled(self, gains):
        """One column, logarithmic beyond delta."""
        return np.arcsinh(gains / self.delta)[:, None]


def confidence_for_advice(
    model, widening, constraints, groups, delta=DELTA, longer=None, ratios=None
):
    """Choose how sure a diagnosis must be for advice to be given.

    The networks that the diagnoser learned from are called by it while their data set is left
    out. Of those that are told to change something, the most that can be advised, the surest
    first, are sought such that in 95 % the measured gain of what is advised is above zero, and in
    80 % at least `delta`. Both shares, p of k networks, count less their standard error, the square
    root of p (1 - p) / d for d data sets, as networks of one share its fate: the aims are to be met
    on others. Where no number of networks reaches both, the one that misses by least is taken.
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
    longer : ndarray of shape (n_networks,) or None, default=None
        The same for training longer; None where the model does not know it, which then advises by
        the diagnosis alone.
    ratios : ndarray of shape (n_networks,) or None, default=None
        Training loss over that of a constant, which `longer` asks for.

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
    changed = named != WELL_FIT
    if longer is not None:
        expected = model.left_out_gains_.copy()
        expected[:, :2] = nearest_gains(expected[:, :2], named)
        sureness = AdviceConfidence(model, longer, delta)
        actions, confidence = sureness.advise(named, confidence, ratios, expected)
        gained, changed = np.where(actions == "train", longer, gained), actions != "keep"
    called = np.flatnonzero(changed & np.isfinite(gained))
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
