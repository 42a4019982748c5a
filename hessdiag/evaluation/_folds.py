"""Folds over networks that keep data sets whole."""

from __future__ import annotations

import warnings

from sklearn.model_selection import StratifiedGroupKFold


def split_by_groups(n_folds, target, groups, random_state=0):
    """Divide networks into folds of whole data sets, with diagnoses about equally common.

    Parameters
    ----------
    n_folds : int
        Number of folds, at most that of the data sets.
    target : ndarray of str of shape (n_networks,)
        Diagnoses.
    groups : ndarray of shape (n_networks,)
        Data sets.
    random_state : int, default=0
        Seed of the division.

    Returns
    -------
    splits : list of (ndarray of int, ndarray of int)
        Networks to learn from and to ask about.
    """
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=random_state)
    with warnings.catch_warnings():
        # A rare diagnosis is missing from some folds: the scores say so, where it matters.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(folds.split(target, target, groups))
