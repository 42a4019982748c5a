"""Measures of what is attainable: a layer of unlimited width on the same inputs.

Its kernel has a closed form; how well it predicts each sample from all others stands against what
the net has made of them.
"""

from __future__ import annotations

from functools import partial

from hessdiag.features.measures._measure import Measure
from hessdiag.features.measures._reading import statistic
from hessdiag.features.measures._references import CHO

_record = partial(Measure, family="attainable", reference=CHO)


def _attainable(name, formula):
    """Record that reads the statistic of its name."""
    return _record(name=name, formula=formula, function=statistic(name))


ATTAINABLE = (
    _attainable(
        "attainable_r2",
        formula="1 - |Yc - F|^2 / |Yc|^2, at most 1; F by one wide layer",
    ),
    _attainable(
        "attainable_gap",
        formula=(
            "attainable_r2 - (1 - |Y - P|^2 / |Yc|^2); negative where the net fits more than can "
            "be predicted"
        ),
    ),
    _attainable(
        "attainable_r2_linear",
        formula="1 - |Yc - F|^2 / |Yc|^2, at most 1; F by the linear kernel",
    ),
    _attainable(
        "attainable_gap_linear",
        formula="attainable_r2_linear - (1 - |Y - P|^2 / |Yc|^2); sign as for attainable_gap",
    ),
    _attainable(
        "attainable_r2_deep",
        formula="1 - |Yc - F|^2 / |Yc|^2, at most 1; F by three wide layers",
    ),
    _attainable(
        "attainable_gap_deep",
        formula="attainable_r2_deep - (1 - |Y - P|^2 / |Yc|^2); sign as for attainable_gap",
    ),
    _attainable(
        "attainable_log10_ridge",
        formula="log10 of the best ridge of one wide layer over its kernel's mean eigenvalue",
    ),
    _attainable(
        "memorized_share",
        formula="sum_n max(0, |Yc - F|_n^2 - |Y - P|_n^2) / |Yc|^2, at least 0",
    ),
    _attainable(
        "missed_share",
        formula="sum_n max(0, |Y - P|_n^2 - |Yc - F|_n^2) / |Yc|^2, at least 0",
    ),
    _attainable(
        "residual_predictability",
        formula=(
            "1 - |Rc - F_R|^2 / |Rc|^2, at most 1; Rc the centred Y - P and F_R its left-out "
            "predictions"
        ),
    ),
    _attainable(
        "recoverable_share",
        formula="residual_predictability |Rc|^2 / |Yc|^2",
    ),
    _attainable(
        "prediction_predictability",
        formula=(
            "1 - |Pc - F_P|^2 / |Pc|^2, at most 1; Pc the centred P and F_P its left-out "
            "predictions"
        ),
    ),
    _attainable(
        "disagreement",
        formula="|P - mean Y - F|^2 / |Yc|^2, at least 0",
    ),
)
