"""Approximate leave-one-out predictions from the Gram matrix of a layer's Jacobian.

With `K = J J'` (raw Gram matrix), `B_n B_n' = Lambda_n` (roots of the output Hessians) and `B`
their block diagonal, all that depends on a ridge `alpha` follows from one eigendecomposition,
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
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hessdiag.moved import renamed_keyword

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class WeightedGram:
    """Eigendecomposition of `B' K B`, shared by the spectrum and by every statistic of a ridge.

    Parameters
    ----------
    eigenvalues : ndarray of shape (n_eigenvalues,)
        Eigenvalues `d` of the sum over samples `sum_n J_n' Lambda_n J_n`, descending, at least 0.
        For a mean reduction divide by the number of samples. `n_eigenvalues` is `N * R`, or `p` on
        the thin route; further eigenvalues of the (p, p) matrix are zero.
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

    Parameters
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


def output_hessian_roots(output_hessian: ArrayLike, rank: int | None = None) -> np.ndarray:
    """Take roots `B_n B_n' = Lambda_n` of output Hessians, with as few columns as the rank allows.

    Negative eigenvalues, which a loss that is not convex in the outputs can have, are clipped to
    zero: leave-one-out and effective dimension need a positive semidefinite `Lambda_n`.

    Parameters
    ----------
    output_hessian : array-like of shape (N, C, C)
        Second derivatives of each sample's loss in its outputs.
    rank : int or None, default=None
        Largest rank to keep, for a caller who knows it (C - 1 for cross-entropy). By default,
        trailing columns are dropped whose eigenvalues are below 1e-10 of the largest one over all
        samples, which changes `sum_n J_n' Lambda_n J_n` by less than rounding of `Lambda` itself
        does in a saturated network.

    Returns
    -------
    ndarray of shape (N, C, R)
        Roots with orthogonal columns per sample, largest eigenvalue first; `1 <= R <= C`.

    Raises
    ------
    ValueError
        If `output_hessian` is not of shape (N, C, C), or `rank` is not in 1..C.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([0.5, 0.3, 0.2])
    >>> roots = output_hessian_roots([np.diag(p) - np.outer(p, p)])
    >>> roots.shape
    (1, 3, 2)
    """
    hessian = np.asarray(output_hessian, dtype=np.float64)
    if hessian.ndim != 3 or hessian.shape[1] != hessian.shape[2] or 0 in hessian.shape:
        raise ValueError(
            f"Expected output_hessian of shape (N, C, C), found {hessian.shape}. Reshape second "
            "derivatives for one output per sample to (N, 1, 1)."
        )
    n_outputs = hessian.shape[1]
    if rank is not None and not 1 <= rank <= n_outputs:
        raise ValueError(
            f"Expected rank between 1 and C = {n_outputs}, found {rank}. Pass None to choose it."
        )
    if not np.isfinite(hessian).all():
        return np.full((len(hessian), n_outputs, rank or n_outputs), np.nan)
    if n_outputs == 1:
        return np.sqrt(np.maximum(hessian, 0.0))
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.transpose(0, 2, 1)))
    values = np.maximum(values[:, ::-1], 0.0)
    if rank is None:
        largest = values.max(axis=0)
        rank = max(1, int(np.count_nonzero(largest > 1e-10 * largest[0])))
    return vectors[:, :, ::-1][:, :, :rank] * np.sqrt(values[:, None, :rank])


