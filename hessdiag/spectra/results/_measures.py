"""Measures: pure functions of a spectrum to one number.

Sums run over eigenvalues with the node's mass ``n_params * weight``, so that all hold for exact
spectra and, as estimates, for quadratures. ``abs`` and ``pos`` in a formula say which part of an
indefinite spectrum counts. The measures of a NaN spectrum are NaN; those of the zero matrix are 0
where they count or sum, NaN where they divide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hessdiag.spectra.results._spectrum import Spectrum


def trace(spectrum: Spectrum) -> float:
    """Sum of all eigenvalues, signed.

    ``sum_i l_i``, the expected rise of twice the loss under isotropic unit noise [1]_.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum.

    Returns
    -------
    float
        The trace, an estimate for a quadrature.

    References
    ----------
    .. [1] Yao, Gholami, Keutzer and Mahoney (2020). PyHessian: neural networks through the lens of
       the Hessian. IEEE Big Data.

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, trace
    >>> trace(Spectrum.from_eigenvalues([2.0, -1.0]))
    1.0
    """
    return spectrum.trace


def max_eigenvalue(spectrum: Spectrum) -> float:
    """Largest eigenvalue, signed (sharpness).

    ``max_i l_i`` [1]_.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum.

    Returns
    -------
    float
        The largest eigenvalue; the largest Ritz value, a lower bound, for a quadrature.

    References
    ----------
    .. [1] Cohen, Kaur, Li, Kolter and Talwalkar (2021). Gradient descent on neural networks
       typically occurs at the edge of stability. ICLR.

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, max_eigenvalue
    >>> max_eigenvalue(Spectrum.from_eigenvalues([2.0, -3.0]))
    2.0
    """
    return spectrum.max_eigenvalue


def min_eigenvalue(spectrum: Spectrum) -> float:
    """Smallest eigenvalue, signed: the most negative curvature.

    ``min_i l_i``, zeros of the null space included [1]_.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum.

    Returns
    -------
    float
        The smallest eigenvalue; the smallest Ritz value, an upper bound, for a quadrature.

    References
    ----------
    .. [1] Sagun, Evci, Guney, Dauphin and Bottou (2017). Empirical analysis of the Hessian of
       over-parametrized neural networks. arXiv:1706.04454.

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, min_eigenvalue
    >>> min_eigenvalue(Spectrum.from_eigenvalues([2.0], n_params=3))
    0.0
    """
    return spectrum.min_eigenvalue


def negative_mass(spectrum: Spectrum) -> float:
    """Share of the curvature that is negative, by magnitude.

    ``sum_{l_i < 0} |l_i| / sum_i |l_i|``, in [0, 1] [1]_; 0 for the zero matrix.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum.

    Returns
    -------
    float
        The share.

    References
    ----------
    .. [1] Alain, Le Roux and Manzagol (2019). Negative eigenvalues of the Hessian in deep neural
       networks. arXiv:1902.02366.

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, negative_mass
    >>> negative_mass(Spectrum.from_eigenvalues([3.0, -1.0]))
    0.25
    """
    values, masses = _values(spectrum)
    total = masses @ np.abs(values)
    return float(masses @ np.maximum(-values, 0.0) / total) if total != 0 else 0.0


def stable_rank(spectrum: Spectrum) -> float:
    """Squared Frobenius norm over squared spectral norm.

    ``sum_i l_i^2 / max_i l_i^2``, abs, at least 1 for a nonzero matrix [1]_.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum.

    Returns
    -------
    float
        The stable rank; 0 for the zero matrix.

    References
    ----------
    .. [1] Rudelson and Vershynin (2007). Sampling from large matrices: an approach through
       geometric functional analysis. Journal of the ACM 54(4).

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, stable_rank
    >>> stable_rank(Spectrum.from_eigenvalues([2.0, 2.0, 0.0]))
    2.0
    """
    shares, masses = _relative(spectrum)
    return float(masses @ shares**2)


def participation_ratio(spectrum: Spectrum) -> float:
    """Number of eigenvalues that share the trace norm evenly, by second moments.

    ``(sum_i |l_i|)^2 / sum_i l_i^2``, abs [1]_.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum.

    Returns
    -------
    float
        The participation ratio, between 1 and the rank; 0 for the zero matrix.

    References
    ----------
    .. [1] Gao, Trautmann, Yu, Santhanam, Ryu, Shenoy and Ganguli (2017). A theory of multineuronal
       dimensionality, dynamics and measurement. bioRxiv 214262.

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, participation_ratio
    >>> participation_ratio(Spectrum.from_eigenvalues([2.0, -2.0, 0.0]))
    2.0
    """
    shares, masses = _relative(spectrum)
    squares = masses @ shares**2
    return float((masses @ shares) ** 2 / squares) if squares != 0 else 0.0


def effective_rank(spectrum: Spectrum) -> float:
    """Exponential of the entropy of the eigenvalues' shares.

    ``exp(-sum_i q_i log q_i)`` with ``q_i = |l_i| / sum_j |l_j|``, abs [1]_.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum.

    Returns
    -------
    float
        The effective rank, between 1 and the rank; 0 for the zero matrix.

    References
    ----------
    .. [1] Roy and Vetterli (2007). The effective rank: a measure of effective dimensionality.
       EUSIPCO.

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, effective_rank
    >>> round(effective_rank(Spectrum.from_eigenvalues([1.0, 1.0, 1.0])), 12)
    3.0
    """
    shares, masses = _relative(spectrum)
    total = masses @ shares
    if total == 0:
        return 0.0
    q = shares / total
    positive = q > 0
    if not np.isfinite(total):
        return math.nan
    return float(np.exp(-(masses[positive] * q[positive]) @ np.log(q[positive])))


def effective_dimension(spectrum: Spectrum, alpha: float) -> float:
    """Number of directions that the data determine against a ridge.

    ``sum_{l_i > 0} l_i / (l_i + alpha)``, pos [1]_.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum.
    alpha : float
        Ridge (prior precision), positive, in the units of the eigenvalues.

    Returns
    -------
    float
        The effective dimension, between 0 and the rank.

    Raises
    ------
    ValueError
        If `alpha` is not positive.

    References
    ----------
    .. [1] MacKay (1992). Bayesian interpolation. Neural Computation 4(3).

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, effective_dimension
    >>> effective_dimension(Spectrum.from_eigenvalues([1.0, 3.0, -1.0]), alpha=1.0)
    1.25
    """
    if not alpha > 0:
        raise ValueError(f"Expected a positive ridge alpha, found {alpha!r}. Pass one above 0.")
    values, masses = _values(spectrum)
    positive = np.maximum(values, 0.0)
    return float(masses @ (positive / (positive + alpha)))


def n_outliers(spectrum: Spectrum, factor: float = 10.0) -> float:
    """Count the eigenvalues that stand out of the bulk.

    Number of ``l_i > factor * mean``, pos, the mean taken over the positive eigenvalues above
    1e-8 of the largest. Trained classifiers have about as many as classes [1]_ [2]_.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum.
    factor : float, default=10.0
        Multiple of the mean that counts as out of the bulk. Our choice: an order of magnitude,
        which no eigenvalue of pure noise reaches (Marchenko-Pastur edges lie within 4 means of a
        square problem).

    Returns
    -------
    float
        The count; a share of the mass times `n_params` for a quadrature.

    References
    ----------
    .. [1] Sagun, Evci, Guney, Dauphin and Bottou (2017). Empirical analysis of the Hessian of
       over-parametrized neural networks. arXiv:1706.04454.
    .. [2] Papyan (2020). Traces of class/cross-class structure pervade deep learning spectra. JMLR
       21(252).

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, n_outliers
    >>> n_outliers(Spectrum.from_eigenvalues([100.0] + [1.0] * 50))
    1.0
    """
    values, masses = _values(spectrum)
    if not np.isfinite(values).all():
        return math.nan
    bulk = values > 1e-8 * max(values.max(), 0.0)
    if not bulk.any():
        return 0.0
    mean = masses[bulk] @ values[bulk] / masses[bulk].sum()
    return float(masses[values > factor * mean].sum())


def condition_number(spectrum: Spectrum) -> float:
    """Largest over smallest positive eigenvalue.

    ``max l_i / min_{l_i > 0} l_i``, pos; rounding errors of the null space do not count [1]_.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum.

    Returns
    -------
    float
        The condition number on the positive part; NaN where no eigenvalue is positive.

    References
    ----------
    .. [1] Golub and Van Loan (2013). Matrix computations, 4th edition, section 2.6.

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, condition_number
    >>> condition_number(Spectrum.from_eigenvalues([8.0, 2.0, 0.0]))
    4.0
    """
    values, _ = _values(spectrum)
    positive = values[values > 0]
    return float(positive.max() / positive.min()) if positive.size else math.nan


def tail_exponent(spectrum: Spectrum, floor: float = 1e-6) -> float:
    """Exponent of the power law by which the eigenvalues fall with their rank.

    Minus the least-squares slope of ``log l_k`` over ``log k``, k the rank in descending order,
    pos, over the eigenvalues above `floor` times the largest [1]_.

    Parameters
    ----------
    spectrum : Spectrum
        The spectrum.
    floor : float, default=1e-6
        Relative size down to which eigenvalues count. Our choice: above single-precision rounding.

    Returns
    -------
    float
        The exponent, 0 for equal eigenvalues; NaN for fewer than three of them.

    References
    ----------
    .. [1] Xie, Tang, Cai, Sun and Li (2022). On the power-law Hessian spectrums in deep learning.
       arXiv:2201.13011.

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, tail_exponent
    >>> round(tail_exponent(Spectrum.from_eigenvalues([1, 1 / 4, 1 / 9, 1 / 16])), 12)
    2.0
    """
    values, masses = _values(spectrum)
    if not np.isfinite(values).all():
        return math.nan
    values, masses = values[::-1], masses[::-1]
    kept = (values > floor * max(values[0], 0.0)) & (masses > 0)
    if np.count_nonzero(kept) < 3:
        return math.nan
    sizes, masses = np.log(values[kept]), masses[kept]
    # A node stands in the middle of the ranks that its mass covers; exact ones at 1, 2, 3, ...
    ranks = np.log(np.cumsum(masses) - 0.5 * masses + 0.5)
    x, y = ranks - np.average(ranks, weights=masses), sizes - np.average(sizes, weights=masses)
    return float(-(masses @ (x * y)) / (masses @ x**2))


def rank_fraction(
    measure: Callable[..., Any], spectrum: Spectrum, rank_bound: int | None = None
) -> float:
    """A rank as a fraction of the largest that is possible.

    ``measure(spectrum) / rank_bound`` with ``rank_bound = min(p, N * rank(Lambda))`` for a
    Gauss-Newton matrix, p for a Hessian [1]_.

    Parameters
    ----------
    measure : callable
        `stable_rank`, `participation_ratio`, `effective_rank` or any other that counts.
    spectrum : Spectrum
        The spectrum.
    rank_bound : int, default=None
        Largest possible rank; `n_params` where None.

    Returns
    -------
    float
        The fraction, in [0, 1].

    References
    ----------
    .. [1] Singh, Bachmann and Hofmann (2021). Analytic insights into structure and rank of neural
       network Hessian maps. NeurIPS.

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum, rank_fraction, stable_rank
    >>> rank_fraction(stable_rank, Spectrum.from_eigenvalues([2.0, 2.0, 0.0, 0.0]))
    0.5
    """
    return measure(spectrum) / (spectrum.n_params if rank_bound is None else rank_bound)


def _values(spectrum):
    """Return the nodes and their masses (numbers of eigenvalues)."""
    return spectrum.nodes, spectrum.weights * spectrum.n_params


def _relative(spectrum):
    """Return magnitudes relative to the largest, which cannot overflow, and masses."""
    values, masses = _values(spectrum)
    sizes = np.abs(values)
    largest = sizes.max()
    if largest == 0:
        return np.zeros_like(sizes), masses
    return sizes / largest, masses


def _fraction(measure):
    """Make the measure that divides by the number of parameters."""

    def fraction(spectrum):
        return rank_fraction(measure, spectrum)

    fraction.__name__ = measure.__name__ + "_fraction"
    fraction.__doc__ = f"{measure.__name__} divided by the number of parameters."
    return fraction


#: All measures that need nothing but the spectrum, by name; `effective_dimension` takes a ridge.
MEASURES = {
    function.__name__: function
    for function in (
        trace,
        max_eigenvalue,
        min_eigenvalue,
        negative_mass,
        stable_rank,
        participation_ratio,
        effective_rank,
        _fraction(stable_rank),
        _fraction(participation_ratio),
        _fraction(effective_rank),
        n_outliers,
        condition_number,
        tail_exponent,
    )
}
