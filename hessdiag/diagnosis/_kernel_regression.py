"""Kernel regression whose predictions for rows left out by groups are exact and free."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lapack
from sklearn.metrics.pairwise import euclidean_distances

_CHUNK = 1000
# Rows that are mirrored at a time.
_ROWS = 256


class Regression(NamedTuple):
    """A solved regression.

    Parameters
    ----------
    mean : ndarray of shape (n_targets,)
        What is predicted far from all rows.
    coefficients : ndarray of shape (n_rows, n_targets)
        Weight of each row's kernel.
    left_out : ndarray of shape (n_rows, n_targets)
        Prediction for each row by the regression on the rows of all other groups.
    """

    mean: np.ndarray
    coefficients: np.ndarray
    left_out: np.ndarray


class KernelRegression:
    """Weighted kernel ridge regression with exact leave-group-out predictions.

    The kernel is ``k(u, v) = exp(-gamma * mean_j (u_j - v_j)^2)``. With row weights w and
    ``M = (K + ridge * diag(1 / w))^-1`` the coefficients are ``M (Y - mean)``, and the prediction
    for the rows of a group g by the regression on all others is ``y_g - (M_gg)^-1 (M y)_g``: the
    block form of the leave-one-out formula [1]_, so that one factorization answers for every
    group. A missing target is filled with the prediction of the regression without it, which
    leaves that regression unchanged; where a group is left out, so are all rows that were filled,
    whose values the group has a part in.

    Parameters
    ----------
    gamma : float
        Inverse scale of the kernel, per column.
    ridge : float
        Variance of the noise, in units of the kernel's.

    References
    ----------
    .. [1] Rasmussen, Williams (2006). Gaussian processes for machine learning, sections 2.2
       and 5.4.2. MIT Press.
    """

    def __init__(self, gamma, ridge):
        self.gamma = gamma
        self.ridge = ridge

    def fit(self, U, weight, groups, squared=None):
        """Factorize the kernel matrix.

        Parameters
        ----------
        U : ndarray of shape (n_rows, n_columns)
            Scaled columns without gaps.
        weight : ndarray of shape (n_rows,)
            Positive weights.
        groups : ndarray of shape (n_rows,)
            Rows of a group are left out together.
        squared : ndarray of shape (n_rows, n_rows) or None, default=None
            The `mean_squared_differences` of the rows, where they are known already.

        Returns
        -------
        self : KernelRegression
            Ready for `solve`.
        """
        if squared is None:
            squared = mean_squared_differences(U, U)
        kernel = np.multiply(squared, -self.gamma)
        np.exp(kernel, out=kernel)
        kernel[np.diag_indices(len(U))] += self.ridge / weight
        self.precision_ = _inverse_in_place(kernel)
        self.weight_ = weight
        self.blocks_ = [np.flatnonzero(groups == group) for group in np.unique(groups)]
        nearest = np.empty(len(U))
        for rows in self.blocks_:
            own = squared[rows]
            own[:, rows] = np.inf
            nearest[rows] = own.min(axis=1)
        self.nearest_left_out_ = np.sqrt(nearest)
        return self

    def solve(self, Y):
        """Regress targets on the rows.

        Parameters
        ----------
        Y : ndarray of shape (n_rows, n_targets)
            Targets; NaN where one is missing.

        Returns
        -------
        regression : Regression
            Coefficients and leave-group-out predictions.
        """
        known = np.isfinite(Y)
        mass = self.weight_ @ known
        mean = (self.weight_ @ np.where(known, Y, 0.0)) / np.where(mass > 0, mass, 1.0)
        centred = np.where(known, Y - mean, 0.0)
        for target in np.flatnonzero(~known.all(axis=0)):
            gaps = np.flatnonzero(~known[:, target])
            products = self.precision_[gaps] @ centred[:, target]
            block = self.precision_[np.ix_(gaps, gaps)]
            centred[gaps, target] = -np.linalg.solve(block, products)
        coefficients = self.precision_ @ centred
        left_out = np.empty_like(centred)
        for rows in self.blocks_:
            block = self.precision_[np.ix_(rows, rows)]
            left_out[rows] = centred[rows] - np.linalg.solve(block, coefficients[rows])
        for target in np.flatnonzero(~known.all(axis=0)):
            left_out[:, target] = self._left_out_without(
                ~known[:, target], centred[:, target], coefficients[:, target]
            )
        return Regression(mean, coefficients, left_out + mean)

    def _left_out_without(self, gaps, filled, coefficients):
        """Leave-group-out predictions of one target by the regression on rows that have it.

        That regression's precision is the Schur complement of the gaps' block, of which the
        diagonal blocks are enough.
        """
        left_out = filled.copy()
        places = np.flatnonzero(gaps)
        factor = cho_factor(self.precision_[np.ix_(places, places)])
        for rows in self.blocks_:
            own = rows[~gaps[rows]]
            if not len(own):
                continue  # none of its rows has a part in what they were filled with
            coupling = self.precision_[np.ix_(places, own)]
            solved = cho_solve(factor, coupling)
            block = self.precision_[np.ix_(own, own)] - coupling.T @ solved
            change = np.linalg.solve(block, coefficients[own])
            left_out[own] -= change
            filled_rows = rows[gaps[rows]]
            left_out[filled_rows] += solved[np.searchsorted(places, filled_rows)] @ change
        return left_out


def kernel_predict(U, reference, gamma, mean, coefficients):
    """Predict for new rows.

    Parameters
    ----------
    U : ndarray of shape (n_new, n_columns)
        New rows, scaled.
    reference : ndarray of shape (n_rows, n_columns)
        Rows of `KernelRegression.fit`.
    gamma : float
        Inverse scale of the kernel.
    mean, coefficients : ndarray of shape (n_targets,) and (n_rows, n_targets)
        As in `Regression`.

    Returns
    -------
    predictions : ndarray of shape (n_new, n_targets)
        The targets.
    distances : ndarray of shape (n_new,)
        Root mean squared difference from the nearest row.
    """
    predictions = np.empty((len(U), len(mean)))
    distances = np.empty(len(U))
    for start in range(0, len(U), _CHUNK):
        part = slice(start, start + _CHUNK)
        squared = mean_squared_differences(U[part], reference)
        predictions[part] = mean + np.exp(-gamma * squared) @ coefficients
        distances[part] = np.sqrt(squared.min(axis=1))
    return predictions, distances


def mean_squared_differences(U, V):
    """Mean over columns of the squared differences.

    Parameters
    ----------
    U, V : ndarray of shape (n_u, n_columns) and (n_v, n_columns)
        Rows.

    Returns
    -------
    squared : ndarray of shape (n_u, n_v)
        One value for each pair of rows.
    """
    squared = euclidean_distances(U, V, squared=True)
    squared /= U.shape[1]
    return squared


def _inverse_in_place(matrix):
    """Inverse of a symmetric positive definite matrix, by Cholesky, in its own memory."""
    # What is symmetric is its own transpose, whose order LAPACK takes without a copy.
    inverse, info = lapack.dpotrf(matrix.T, lower=True, clean=False, overwrite_a=True)
    if info == 0:
        inverse, info = lapack.dpotri(inverse, lower=True, overwrite_c=True)
    if info != 0:
        raise ValueError(
            "Expected a kernel matrix that is positive definite, found one that is not. "
            "Raise `ridge`."
        )
    for start in range(0, len(inverse), _ROWS):
        rows = slice(start, start + _ROWS)
        inverse[rows, start + _ROWS :] = inverse[start + _ROWS :, rows].T
        block = np.tril(inverse[rows, rows])
        inverse[rows, rows] = block + np.tril(block, -1).T
    return inverse