@renamed_keyword("n_parameters", "n_params")
def weighted_gram(gram: ArrayLike, roots: ArrayLike, n_params: int | None = None) -> WeightedGram:
    """Decompose `B' K B` from the raw Gram matrix: one eigendecomposition of size N * R.

    Parameters
    ----------
    gram : array-like of shape (N * C, N * C)
        Raw Gram matrix `K = J J'`, rows ordered (sample, output).
    roots : array-like of shape (N, C, R)
        Roots `B` of the output Hessians, see `output_hessian_roots`.
    n_params : int or None, default=None
        Number of parameters behind `gram`; only bounds the rank.

    Returns
    -------
    WeightedGram
        The decomposition. All its numbers are NaN where `gram` or `roots` are not finite.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> jacobian = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> decomposed = weighted_gram(jacobian @ jacobian.T, np.ones((3, 1, 1)), n_params=2)
    >>> decomposed.eigenvalues.round(12) + 0.0
    array([9., 2., 0.])
    >>> decomposed.rank_bound
    2
    """
    gram, roots = np.asarray(gram, dtype=np.float64), _checked_roots(roots)
    n_samples, n_outputs, n_roots = roots.shape
    n_rows, size = n_samples * n_outputs, n_samples * n_roots
    if gram.shape != (n_rows, n_rows):
        raise ValueError(
            f"Expected gram of shape (N * C, N * C) = ({n_rows}, {n_rows}) for roots of shape "
            f"{roots.shape}, found {gram.shape}. Order its rows (sample, output)."
        )
    rank_bound = size if n_params is None else min(size, n_params)
    if not (np.isfinite(gram).all() and np.isfinite(roots).all()):
        return _undefined(size, roots, rank_bound)
    # K B, one (N * C, C) slab of K per sample; then B' (K B).
    slabs = gram.reshape(n_rows, n_samples, n_outputs).transpose(1, 0, 2)
    columns = (slabs @ roots).transpose(1, 0, 2).reshape(n_rows, size)
    weighted = roots.transpose(0, 2, 1) @ columns.reshape(n_samples, n_outputs, size)
    values, vectors = np.linalg.eigh(weighted.reshape(size, size))
    vectors = np.ascontiguousarray(vectors[:, ::-1])
    return WeightedGram(
        eigenvalues=np.maximum(values[::-1], 0.0),
        eigenvectors=vectors,
        projections=columns @ vectors,
        roots=roots,
        rank_bound=rank_bound,
    )


def weighted_gram_from_jacobian(jacobian: ArrayLike, roots: ArrayLike) -> WeightedGram:
    """Decompose `B' K B` from the Jacobian: an eigendecomposition of size min(p, N * R).

    Parameters
    ----------
    jacobian : array-like of shape (N * C, p)
        Derivatives of the outputs in the parameters, rows ordered (sample, output).
    roots : array-like of shape (N, C, R)
        Roots `B` of the output Hessians, see `output_hessian_roots`.

    Returns
    -------
    WeightedGram
        The decomposition, with p eigenvalues where `p < N * R`. All its numbers are NaN where the
        inputs are not finite.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> jacobian = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> weighted_gram_from_jacobian(jacobian, np.ones((3, 1, 1))).eigenvalues
    array([9., 2.])
    """
    jacobian, roots = np.asarray(jacobian, dtype=np.float64), _checked_roots(roots)
    n_samples, n_outputs, n_roots = roots.shape
    if jacobian.ndim != 2 or len(jacobian) != n_samples * n_outputs:
        raise ValueError(
            f"Expected jacobian of shape (N * C, p) = ({n_samples * n_outputs}, p) for roots of "
            f"shape {roots.shape}, found {jacobian.shape}. Order its rows (sample, output)."
        )
    n_params, size = jacobian.shape[1], n_samples * n_roots
    if n_params >= size:
        return weighted_gram(jacobian @ jacobian.T, roots, n_params)
    if not (np.isfinite(jacobian).all() and np.isfinite(roots).all()):
        return _undefined(n_params, roots, n_params)
    blocks = jacobian.reshape(n_samples, n_outputs, n_params)
    rows = (roots.transpose(0, 2, 1) @ blocks).reshape(size, n_params)
    _, directions = np.linalg.eigh(rows.T @ rows)
    rotated = rows @ directions
    # Squared lengths resolve small eigenvalues better than eigh of a squared matrix, and make the
    # eigenvectors U = rotated / sqrt(d) unit vectors down to the smallest d.
    values = np.einsum("ij,ij->j", rotated, rotated)
    order = np.argsort(values)[::-1]
    values, rotated, directions = values[order], rotated[:, order], directions[:, order]
    lengths = np.sqrt(values)
    vectors = np.divide(rotated, lengths, out=np.zeros_like(rotated), where=lengths > 0)
    return WeightedGram(
        eigenvalues=values,
        eigenvectors=vectors,
        projections=(jacobian @ directions) * lengths,
        roots=roots,
        rank_bound=n_params,
    )


