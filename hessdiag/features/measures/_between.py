"""Measures between samples: the net's predictions there against forecasts by wide layers.

The forecasts are made without the samples that the place lies between. They are of the whole net
alone, the same quantities at several places: one entry of `_PLACES`, `_COMPARISONS` or `_ALONE`
makes the records of all.
"""

from __future__ import annotations

from functools import partial

from hessdiag.features.measures._measure import Measure
from hessdiag.features.measures._reading import bounded, statistic
from hessdiag.features.measures._references import CHO

# What is compared with forecasts F: name, formula.
_COMPARISONS = (
    (
        "distance",
        "mean |P - mean Y - F|^2 / var Y, at least 0",
    ),
    (
        "agreement",
        "cosine of P - mean Y and F, in -1..1; 1 where they agree",
    ),
    (
        "loss",
        "-mean sum_k q_k log P_k / H, q the probabilities of F and H the entropy of mean Y; for "
        "numbers: distance + forecast_loss; at least 0",
    ),
    (
        "tempered_loss",
        "least loss over factors t on the logits, t in 0.02..2, at most 1; for numbers: loss with "
        "t (P - mean Y) in place of P - mean Y, t the slope of F on P - mean Y within 0.02..1.5",
    ),
    (
        "log_temper",
        "log(t) of tempered_loss; negative where the net should be less sure",
    ),
    (
        "excess",
        "loss - forecast_loss; positive where the net is worse",
    ),
    (
        "tempering_gain",
        "loss - tempered_loss, at least 0",
    ),
    (
        "other_class",
        "share of inputs with argmax P != argmax q, in 0..1",
    ),
)

# Of the net's predictions alone: name, formula.
_ALONE = (
    ("spread", "mean |P - mean Y|^2 / var Y, at least 0"),
    (
        "bend",
        "mean |P - (P(x) + P(z)) / 2|^2 / var Y, at least 0",
    ),
    (
        "unsureness",
        "-mean sum_k P_k log P_k / H, H the entropy of mean Y, at least 0",
    ),
)

# Of the forecasts alone: name, formula.
_FORECASTS = (
    (
        "forecast_loss",
        "|Yc - F|^2 / |Yc|^2 for numbers, -mean sum_k Y_k log q_k / H for classes, at least 0",
    ),
    (
        "forecast_log10_ridge",
        "log10 of the best ridge over the kernel's mean eigenvalue",
    ),
    (
        "forecast_depth",
        "number of wide layers of the best kernel: 0, 1 or 3",
    ),
)

# Inputs between a sample x and another sample z: name, formula.
_PLACES = (
    (
        "midpoint",
        "at (x + z) / 2, z among the five nearest neighbours of x",
    ),
    (
        "crossover",
        "at inputs with each number of x or of z by a coin, z among the five nearest neighbours "
        "of x",
    ),
    ("shift", "at x + 0.7 (u - z), u and z among the five neighbours of x"),
    ("far_midpoint", "at (x + z) / 2, z any other sample"),
    (
        "far_crossover",
        "at inputs with each number of x or of z by a coin, z any other sample",
    ),
)

_AT_SAMPLES = ("sample", "at the samples, each forecast by all others")

# Which samples forecast: ending of the name, formula.
_BY = (
    ("", "forecast without x and z"),
    ("_by_all", "forecast by all samples"),
)

_record = partial(Measure, family="between", reference=CHO, level="network")


def _between(name, formula):
    """Record that reads the statistic of its name."""
    return _record(name=name, formula=formula, function=statistic(name, bounded))


def _at(quantity, place, by=("", "")):
    """Record of one quantity at one place."""
    (name, formula), (where, inputs), (ending, made) = quantity, place, by
    formula = "; ".join(part for part in (formula, inputs, made) if part)
    return _between(f"{where}_{name}{ending}", formula)


BETWEEN = (
    *(_at(quantity, _AT_SAMPLES) for quantity in _COMPARISONS),
    *(_between(*forecast) for forecast in _FORECASTS),
    *(_at(quantity, place) for place in _PLACES for quantity in _ALONE),
    *(_at(quantity, place, by) for place in _PLACES for quantity in _COMPARISONS for by in _BY),
)
