"""Measures of shape: the form of the local Gauss-Newton spectrum, whatever its scale.

A ReLU network may be rescaled layer by layer without changing its function, which changes every
raw trace and eigenvalue, but none of these.
"""

from __future__ import annotations

from functools import partial

from hessdiag.features.measures._measure import Measure
from hessdiag.features.measures._reading import ggn, log10, rank_bound
from hessdiag.features.measures._references import GAO, ROY, RUDELSON, SAGUN
from hessdiag.spectra import (
    effective_rank,
    n_outliers,
    participation_ratio,
    stable_rank,
)

_shape = partial(Measure, family="shape")


def _fraction(count):
    """A count of the local GGN's spectrum over the largest rank possible."""
    return lambda layer, context: count(ggn(layer)) / rank_bound(layer, context)


SHAPE = (
    _shape(
        name="stable_rank_fraction",
        formula="(sum_i l_i^2 / max_i l_i^2) / min(p, N C), in 0..1",
        function=_fraction(stable_rank),
        reference=RUDELSON,
    ),
    _shape(
        name="participation_ratio_fraction",
        formula="((sum_i |l_i|)^2 / sum_i l_i^2) / min(p, N C), in 0..1",
        function=_fraction(participation_ratio),
        reference=GAO,
    ),
    _shape(
        name="effective_rank_fraction",
        formula="exp(-sum_i q_i log q_i) / min(p, N C) with q_i = |l_i| / sum_j |l_j|, in 0..1",
        function=_fraction(effective_rank),
        reference=ROY,
    ),
    _shape(
        name="log_stable_rank",
        formula="log10(sum_i l_i^2 / max_i l_i^2)",
        function=lambda layer, _: log10(stable_rank(ggn(layer))),
        reference=RUDELSON,
    ),
    _shape(
        name="log_participation_ratio",
        formula="log10((sum_i |l_i|)^2 / sum_i l_i^2)",
        function=lambda layer, _: log10(participation_ratio(ggn(layer))),
        reference=GAO,
    ),
    _shape(
        name="log_effective_rank",
        formula="log10(exp(-sum_i q_i log q_i)) with q_i = |l_i| / sum_j |l_j|",
        function=lambda layer, _: log10(effective_rank(ggn(layer))),
        reference=ROY,
    ),
    _shape(
        name="outlier_fraction",
        formula="#{i : l_i > 10 times the mean of the positive l_j} / min(p, N C), in 0..1",
        function=_fraction(n_outliers),
        reference=SAGUN,
    ),
)
