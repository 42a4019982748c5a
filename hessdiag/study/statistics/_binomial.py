"""Shares with exact intervals, and corrections for many tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def share_interval(n_held: int, n: int, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return a share and its exact binomial interval.

    Parameters
    ----------
    n_held : int
        How many held.
    n : int
        Out of how many; 0 gives NaN.
    confidence : float, default=0.95
        Coverage of the interval of Clopper and Pearson [1]_.

    Returns
    -------
    share, low, high : float
        The share and its interval.

    References
    ----------
    .. [1] Clopper, Pearson (1934). The use of confidence or fiducial limits illustrated in the case
       of the binomial. Biometrika 26(4).

    Examples
    --------
    >>> from hessdiag.study.statistics import share_interval
    >>> [round(x, 3) for x in share_interval(9, 10)]
    [0.9, 0.555, 0.997]
    """
    if n == 0:
        return np.nan, np.nan, np.nan
    found = binomtest(n_held, n).proportion_ci(confidence, method="exact")
    return n_held / n, float(found.low), float(found.high)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjust p-values so that any false rejection is unlikely [1]_.

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)
        NaN where there was no test; these count for nothing.

    Returns
    -------
    adjusted : ndarray of shape (n_tests,)
        At most 1, in the order of the given ones.

    References
    ----------
    .. [1] Holm (1979). A simple sequentially rejective multiple test procedure. Scandinavian
       Journal of Statistics 6(2).

    Examples
    --------
    >>> from hessdiag.study.statistics import holm
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p_values[order]))
    return adjusted