def leave_one_out(
    weighted: WeightedGram, gram: ArrayLike, residuals: ArrayLike, ridges: ArrayLike
) -> LeaveOneOut:
    """Leave-one-out shifts, leverages and self-influences for each of several ridges.

    Leaving sample n out of `sum_m loss_m + (alpha / 2) |theta|^2` at its stationary point leaves
    the gradient `-g_n = -J_n' r_n`; one Newton step from there moves the parameters by
    `(H + alpha I - J_n' Lambda_n J_n)^-1 J_n' r_n`, with `H = sum_m J_m' Lambda_m J_m`, and
    therefore the linearized output by `+ A_n (I - Lambda_n A_n)^-1 r_n`, with
    `A_n = J_n (H + alpha I)^-1 J_n'`. Exact for squared error and a linear model.

    With `r_n = B_n rho_n + s_n`, s_n outside the range of `Lambda_n`, and `Q_n = B_n' A_n B_n`,
    it is computed as `A_n B_n (I - Q_n)^-1 (rho_n + B_n' A_n s_n) + A_n s_n`. The eigenvalues of
    `I - Q_n` are at least `alpha / (d_max + alpha)`, so the inverse always exists; rounding is
    held to that bound.

    Parameters
    ----------
    weighted : WeightedGram
        Decomposition of `B' K B`.
    gram : array-like of shape (N * C, N * C)
        Raw Gram matrix `K`; only its (C, C) diagonal blocks are read, and only where a residual
        leaves the range of its output Hessian.
    residuals : array-like of shape (N, C)
        Derivatives `r_n` of each sample's loss in its outputs.
    ridges : array-like of shape (n_ridges,)
        Ridges `alpha > 0`, on the scale of the sum over samples.

    Returns
    -------
    LeaveOneOut
        Shifts of the outputs, leverages and self-influences.

    Notes
    -----
    For `alpha >= 1e-8 d_max` and residuals in the range of their output Hessians, shifts have a
    relative error of about 1e-12 on the route that fits the layer (the Gram matrix for
    `p >= N * R`, the Jacobian below), and of `1e-16 d_max / alpha` from the Gram matrix of a layer
    with fewer parameters. A part s_n outside the range adds about `1e-16 |K_nn s_n| / alpha`.

    References
    ----------
    .. [1] K. R. Rad, A. Maleki, "A scalable estimate of the out-of-sample prediction error via
       approximate leave-one-out cross-validation", JRSS B 82(4), 2020.
    .. [2] A. Beirami, M. Razaviyayn, S. Shahrampour, V. Tarokh, "On optimal generalizability in
       parametric learning", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [2.0]])
    >>> weight = (x * y).sum() / ((x * x).sum() + 1.0)  # ridge regression, alpha = 1
    >>> decomposed = weighted_gram(x @ x.T, np.ones((3, 1, 1)))
    >>> left = leave_one_out(decomposed, x @ x.T, weight * x - y, [1.0])
    >>> (weight * x + left.shifts[0]).ravel().round(6)  # x_n times the weight fitted without n
    array([0.714286, 1.272727, 2.5     ])
    """
    residuals, ridges = np.asarray(residuals, np.float64), np.asarray(ridges, np.float64)
    roots, values = weighted.roots, weighted.eigenvalues
    n_samples, n_outputs, n_roots = roots.shape
    if residuals.shape != (n_samples, n_outputs):
        raise ValueError(
            f"Expected residuals of shape (N, C) = ({n_samples}, {n_outputs}) for roots of shape "
            f"{roots.shape}, found {residuals.shape}. Give a row for each sample."
        )
    if not (ridges.ndim == 1 and np.isfinite(ridges).all() and (ridges > 0).all()):
        raise ValueError(
            f"Expected ridges as a list of finite positive numbers, found {ridges!r}. Put a single "
            "one in a list."
        )
    result = LeaveOneOut(
        shifts=np.full((len(ridges), n_samples, n_outputs), np.nan),
        leverages=np.full((len(ridges), n_samples), np.nan),
        self_influences=np.full((len(ridges), n_samples), np.nan),
    )
    if not (np.isfinite(values).all() and np.isfinite(residuals).all()):
        return result

    vectors = weighted.eigenvectors.reshape(n_samples, n_roots, -1)
    projections = weighted.projections.reshape(n_samples, n_outputs, -1)
    inside, outside = split_by_range(roots, residuals)
    vectors_inside = _rows_times(vectors, inside)
    squared_lengths = np.einsum("nrk,nrk->nk", vectors, vectors)
    complete = vectors.shape[2] == n_samples * n_roots
    if outside is not None:
        blocks = np.einsum(
            "ncnd->ncd", np.asarray(gram).reshape(n_samples, n_outputs, n_samples, n_outputs)
        )
        raw_outside = np.einsum("ncd,nd->nc", blocks, outside)
        projections_outside = _rows_times(projections, outside)

    identity = np.eye(n_roots)
    for index, ridge in enumerate(ridges):
        shrinkage, inverse = values / (values + ridge), 1.0 / (values + ridge)
        result.leverages[index] = squared_lengths @ shrinkage
        influence = vectors_inside**2 @ shrinkage
        target = inside
        if outside is not None:
            response = (raw_outside - _combine(projections, projections_outside * inverse)) / ridge
            # B' A s, from the same decomposition as A B.
            cross = _combine(vectors, projections_outside * inverse)
            target = inside + cross
            influence += 2 * (inside * cross).sum(axis=1) + (outside * response).sum(axis=1)
        # I - Q_n; a complete basis gives it without subtracting from the identity.
        weights = ridge * inverse if complete else shrinkage
        remaining = (vectors * weights) @ vectors.transpose(0, 2, 1)
        if not complete:
            remaining = identity - remaining
        solved = _solve_bounded(remaining, target, ridge / (values.max(initial=0.0) + ridge))
        shifts = _combine(projections, _rows_times(vectors, solved) * inverse)
        result.shifts[index] = shifts if outside is None else shifts + response
        result.self_influences[index] = influence
    return result


