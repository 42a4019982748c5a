"""Approximate leave-one-out predictions from the Gram matrix of a layer's Jacobian.

With `K = J J'` (raw Gram matrix), `B_n B_n' = Lambda_n` (roots of the output Hessians) and `B` their
block diagonal, everything a ridge `alpha` can ask for follows from one eigendecomposition,
`M = B' K B = U diag(d) U'`, and from `P = K B U`:

- `B' A B = U diag(d / (d + alpha)) U'` and `A B = P diag(1 / (d + alpha)) U'`,
- `A = (K - P diag(1 / (d + alpha)) P') / alpha`,

where `A = J (J' Lambda J + alpha I)^-1 J'`. The first line has no cancellation at any `alpha > 0`;
the second loses `eps * |K| / alpha` and is used only for the part of a residual outside the range
of its output Hessian, which is zero for cross-entropy, squared error and every other loss with a
canonical link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = [
    "LeaveOneOut",
    "WeightedGram",
    "leave_one_out",
    "output_hessian_roots",
    "weighted_gram",
    "weighted_gram_from_jacobian",
]


@dataclass(frozen=True, eq=False)
class WeightedGram:
    """Eigendecomposition of `B' K B`, shared by the spectrum and by every statistic of a ridge.

    Attributes
    ----------
    eigenvalues : ndarray of shape (n_eigenvalues,)
        Eigenvalues `d` of the sum over samples `sum_n J_n' Lambda_n J_n`, descending, at least 0. For a mean
        reduction divide by the number of samples. `n_eigenvalues` is `N * R`, or `p` on the thin
        route; further eigenvalues of the (p, p) matrix are zero.
    eigenvectors : ndarray of shape (N * R, n_eigenvalues)
        Eigenvectors `U` of `B' K B`, rows ordered (sample, root).
    projections : ndarray of shape (N * C, n_eigenvalues)
        `P = K B U`, rows ordered (sample, output).
    roots : ndarray of shape (N, C, R)
        `B`, with `B_n B_n' = Lambda_n`.
    rank_bound : int
        `min(N * R, p)` where the number of parameters `p` is known, else `N * R`.
    """

    eigenvalues: np.ndarray
    eigenvectors: np.ndarray
    projections: np.ndarray
    roots: np.ndarray
    rank_bound: int


class LeaveOneOut(NamedTuple):
    """What one pass over a grid of ridges yields, ridges first.

    Attributes
    ----------
    shifts : ndarray of shape (n_ridges, N, C)
        Output without the sample minus the output with it, `A_n (I - Lambda_n A_n)^-1 r_n`.
    leverages : ndarray of shape (n_ridges, N)
        `tr(Lambda_n A_n)`, in [0, R).
    self_influences : ndarray of shape (n_ridges, N)
        `r_n' A_n r_n = g_n' (H + alpha I)^-1 g_n`.
    """

    shifts: np.ndarray
    leverages: np.ndarray
    self_influences: np.ndarray


def output_hessian_roots(output_hessian, rank=None):
    """Return roots `B` with `B_n B_n' = Lambda_n`."""
    raise NotImplementedError


def weighted_gram(gram, roots, n_parameters=None):
    """Decompose `B' K B`, given the raw Gram matrix (full route)."""
    raise NotImplementedError


def weighted_gram_from_jacobian(jacobian, roots):
    """Decompose `B' J J' B`, given the Jacobian (N * C, p) itself (thin route when p < N * R)."""
    raise NotImplementedError


def leave_one_out(weighted, gram, residuals, ridges):
    """Leave-one-out shifts, leverages and self-influences for each of several ridges."""
    raise NotImplementedError
