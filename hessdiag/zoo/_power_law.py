"""Power-law exponent of the tail of a layer's eigenvalues, as in WeightWatcher."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: A layer with fewer eigenvalues than this has no tail to speak of.
MIN_EIGENVALUES = 10

# A fit to fewer points than this says nothing about a tail.
_MIN_TAIL = 3


@dataclass(frozen=True)
class PowerLawTail:
    """A power law p(x) ~ x^-alpha fitted to the values from `start` on.

    Parameters
    ----------
    alpha : float
        Exponent; NaN where there are too few values.
    start : float
        Smallest value of the tail.
    distance : float
        Kolmogorov-Smirnov distance between the tail and the fit.
    n_tail : int
        Number of values in the tail.
    """

    alpha: float
    start: float
    distance: float
    n_tail: int


def fit_power_law(values):
    """Fit a power law to the upper tail of positive values.

    For a tail that starts at x0, the exponent is that of maximum likelihood, ``alpha = 1 + m / sum
    ln(x / x0)`` over its m values; x0 is the value whose tail has the smallest Kolmogorov-Smirnov
    distance to its fit [1]_. WeightWatcher fits the eigenvalues of ``W^T W`` so [2]_.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Values; those that are not positive, up to rounding, are left out.

    Returns
    -------
    tail : PowerLawTail
        The fit; its numbers are NaN, and its tail empty, with fewer than 10 positive values.

    References
    ----------
    .. [1] Clauset, Shalizi, Newman (2009). Power-law distributions in empirical data. SIAM Review
       51(4).
    .. [2] Martin, Peng, Mahoney (2021). Predicting trends in the quality of state-of-the-art neural
       networks without access to training or testing data. Nature Communications 12.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdiag.zoo._power_law import fit_power_law
    >>> values = np.random.default_rng(0).pareto(2.0, 5000) + 1
    >>> bool(abs(fit_power_law(values).alpha - 3.0) < 0.2)
    True
    """
    values = np.sort(np.asarray(values, dtype=float))
    values = values[values > values[-1] * 1e-12] if len(values) else values
    best = PowerLawTail(np.nan, np.nan, np.nan, 0)
    if len(values) < MIN_EIGENVALUES or values[-1] <= 0:
        return best
    logs = np.log(values)
    for first in range(len(values) - _MIN_TAIL + 1):
        ratios = logs[first:] - logs[first]
        total = ratios.sum()
        if total <= 0:  # all alike: no tail
            break
        n_tail = len(ratios)
        alpha = 1 + n_tail / total
        fitted = 1 - np.exp((1 - alpha) * ratios)
        steps = np.arange(n_tail + 1) / n_tail
        distance = max((fitted - steps[:-1]).max(), (steps[1:] - fitted).max())
        if not distance >= best.distance:  # also where nothing was fitted yet
            best = PowerLawTail(float(alpha), float(values[first]), float(distance), n_tail)
    return best
