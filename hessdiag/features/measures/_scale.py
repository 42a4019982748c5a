"""Measures of scale: the size of the curvature.

Times the squared weight norm it is what a rescaling of ReLU layers leaves as it is.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from hessdiag.features.measures._measure import Measure
from hessdiag.features.measures._reading import ggn, in_units, known, log10
from hessdiag.features.measures._references import DINH

_scale = partial(Measure, family="scale")

SCALE = (
    _scale(
        name="log_trace",
        formula="log10(sum_i l_i)",
        function=lambda layer, _: log10(ggn(layer).trace),
    ),
    _scale(
        name="log_max_eigenvalue",
        formula="log10(max_i l_i)",
        function=lambda layer, _: log10(ggn(layer).max_eigenvalue),
    ),
    _scale(
        name="log_trace_weight",
        formula="log10(|w|^2 sum_i l_i / L0)",
        function=lambda layer, context: log10(
            in_units(ggn(layer).trace * known(layer, "weight_norm") ** 2, context["null_loss"])
        ),
        reference=DINH,
    ),
    _scale(
        name="log_trace_weight_per_parameter",
        formula="log10(|w|^2 sum_i l_i / (p L0))",
        function=lambda layer, context: log10(
            in_units(
                ggn(layer).trace * known(layer, "weight_norm") ** 2,
                context["null_loss"] * layer.n_params,
            )
        ),
        reference=DINH,
    ),
    _scale(
        name="log_max_eigenvalue_weight",
        formula="log10(|w|^2 max_i l_i / L0)",
        function=lambda layer, context: log10(
            in_units(
                ggn(layer).max_eigenvalue * known(layer, "weight_norm") ** 2, context["null_loss"]
            )
        ),
        reference=DINH,
    ),
    _scale(
        name="log_weight_rms",
        formula="log10(|w| / sqrt(p))",
        function=lambda layer, _: log10(known(layer, "weight_norm") / np.sqrt(layer.n_params)),
    ),
)
