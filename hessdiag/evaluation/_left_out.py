"""What is predicted of networks whose data set was left out: diagnoses, gains, advice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessdiag.diagnosis import CONSTRAINTS, GAINS, LONGER, TableDiagnoser, choose_actions
from hessdiag.evaluation._search import measured_gains

#: Share of the measured gains that a predicted interval should hold.
INTERVAL_SHARE = 0.9

#: All gains that may be advised, in the order of columns.
THREE_GAINS = (*GAINS, LONGER)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Predictions of a `TableDiagnoser` for networks of data sets that it had not met.

    Parameters
    ----------
    diagnoses : ndarray of str of shape (n_networks,)
        Empty for networks that no split asks about.
    confidence : ndarray of shape (n_networks,)
        Probability of the diagnosis.
    gains : ndarray of shape (n_networks, 3)
        Expected `THREE_GAINS`; NaN where there is none to learn from.
    intervals : ndarray of shape (n_networks, 3, 2)
        Intervals that should hold `INTERVAL_SHARE` of the measured gains.
    constraints : ndarray of shape (n_networks, 3)
        Expected gain of each way of constraining, likewise.
    domain : ndarray of shape (n_networks,)
        Domain score.
    """

    diagnoses: np.ndarray
    confidence: np.ndarray
    gains: np.ndarray
    intervals: np.ndarray
    constraints: np.ndarray
    domain: np.ndarray

    @property
    def asked(self):
        """ndarray of bool of shape (n_networks,) : Whom a split asks about."""
        return self.diagnoses != ""

    def actions(self, ratios):
        """Choose advice: of four where training longer is known.

        Parameters
        ----------
        ratios : ndarray of shape (n_networks,)
            Training loss over that of a constant.

        Returns
        -------
        actions : ndarray of str of shape (n_networks,)
            As from `choose_actions`.
        """
        # Comparisons with NaN are false: what is not known is not advised.
        return choose_actions(self.diagnoses, ratios, self.gains)


def predict_left_out(table, columns, target, groups, splits, leading=None):
    """Predict for the networks that each split asks about.

    Parameters
    ----------
    table : ndarray of shape (n_networks, n_columns)
        What is known of the networks.
    columns : dict of str to ndarray of shape (n_networks,)
        With the measured gains.
    target : ndarray of str of shape (n_networks,)
        Diagnoses.
    groups : ndarray of shape (n_networks,)
        Data sets.
    splits : list of (ndarray, ndarray)
        Networks to learn from and to ask about.
    leading : ndarray of bool of shape (n_columns,) or None, default=None
        Columns that lead.

    Returns
    -------
    left_out : LeftOut
        The predictions.
    """
    n = len(target)
    diagnoses = np.full(n, "", dtype=target.dtype)
    confidence, domain = np.full((2, n), np.nan)
    gains, constraints = np.full((2, n, 3), np.nan)
    intervals = np.full((n, 3, 2), np.nan)
    for train, test in splits:
        model = TableDiagnoser().fit(
            table[train],
            target[train],
            gains=measured_gains(columns, train),
            groups=groups[train],
            leading=leading,
        )
        probabilities = model.predict_proba(table[test])
        diagnoses[test] = model.classes_[probabilities.argmax(axis=1)]
        confidence[test] = probabilities.max(axis=1)
        domain[test] = model.domain_score(table[test])
        known = len(model.gain_names_)
        gains[test, :known], intervals[test, :known] = model.predict_gains(
            table[test], True, INTERVAL_SHARE
        )
        if model.n_gains_ > len(GAINS):
            constraints[test] = model.predict_constraints(table[test])
    return LeftOut(diagnoses, confidence, gains, intervals, constraints, domain)


def gains_as_advised(columns, actions, constraints):
    """Look up what was measured of each change just as it is advised.

    Parameters
    ----------
    columns : dict of str to ndarray of shape (n_networks,)
        Columns of the reference table.
    actions : ndarray of str of shape (n_networks,)
        What is advised.
    constraints : ndarray of shape (n_networks, 3)
        Expected gain of each way of constraining; the one of which most is expected counts, among
        those that were tried. Where nothing is expected of any, the first one that was.

    Returns
    -------
    gains : ndarray of shape (n_networks,)
        Four times the width, the way of constraining, or training longer; 0 for leaving alone, NaN
        where the change was not tried.
    """
    ways = np.column_stack([columns[name] for name in CONSTRAINTS])
    expected = np.where(np.isfinite(constraints), constraints, 0.0)
    expected = np.where(np.isfinite(ways), expected, -np.inf)
    best = np.take_along_axis(ways, expected.argmax(axis=1)[:, None], axis=1)[:, 0]
    changes = {
        "widen": columns["gain_fourfold"],
        "constrain": best,
        "train": columns[LONGER],
        "keep": np.zeros(len(actions)),
    }
    return np.select([actions == name for name in changes], list(changes.values()), np.nan)
