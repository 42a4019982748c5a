"""Gaps in a table: numbers that were not measured though the reference has them, and what then."""

from __future__ import annotations

import numpy as np

from hessdiag.diagnosis._kernel_regression import mean_squared_differences

# Networks of the reference, each of another group, that stand in for what was not measured.
N_DONORS = 15
#: Where more than this share of what a diagnosis weighs was not measured, none is given.
MOST_MISSING = 0.5


class ReferenceGaps:
    """What networks of a reference lack, and what they have where another lacks it.

    A gap counts where no network of the reference with gaps like its own has one: measures that do
    not apply to a kind of task are no gaps of its networks.

    Parameters
    ----------
    X : ndarray of shape (n_networks, n_features)
        The reference's table; NaN for gaps.
    groups : ndarray of shape (n_networks,)
        Data set of each network.
    """

    def __init__(self, X, groups):
        self.values = X
        self.patterns = np.unique(~np.isfinite(X), axis=0)
        self.groups = np.unique(groups, return_inverse=True)[1]

    def of(self, X):
        """Find the gaps of some networks that count.

        Parameters
        ----------
        X : ndarray of shape (n, n_features)
            Their table.

        Returns
        -------
        gaps : ndarray of bool of shape (n, n_features)
            Which numbers are missing though networks of the reference that are alike have them.
        """
        gaps = ~np.isfinite(X)
        for row in np.flatnonzero(gaps.any(axis=1)):
            beyond = gaps[row] & ~self.patterns
            gaps[row] = beyond[np.argmin(beyond.sum(axis=1))]
        return gaps

    def fill(self, X, gaps, squared, values=None):
        """Fill gaps by what networks of the reference have there that are alike in the rest.

        Parameters
        ----------
        X : ndarray of shape (n, n_features)
            Their table.
        gaps : ndarray of bool of shape (n, n_features)
            Gaps to fill.
        squared : ndarray of shape (n_with_gaps, n_networks)
            How far those that have gaps are from each network of the reference in what they have.
        values : ndarray of shape (n_networks, n_features) or None, default=None
            What gaps are filled with; None takes the reference's table.

        Returns
        -------
        rows : ndarray of shape (n_rows, n_features)
            One row for a network without gaps, several for one with them.
        owners : ndarray of int of shape (n_rows,)
            Whose row each is.
        """
        values = self.values if values is None else values
        rows, owners = [], []
        distances = iter(squared)
        for index, missing in enumerate(gaps):
            if not missing.any():
                rows.append(X[index][None])
                owners.append(index)
                continue
            donors = self._donors(next(distances))
            filled = np.repeat(X[index][None], len(donors), axis=0)
            filled[:, missing] = values[np.ix_(donors, np.flatnonzero(missing))]
            rows.append(filled)
            owners += [index] * len(donors)
        return np.concatenate(rows), np.array(owners, dtype=int)

    def _donors(self, squared):
        """Take the nearest network of each of the nearest groups."""
        order = np.argsort(squared, kind="stable")
        _, first = np.unique(self.groups[order], return_index=True)
        return order[np.sort(first)[:N_DONORS]]


def differences_beside(gaps, U, reference):
    """Compare networks with a reference in what they have.

    Parameters
    ----------
    gaps : ndarray of bool of shape (n, n_features)
        What each has not.
    U : ndarray of shape (n, n_features)
        Their rows.
    reference : ndarray of shape (n_networks, n_features)
        Rows of the reference.

    Returns
    -------
    squared : ndarray of shape (n, n_networks)
        Mean squared differences over the columns without gaps; 0 where there are none.
    """
    squared = np.zeros((len(U), len(reference)))
    # An explanation asks for many rows that have the same gaps.
    patterns, owners = np.unique(gaps, axis=0, return_inverse=True)
    for place, missing in enumerate(patterns):
        rows = np.flatnonzero(owners.reshape(-1) == place)
        if not missing.all():
            squared[rows] = mean_squared_differences(U[rows][:, ~missing], reference[:, ~missing])
    return squared


def mean_by_owner(values, owners, n):
    """Average rows that belong together.

    Parameters
    ----------
    values : ndarray of shape (n_rows, ...)
        Rows.
    owners : ndarray of int of shape (n_rows,)
        To whom each belongs.
    n : int
        How many there are.

    Returns
    -------
    means : ndarray of shape (n, ...)
        Their means.
    """
    if len(values) == n:
        return values
    totals = np.zeros((n, *values.shape[1:]))
    np.add.at(totals, owners, values)
    counts = np.bincount(owners, minlength=n)
    return totals / counts.reshape(n, *[1] * (values.ndim - 1))


def widest_by_owner(intervals, owners, n):
    """Join intervals that belong together: from the lowest end to the highest.

    Parameters
    ----------
    intervals : ndarray of shape (n_rows, ..., 2)
        Intervals.
    owners : ndarray of int of shape (n_rows,)
        To whom each belongs.
    n : int
        How many there are.

    Returns
    -------
    intervals : ndarray of shape (n, ..., 2)
        Joined.
    """
    if len(intervals) == n:
        return intervals
    each = [intervals[owners == index] for index in range(n)]
    return np.stack(
        [np.stack([i[..., 0].min(axis=0), i[..., 1].max(axis=0)], axis=-1) for i in each]
    )
