"""Numbers of the findings in words: medians, shares, correlations."""

from __future__ import annotations

import numpy as np

from hessdiag.study.statistics import share_interval
from hessdiag.study.wording import (
    count_words,
    number,
    percent,
    quoted_words,
    rho_words,
)

_N_BOOTSTRAP = 2000


def quartile_words(values, unit=""):
    """Write a median with its quartiles."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if not len(values):
        return "not known"
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{number(middle, 2)}{unit} (quartiles {number(low, 2)} and {number(high, 2)})"


def share_words(held):
    """Write in how many data sets something holds, with its exact interval."""
    n_held, n = int(np.sum(held)), len(held)
    if not n:
        return "none of 0 data sets"
    share, low, high = share_interval(n_held, n)
    return (
        f"{n_held} of {count_words(n, 'data set')} ({percent(share)}, 95 % interval "
        f"{100 * low:.0f} to {percent(high)})"
    )


def agreement_interval(agrees, data_sets):
    """Share of experiments that agree, with a bootstrap interval over data sets."""
    data_sets = np.asarray(data_sets)
    names = np.unique(data_sets)
    hits = np.array([np.sum(np.asarray(agrees)[data_sets == name]) for name in names], dtype=float)
    sizes = np.array([np.sum(data_sets == name) for name in names], dtype=float)
    draws = np.random.default_rng(0).integers(len(names), size=(_N_BOOTSTRAP, len(names)))
    shares = hits[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return hits.sum() / sizes.sum(), low, high


def listed(words):
    """Join phrases as one does in a sentence."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def named(row):
    """Name a measure with its correlation."""
    return f"{quoted_words(row.measure, row.place)}: {rho_words(row)}"