def _checked_roots(roots):
    """Return roots as float64; refuse another shape."""
    roots = np.asarray(roots, dtype=np.float64)
    if roots.ndim != 3 or 0 in roots.shape:
        raise ValueError(
            f"Expected roots of shape (N, C, R), found {roots.shape}. Make them with "
            "output_hessian_roots."
        )
    return roots


def _undefined(size, roots, rank_bound):
    """Return the decomposition of something that is not finite: NaN everywhere."""
    n_samples, n_outputs, n_roots = roots.shape
    return WeightedGram(
        eigenvalues=np.full(size, np.nan),
        eigenvectors=np.full((n_samples * n_roots, size), np.nan),
        projections=np.full((n_samples * n_outputs, size), np.nan),
        roots=roots,
        rank_bound=rank_bound,
    )


def _rows_times(matrices, rows):
    """Multiply each row vector `rows[n]` with its matrix `matrices[n]`."""
    return (rows[:, None, :] @ matrices)[:, 0]


def _combine(matrices, coefficients):
    """Multiply each matrix `matrices[n]` with its column vector `coefficients[n]`."""
    return (matrices @ coefficients[:, :, None])[:, :, 0]


def split_by_range(roots, residuals):
    """Split residuals into `B_n rho_n` and a rest, None where that is rounding for all samples."""
    left, lengths, right = np.linalg.svd(roots, full_matrices=False)
    # Roots are square roots: a length at sqrt(eps) is an eigenvalue at eps, which is rounding.
    cutoff = np.sqrt(roots.shape[1] * np.finfo(np.float64).eps) * lengths[:, :1]
    kept = (lengths > cutoff) & (lengths > 0)
    coordinates = np.where(kept, (residuals[:, None, :] @ left)[:, 0], 0.0)
    outside = residuals - (left @ coordinates[:, :, None])[:, :, 0]
    scaled = np.divide(coordinates, lengths, out=np.zeros_like(coordinates), where=kept)
    inside = (scaled[:, None, :] @ right)[:, 0]
    sizes, rests = np.linalg.norm(residuals, axis=1), np.linalg.norm(outside, axis=1)
    # 1 - p of a saturated sample is rounded relative to 1, hence the second, common tolerance.
    counted = rests > np.maximum(1e-7 * sizes, 1e-12 * sizes.max())
    return inside, np.where(counted[:, None], outside, 0.0) if counted.any() else None


def _solve_bounded(matrices, targets, lower_bound):
    """Solve symmetric systems whose eigenvalues are known to lie in [lower_bound, 1]."""
    if matrices.shape[1] == 1:
        return targets / np.clip(matrices[:, :, 0], lower_bound, 1.0)
    values, vectors = np.linalg.eigh(matrices)
    coordinates = (targets[:, None, :] @ vectors)[:, 0] / np.clip(values, lower_bound, 1.0)
    return (vectors @ coordinates[:, :, None])[:, :, 0]
