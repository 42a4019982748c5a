"""NormalScores: columns of any scale and tail on one scale, by their ranks in the reference."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri


class NormalScores:
    """Map every column to normal scores of its ranks among the rows of `fit`.

    With ``u`` the mid-rank of a value among the n reference values, in (0, 1), its score is the
    normal quantile of ``u`` [1]_: invariant under monotone transformations, with ties in the
    middle of their ranks. A value beyond all of the reference gets the score of the extreme, plus
    ``log(1 + excess)`` with the excess in units of the reference's interquartile range, so that
    it keeps moving away. A gap gets 0, the score of the median.

    References
    ----------
    .. [1] van der Waerden (1952). Order tests for the two-sample problem and their power.
       Indagationes Mathematicae 14.
    """

    def fit(self, X):
        """Learn the reference values of each column.

        Parameters
        ----------
        X : ndarray of shape (n_networks, n_features)
            The table; NaN for gaps.

        Returns
        -------
        self : NormalScores
            The fitted map.
        """
        self.values_ = [np.sort(column[np.isfinite(column)]) for column in X.T]
        self.scale_ = np.array([_scale(values) for values in self.values_])
        return self

    def transform(self, X):
        """Map a table.

        Parameters
        ----------
        X : ndarray of shape (n_networks, n_features)
            The table; NaN for gaps.

        Returns
        -------
        scores : ndarray of shape (n_networks, n_features)
            Normal scores, without gaps.
        """
        scores = np.zeros(X.shape)
        for index, (values, scale) in enumerate(zip(self.values_, self.scale_, strict=True)):
            known = np.isfinite(X[:, index])
            if len(values) and known.any():
                scores[known, index] = _scores(X[known, index], values, scale)
        return scores


def _scores(column, values, scale):
    """Normal scores of finite values against sorted reference values."""
    n = len(values)
    rank = (np.searchsorted(values, column, "left") + np.searchsorted(values, column, "right")) / 2
    scores = ndtri(np.clip(rank, 0.5, n - 0.5) / n)
    excess = np.maximum(column - values[-1], 0) - np.maximum(values[0] - column, 0)
    return scores + np.sign(excess) * np.log1p(np.abs(excess) / scale)


def _scale(values):
    """Interquartile range; the whole range where half of the values are equal, 1 where all are."""
    if len(values) == 0:
        return 1.0
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low) or float(values[-1] - values[0]) or 1.0
