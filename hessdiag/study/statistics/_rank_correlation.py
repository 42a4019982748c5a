"""Spearman's correlation within and across groups, its interval and its test."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student_t

#: Bootstrap samples over groups that an interval is made of.
N_BOOTSTRAP = 2000


def centred_ranks(
    values: np.ndarray, groups: np.ndarray, scope: Literal["within", "across"]
) -> np.ndarray:
    """Return ranks minus their mean, within each group or over all.

    Parameters
    ----------
    values : ndarray of shape (n,)
        What is ranked; ties share their mean rank.
    groups : ndarray of shape (n,)
        Numbers of the groups, from 0 on without gaps.
    scope : {"within", "across"}
        Whether each group has ranks of its own.

    Returns
    -------
    ranks : ndarray of shape (n,)
        Centred ranks.
    """
    if scope == "across":
        ranks = rankdata(values) if len(values) else values
        return ranks - ranks.mean() if len(values) else ranks
    ranks = np.empty(len(values))
    for group in range(groups.max() + 1 if len(groups) else 0):
        members = groups == group
        found = rankdata(values[members])
        ranks[members] = found - found.mean()
    return ranks


def sums_by_group(x: np.ndarray, y: np.ndarray, z: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the sums over each group that correlations are made of.

    Parameters
    ----------
    x, y, z : ndarray of shape (n,)
        Centred ranks.
    groups : ndarray of shape (n,)
        Numbers of the groups.

    Returns
    -------
    sums : ndarray of shape (n_groups, 6)
        Sums of xy, xx, yy, xz, yz, zz.
    """
    n_groups = groups.max() + 1 if len(groups) else 0
    products = (x * y, x * x, y * y, x * z, y * z, z * z)
    return np.stack([np.bincount(groups, p, minlength=n_groups) for p in products], axis=1)


def correlation(sums: np.ndarray, partial: bool) -> float | np.ndarray:
    """Return the correlation of x and y, plain or given z.

    Parameters
    ----------
    sums : ndarray of shape (6,) or (6, ...)
        Sums of products, in the order of `sums_by_group`, over all groups.
    partial : bool
        Whether z is given: ``(r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 - r_yz^2))``.

    Returns
    -------
    rho : float or ndarray
        In [-1, 1]; NaN where x or y is constant, or z explains all of one of them.
    """
    xy, xx, yy, xz, yz, zz = sums
    with np.errstate(all="ignore"):
        plain = xy / np.sqrt(xx * yy)
        if not partial:
            return np.clip(plain, -1.0, 1.0)
        a, b = xz / np.sqrt(xx * zz), yz / np.sqrt(yy * zz)
        rest = (1 - a**2) * (1 - b**2)
        # Where the third explains all of one, nothing is left to correlate.
        found = np.where(rest > 1e-12, (plain - a * b) / np.sqrt(rest), np.nan)
    return np.clip(found, -1.0, 1.0)


def bootstrap_interval(
    sums: np.ndarray, partial: bool, random_state: int
) -> tuple[float, float, float]:
    """Return the 95 % interval and the standard error of a correlation over groups.

    Parameters
    ----------
    sums : ndarray of shape (n_groups, 6)
        Sums of products of each group.
    partial : bool
        Whether the correlation is partial.
    random_state : int
        Seed.

    Returns
    -------
    low, high, error : float
        NaN where no sample has a correlation.
    """
    samples = _bootstrap_counts(len(sums), random_state) @ sums
    drawn = np.asarray(correlation(samples.T, partial))
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return np.nan, np.nan, np.nan
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high), float(drawn.std())


@lru_cache(maxsize=64)
def _bootstrap_counts(n_groups, random_state):
    """How often each group is drawn in each bootstrap sample."""
    rng = np.random.default_rng(random_state)
    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=N_BOOTSTRAP).astype(
        float
    )


def score_test(ranks: Sequence[np.ndarray], groups: np.ndarray, partial: bool) -> float:
    """Test whether there is no correlation: sums of products over groups, their spread the error.

    Parameters
    ----------
    ranks : tuple of three ndarray of shape (n,)
        Centred ranks of x, y and z.
    groups : ndarray of shape (n,)
        Numbers of the groups, which are independent of each other.
    partial : bool
        Whether z is regressed out of x and y.

    Returns
    -------
    p_value : float
        Two-sided, by Student's t with one degree of freedom less than there are groups; NaN where
        nothing varies.
    """
    x, y, z = ranks
    if partial:
        if not np.any(z):
            return np.nan
        x = x - z * (x @ z) / (z @ z)
        y = y - z * (y @ z) / (z @ z)
    scores = np.bincount(groups, x * y)
    spread = np.sqrt(np.square(scores).sum())
    if spread == 0:
        return np.nan
    n_groups = len(scores)
    # Under no correlation the scores' sum has variance sum s^2; t accounts for few groups.
    ratio = scores.sum() / spread
    ratio *= np.sqrt((n_groups - 1) / max(n_groups - ratio**2, 1e-12))
    return float(2 * student_t.sf(abs(ratio), n_groups - 1))
