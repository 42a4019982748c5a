"""Statistics of a layer that need its Gram matrix and residuals, not only its spectrum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hessdiag.examination._leave_one_out import (
    leave_one_out,
    output_hessian_roots,
    split_by_range,
    weighted_gram,
)
from hessdiag.moved import renamed_keyword

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from hessdiag.examination._leave_one_out import WeightedGram


# Multiples of the prior's precision: two decades around it.
MULTIPLES = (0.01, 0.1, 1.0, 10.0, 100.0)
# Rounding of what is computed in float64, and how many times as large something is to be.
RESOLUTION, BEYOND = 1e-13, 10.0


@renamed_keyword("n_parameters", "n_params")
def gram_statistics(
    gram: ArrayLike,
    output_hessian: ArrayLike | None,
    residuals: ArrayLike,
    outputs: ArrayLike,
    targets: ArrayLike,
    pointwise_loss: Callable[..., Any],
    ridge_scale: float,
    multiples: Sequence[float] = MULTIPLES,
    eig: WeightedGram | None = None,
    n_params: int | None = None,
    resolution: float = RESOLUTION,
) -> dict[str, float]:
    """Compute the statistics of a layer, or of the whole net, from its Gram matrix and residuals.

    Below, `J_n` (C, p) are the derivatives of the outputs of sample n in the parameters,
    `K = J J'`, `Lambda_n` and `r_n` the second and first derivatives of the loss of sample n in its
    outputs, `g_n = J_n' r_n`, `H = sum_n J_n' Lambda_n J_n`, `alpha = m * ridge_scale` for each
    multiple m, and `A_n = J_n (H + alpha I)^-1 J_n'`. Names end in the multiple, as in
    ``alo_loss_0.1``.

    Parameters
    ----------
    gram : array-like of shape (N * C, N * C)
        Raw Gram matrix `K` of the layer (or the sum of the layers' Gram matrices, each divided by
        the layer's own ridge, with ``ridge_scale=1``), rows ordered (sample, output).
    output_hessian : array-like of shape (N, C, C) or None
        `Lambda_n`, of the loss of each sample, not divided by N. Not read where `eig` is given.
        Negative eigenvalues are clipped to zero, see `output_hessian_roots`.
    residuals : array-like of shape (N, C)
        `r_n`, of the loss of each sample, not divided by N.
    outputs : array-like of shape (N, C)
        Outputs of the network.
    targets : array-like of shape (N, C)
        Targets minus their mean over samples: one-hot classes, or the regression targets.
    pointwise_loss : callable
        Maps outputs (N, C) to a pair of arrays (N,): losses, and errors (0 or 1 for a
        classification, shares of the squared error for a regression).
    ridge_scale : float
        Precision `p / |w|^2` of the isotropic Gaussian prior under which the trained weights are
        typical [1]_, on the scale of the sum over samples. Where it is not finite and positive,
        all statistics of a ridge are NaN.
    multiples : sequence of float, default=(0.01, 0.1, 1.0, 10.0, 100.0)
        Ridges to evaluate, as multiples of `ridge_scale`: two decades around it.
    eig : WeightedGram or None, default=None
        Decomposition of `B' K B` where the caller has it already.
    n_params : int or None, default=None
        Number of parameters p, for the rank bound; only read where `eig` is not given.
    resolution : float, default=1e-13
        Rounding of `gram`, relative to its size. Statistics of what is no larger than some ten
        times that are NaN: of a kernel that is the same for all samples, of gradients that cancel.

    Returns
    -------
    dict of str to float
        For each multiple m:

        - ``effective_dimension_{m}``: `sum_k d_k / (d_k + alpha)`, d the eigenvalues of H [1]_;
          ``effective_dimension_fraction_{m}``: the same over min(N R, p).
        - ``alo_loss_{m}``, ``alo_error_{m}``: mean loss and error of the leave-one-out outputs
          `z_n + A_n (I - Lambda_n A_n)^-1 r_n` [2]_; ``alo_gap_{m}``, ``alo_error_gap_{m}``: the
          same minus mean loss and error of the outputs; ``alo_median_gap_{m}``: median over
          samples of the loss difference, which a few samples far outside the reach of a quadratic
          model do not move.
        - ``takeuchi_{m}``: `tr((H + alpha I)^-1 sum_n g_n g_n') / N = mean_n r_n' A_n r_n` [3]_.

        Over the grid of multiples:

        - ``alo_best_loss``, ``alo_best_gap``: lowest ``alo_loss``, and the same minus the mean
          loss; ``alo_best_log10_ridge``: log10 of its multiple.

        At ``ridge_scale`` itself, from the leverages `h_n = tr(Lambda_n A_n)`:

        - ``leverage_mean``, ``leverage_max``, ``leverage_dispersion`` (standard deviation over
          mean), ``leverage_high_share``: share of samples with h_n above twice the mean [4]_.
        - ``leverage_loss_correlation``: rank correlation of h_n and the loss;
          ``self_influence_dispersion``: standard deviation over mean of `r_n' A_n r_n`;
          ``self_influence_loss_correlation``: its rank correlation with the loss.

        Without a ridge:

        - ``gradient_norm``: `|mean_n g_n|`; ``gradient_noise``: square root of the trace of the
          covariance of g_n (divisor N - 1); ``gradient_snr``: `|mean g|^2 / (tr cov / N)`.
        - ``gradient_effective_rank``: `(tr G)^2 / |G|_F^2` with `G_nm = g_n' g_m`, in 1..N;
          ``gradient_coherence``: `(|sum g|^2 - sum |g|^2) / ((N - 1) sum |g|^2)`, in
          [-1 / (N - 1), 1]; ``gradient_class_coherence``: mean cosine of gradients of the same
          class minus that of different classes, NaN unless targets repeat.
        - ``target_alignment``: `y' K y / (|K|_F |y|^2)`; ``residual_alignment``: the same with r;
          ``centred_target_alignment``, ``centred_residual_alignment``: the same with the rows of
          K, y and r centred over samples, output by output [5]_.
        - ``residual_energy_outputs``, ``residual_energy_tenth``: share of `|B^+ r|^2` in the C
          leading eigenvectors of `B' K B`, and in the leading min(N R, p) / 10 of them.

        A statistic that is not defined (a variance of one sample, zero gradients, inputs that are
        not finite) is NaN.

    Raises
    ------
    ValueError
        If shapes do not fit, or `multiples` are not finite and positive.

    References
    ----------
    .. [1] D. J. C. MacKay, "Bayesian interpolation", Neural Computation 4(3), 1992.
    .. [2] K. R. Rad, A. Maleki, "A scalable estimate of the out-of-sample prediction error via
       approximate leave-one-out cross-validation", JRSS B 82(4), 2020.
    .. [3] V. Thomas et al., "On the interplay between noise and curvature and its effect on
       optimization and generalization", AISTATS 2020, after K. Takeuchi (1976).
    .. [4] D. C. Hoaglin, R. E. Welsch, "The hat matrix in regression and ANOVA", The American
       Statistician 32(1), 1978.
    .. [5] C. Cortes, M. Mohri, A. Rostamizadeh, "Algorithms for learning kernels based on centered
       alignment", JMLR 13, 2012.

    Examples
    --------
    Ridge regression on two points through the origin, at its own ridge:

    >>> import numpy as np
    >>> x, y = np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]])
    >>> outputs = x * (x * y).sum() / ((x * x).sum() + 1.0)
    >>> def loss(z):
    ...     return 0.5 * (z - y)[:, 0] ** 2, (z - y)[:, 0] ** 2
    >>> statistics = gram_statistics(
    ...     x @ x.T, np.ones((2, 1, 1)), outputs - y, outputs, y - y.mean(), loss, 1.0
    ... )
    >>> round(statistics["effective_dimension_1"], 6)  # 5 / (5 + 1)
    0.833333
    >>> round(statistics["alo_loss_1"], 6)  # ((1 * 6 / 5 - 1)^2 + (2 * 1 / 2 - 3)^2) / 4
    1.01
    """
    gram, residuals, outputs, targets = (
        np.asarray(array, dtype=np.float64) for array in (gram, residuals, outputs, targets)
    )
    multiples = np.asarray(multiples, dtype=np.float64)
    _check_inputs(gram, residuals, outputs, targets, multiples)
    with np.errstate(all="ignore"):
        if eig is None:
            if output_hessian is None:
                raise ValueError(
                    "Expected output Hessians or a decomposition, found neither. "
                    "Give `output_hessian` or `eig`."
                )
            eig = weighted_gram(gram, output_hessian_roots(output_hessian), n_params)
        losses, errors = _evaluate(pointwise_loss, outputs)
        statistics = ridge_statistics(
            eig,
            gram,
            residuals,
            outputs,
            losses,
            errors,
            pointwise_loss,
            ridge_scale,
            multiples,
            resolution,
        )
        statistics.update(gradient_statistics(gram, residuals, targets, resolution))
        statistics.update(_alignments(gram, residuals, targets, resolution))
        statistics.update(_residual_energies(eig, residuals))
    return {
        name: float(value) if np.isfinite(value) else float("nan")
        for name, value in statistics.items()
    }


def _check_inputs(gram, residuals, outputs, targets, multiples):
    """Check that shapes fit each other and multiples are usable."""
    if residuals.ndim != 2 or 0 in residuals.shape:
        raise ValueError(
            f"Expected residuals of shape (N, C), found {residuals.shape}. Reshape the derivatives "
            "for one output per sample to (N, 1)."
        )
    for name, array in (("outputs", outputs), ("targets", targets)):
        if array.shape != residuals.shape:
            raise ValueError(
                f"Expected {name} of the shape of residuals, {residuals.shape}, found "
                f"{array.shape}. Give a row for each sample."
            )
    if gram.shape != (residuals.size, residuals.size):
        raise ValueError(
            f"Expected gram of shape (N * C, N * C) = ({residuals.size}, {residuals.size}), found "
            f"{gram.shape}. Order its rows (sample, output)."
        )
    if multiples.ndim != 1 or not (np.isfinite(multiples) & (multiples > 0)).all():
        raise ValueError(
            f"Expected multiples as a list of finite positive numbers, found {multiples!r}. Put a "
            "single one in a list."
        )


def _evaluate(pointwise_loss, outputs):
    """Losses and errors of every sample as float64 vectors, NaN where an output is not finite."""
    if not np.isfinite(outputs).all():
        return np.full(len(outputs), np.nan), np.full(len(outputs), np.nan)
    losses, errors = pointwise_loss(outputs)
    return np.asarray(losses, dtype=np.float64), np.asarray(errors, dtype=np.float64)


def ridge_statistics(
    eig,
    gram,
    residuals,
    outputs,
    losses,
    errors,
    pointwise_loss,
    ridge_scale,
    multiples,
    resolution=RESOLUTION,
):
    """Effective dimension, leave-one-out, Takeuchi and leverage over the grid of ridges."""
    own = np.flatnonzero(multiples == 1.0)
    own, grid = (own[0], multiples) if len(own) else (-1, np.append(multiples, 1.0))
    ridges = grid * ridge_scale
    usable = (
        np.isfinite(ridges).all()
        and (ridges > 0).all()
        and all(np.isfinite(array).all() for array in (gram, outputs, residuals))
    )
    if usable:
        left = leave_one_out(eig, gram, residuals, ridges)
    statistics, alo_losses = {}, np.full(len(multiples), np.nan)
    for index, multiple in enumerate(multiples):
        dimension = alo_error = median_gap = takeuchi = np.nan
        if usable:
            dimension = (eig.eigenvalues / (eig.eigenvalues + ridges[index])).sum()
            left_losses, left_errors = _evaluate(pointwise_loss, outputs + left.shifts[index])
            alo_losses[index], alo_error = left_losses.mean(), left_errors.mean()
            median_gap = np.median(left_losses - losses)
            takeuchi = left.self_influences[index].mean()
        statistics |= {
            f"effective_dimension_{multiple:g}": dimension,
            f"effective_dimension_fraction_{multiple:g}": dimension / eig.rank_bound,
            f"alo_loss_{multiple:g}": alo_losses[index],
            f"alo_error_{multiple:g}": alo_error,
            f"alo_gap_{multiple:g}": alo_losses[index] - losses.mean(),
            f"alo_error_gap_{multiple:g}": alo_error - errors.mean(),
            f"alo_median_gap_{multiple:g}": median_gap,
            f"takeuchi_{multiple:g}": takeuchi,
        }
    finite = np.isfinite(alo_losses)
    best = np.argmin(np.where(finite, alo_losses, np.inf)) if finite.any() else None
    best_loss = best_ridge = np.nan
    rounding = BEYOND * resolution
    if best is not None:
        best_loss = alo_losses[best]
        # Where no ridge makes a difference but for rounding, none is the best.
        spread = np.ptp(alo_losses[finite])
        if _beyond(spread, rounding * np.abs(alo_losses[finite]).max()) >= 0:
            best_ridge = np.log10(multiples[best])
    nothing = np.full(len(losses), np.nan)
    leverages = left.leverages[own] if usable else nothing
    influences = left.self_influences[own] if usable else nothing
    own_leverages = leverages if leverages.std() > rounding * leverages.mean() else nothing
    high = np.nan
    if usable and leverages.mean() > 0:
        high = (leverages > 2 * leverages.mean()).mean()
    return statistics | {
        "alo_best_loss": best_loss,
        "alo_best_gap": best_loss - losses.mean(),
        "alo_best_log10_ridge": best_ridge,
        "leverage_mean": leverages.mean(),
        "leverage_max": leverages.max(),
        "leverage_dispersion": leverages.std() / leverages.mean(),
        "leverage_high_share": high,
        "leverage_loss_correlation": _rank_correlation(own_leverages, losses),
        "self_influence_dispersion": _beyond(influences.std() / influences.mean(), rounding),
        "self_influence_loss_correlation": _rank_correlation(influences, losses),
    }


def _beyond(value, rounding):
    """Return a number where it is more than rounding, or nothing at all; NaN elsewhere."""
    return value if value > rounding or value == 0 else np.nan


def gradient_statistics(gram, residuals, targets, resolution=RESOLUTION):
    """Signal, noise and coherence of the per-sample gradients, from `G_nm = r_n' K_nm r_m`."""
    n_samples, n_outputs = residuals.shape
    products = np.einsum("amc,mc->am", gram.reshape(-1, n_samples, n_outputs), residuals)
    products = products.reshape(n_samples, n_outputs, n_samples)
    inner = np.einsum("ncm,nc->nm", products, residuals)
    squares, total = np.maximum(inner.diagonal(), 0.0), np.maximum(inner.sum(), 0.0)
    energy, rounding = squares.sum(), BEYOND * resolution
    # Of a sum of gradients the rounding of all of them is left.
    signal = _beyond(total, rounding**2 * energy) / n_samples**2
    noise = snr = coherence = np.nan
    if n_samples > 1:
        noise = _beyond(energy - total / n_samples, rounding * energy) / (n_samples - 1)
        snr = signal / (noise / n_samples)
        coherence = (total - energy) / ((n_samples - 1) * energy)
    return {
        "gradient_norm": np.sqrt(signal),
        "gradient_noise": np.sqrt(noise),
        "gradient_snr": snr,
        "gradient_effective_rank": energy**2 / (inner**2).sum(),
        "gradient_coherence": coherence,
        "gradient_class_coherence": _class_coherence(inner, squares, targets),
    }


def _class_coherence(inner, squares, targets):
    """Mean cosine of the nonzero gradients within a class minus that between classes."""
    _, classes = np.unique(targets, axis=0, return_inverse=True)
    classes = classes.ravel()
    n_classes, moving = classes.max() + 1, squares > 0
    if not 2 <= n_classes <= len(targets) / 2:
        return np.nan
    directions = 1.0 / np.sqrt(squares[moving])
    cosines = inner[np.ix_(moving, moving)] * directions[:, None] * directions
    same = classes[moving][:, None] == classes[moving]
    between = cosines[~same].sum() / np.count_nonzero(~same)
    np.fill_diagonal(same, False)
    return cosines[same].sum() / np.count_nonzero(same) - between


def _alignments(gram, residuals, targets, resolution):
    """Cosines of K with the targets' and the residuals' outer products, raw and centred."""
    n_samples, n_outputs = residuals.shape
    blocks = gram.reshape(n_samples, n_outputs, n_samples, n_outputs)
    row_means = blocks.mean(axis=0, keepdims=True)
    centred = blocks - row_means - blocks.mean(axis=2, keepdims=True)
    centred += row_means.mean(axis=2, keepdims=True)
    centred = centred.reshape(gram.shape)
    if not np.linalg.norm(centred) > BEYOND * resolution * np.linalg.norm(gram):
        centred = np.full_like(gram, np.nan)
    return {
        "target_alignment": alignment(gram, targets),
        "residual_alignment": alignment(gram, residuals),
        "centred_target_alignment": alignment(centred, targets - targets.mean(axis=0)),
        "centred_residual_alignment": alignment(centred, residuals - residuals.mean(axis=0)),
    }


def alignment(gram, vectors):
    """Cosine of two matrices, K and the outer product of a vector with itself."""
    vector = vectors.ravel()
    return vector @ gram @ vector / (np.linalg.norm(gram) * (vector @ vector))


def _residual_energies(eig, residuals):
    """Shares of the whitened residuals' energy in the leading eigenvectors of `B' K B`."""
    values, n_outputs, tenth = eig.eigenvalues, residuals.shape[1], -(-eig.rank_bound // 10)
    outputs_share = tenth_share = np.nan
    if np.isfinite(values).all() and np.isfinite(residuals).all():
        whitened = split_by_range(eig.roots, residuals)[0].ravel()
        # Eigenvectors of eigenvalues that are rounding are arbitrary.
        cutoff = 10 * len(whitened) * np.finfo(np.float64).eps * values.max(initial=0.0)
        leading = eig.eigenvectors[:, : min(max(n_outputs, tenth), np.sum(values > cutoff))]
        energies = (whitened @ leading) ** 2 / (whitened @ whitened)
        outputs_share, tenth_share = energies[:n_outputs].sum(), energies[:tenth].sum()
        if not whitened.any():
            outputs_share = tenth_share = np.nan
    return {"residual_energy_outputs": outputs_share, "residual_energy_tenth": tenth_share}


def _rank_correlation(first, second):
    """Spearman's rank correlation, ties sharing their mean rank; NaN where one is constant."""
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return np.nan
    first, second = _centred_ranks(first), _centred_ranks(second)
    return first @ second / np.sqrt((first @ first) * (second @ second))


def _centred_ranks(values):
    """Ranks minus their mean; values equal up to rounding are ties."""
    scale = np.abs(values).max()
    _, inverse, counts = np.unique(
        np.round(values / scale, 12) if scale > 0 else values,
        return_inverse=True,
        return_counts=True,
    )
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return ranks[inverse] - (len(values) + 1) / 2
