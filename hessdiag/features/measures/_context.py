"""Measures of the context: what is known without any curvature."""

from __future__ import annotations

from functools import partial

from hessdiag.features.measures._measure import Measure
from hessdiag.features.measures._reading import in_units, log10

_context = partial(Measure, family="context", level="context")

CONTEXT = (
    _context(
        name="loss_over_null_loss",
        formula="L / L0",
        function=lambda _, context: in_units(context["loss"], context["null_loss"]),
    ),
    _context(
        name="log_loss_over_null_loss",
        formula="log10(max(L, 1e-6) / L0)",
        function=lambda _, context: log10(
            in_units(max(context["loss"], 1e-6), context["null_loss"])
        ),
    ),
    _context(
        name="error",
        formula="share of wrong classes, or squared error over that of the mean, at least 0",
        function=lambda _, context: context["error"],
    ),
    _context(
        name="log_n_params",
        formula="log10(P)",
        function=lambda _, context: log10(context["n_params"]),
    ),
    _context(
        name="log_n_samples",
        formula="log10(N_given)",
        function=lambda _, context: log10(context["n_samples"]),
    ),
    _context(
        name="log_n_outputs",
        formula="log10(C)",
        function=lambda _, context: log10(context["n_outputs"]),
    ),
    _context(
        name="log_params_per_sample",
        formula="log10(P / (N_given C))",
        function=lambda _, context: log10(
            context["n_params"] / (context["n_samples"] * context["n_outputs"])
        ),
    ),
    _context(
        name="n_layers",
        formula="number of layers examined",
        function=lambda _, context: context["n_layers"],
    ),
)
