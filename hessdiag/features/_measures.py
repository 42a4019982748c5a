"""The measures that describe a layer, by family: functions of (layer examination, context).

All are free of the units of the task: losses are divided by the null loss (that of the best
constant output), ranks by the largest rank possible, and what spans decades enters as log10.

``shape``
    Form of the local spectrum, blind to its scale: a ReLU network may be rescaled layer by layer
    without changing its function, which changes every raw trace and eigenvalue.
``scale``
    Size of the curvature, also times the squared weight norm, which undoes such a rescaling
    [1]_.
``noise``
    Curvature against the prior and against gradient noise: effective dimension [2]_, Takeuchi's
    trace [3]_, signal-to-noise and coherence of the per-sample gradients [4]_.
``loo``
    Approximate leave-one-out loss and error [5]_, and leverages.
``alignment``
    Alignment of the layer's tangent kernel with the targets and with the residuals [6]_.
``attainable``
    What a layer of unlimited width would make of the same inputs, by its kernel in closed form
    [7]_: how well it predicts each sample from all others, against what the net has made of them.
``between``
    What the net says between its samples, against what a wide layer forecasts there without the
    samples that the place lies between; of the whole net alone.
``context``
    What a user knows without any curvature: loss and error on the given data, sizes.

References
----------
.. [1] Dinh, Pascanu, Bengio, Bengio (2017). Sharp minima can generalize for deep nets. ICML.
.. [2] MacKay (1992). Bayesian interpolation. Neural Computation 4(3).
.. [3] Takeuchi (1976). Distribution of information statistics and a criterion of model fitting;
   Thomas et al. (2020). On the interplay between noise and curvature. AISTATS.
.. [4] Chatterjee (2020). Coherent gradients. ICLR.
.. [5] Rad, Maleki (2020). A scalable estimate of the out-of-sample prediction error via
   approximate leave-one-out cross-validation. JRSS B 82(4).
.. [6] Cristianini et al. (2001). On kernel-target alignment. NeurIPS.
.. [7] Cho, Saul (2009). Kernel methods for deep learning. NeurIPS.
"""

from __future__ import annotations

import numpy as np

from hessdiag.examination import BETWEEN_STATISTICS
from hessdiag.examination import STATISTICS as WIDE_STATISTICS
from hessdiag.spectra import MEASURES

FAMILIES = ("shape", "scale", "noise", "loo", "alignment", "attainable", "between", "context")

_FLOOR = 1e-12


def _log10(value):
    """log10 of a quantity that cannot be negative, with a floor far below any that matters."""
    return np.log10(max(value, _FLOOR)) if np.isfinite(value) else np.nan


def _known(layer, name):
    """A statistic; NaN where the layer has none, as where the loss couples samples."""
    return layer.statistics.get(name, np.nan)


def _signed_log(value):
    """Logarithmic in both directions and linear near zero, for gains and gaps in loss units."""
    return np.arcsinh(value / 0.05) * 0.05


def _bounded(value):
    """Losses between samples have no bound; this one is far above any that matters."""
    return float(np.clip(value, -1e3, 1e3))


def _statistic(name, transform=float, per=None):
    """Measure that reads one statistic, in units of a context entry if asked, transformed."""

    def measure(layer, context):
        value = _known(layer, name)
        if per is not None:
            value = value / context[per]
        return transform(value)

    return measure


def _ggn(layer):
    """Spectrum of the local GGN; of the Hessian where the loss has no GGN."""
    return layer.spectrum if layer.ggn_spectrum is None else layer.ggn_spectrum


def _rank_bound(layer, context):
    """Largest possible rank of the local GGN."""
    return max(1, min(layer.n_params, context["n_samples_examined"] * context["n_outputs"]))


def _rank_fraction(name):
    """A rank of the local GGN's spectrum over the largest rank possible."""
    function = MEASURES[name]
    return lambda layer, context: function(_ggn(layer)) / _rank_bound(layer, context)


SHAPE = {
    "stable_rank_fraction": _rank_fraction("stable_rank"),
    "participation_ratio_fraction": _rank_fraction("participation_ratio"),
    "effective_rank_fraction": _rank_fraction("effective_rank"),
    "log_stable_rank": lambda layer, _: _log10(MEASURES["stable_rank"](_ggn(layer))),
    "log_participation_ratio": lambda layer, _: _log10(
        MEASURES["participation_ratio"](_ggn(layer))
    ),
    "log_effective_rank": lambda layer, _: _log10(MEASURES["effective_rank"](_ggn(layer))),
    "negative_mass": lambda layer, _: MEASURES["negative_mass"](layer.spectrum),
    "negative_ratio": lambda layer, _: (
        max(0.0, -layer.spectrum.min_eigenvalue) / max(_ggn(layer).max_eigenvalue, _FLOOR)
    ),
    "gn_gap": _statistic("gn_gap"),
    "outlier_fraction": lambda layer, context: (
        MEASURES["n_outliers"](_ggn(layer)) / _rank_bound(layer, context)
    ),
}

SCALE = {
    "log_trace": lambda layer, _: _log10(_ggn(layer).trace),
    "log_max_eigenvalue": lambda layer, _: _log10(_ggn(layer).max_eigenvalue),
    "log_trace_weight": lambda layer, context: _log10(
        _ggn(layer).trace * _known(layer, "weight_norm") ** 2 / context["null_loss"]
    ),
    "log_trace_weight_per_parameter": lambda layer, context: _log10(
        _ggn(layer).trace
        * _known(layer, "weight_norm") ** 2
        / (context["null_loss"] * layer.n_params)
    ),
    "log_max_eigenvalue_weight": lambda layer, context: _log10(
        _ggn(layer).max_eigenvalue * _known(layer, "weight_norm") ** 2 / context["null_loss"]
    ),
    "log_weight_rms": lambda layer, _: _log10(
        _known(layer, "weight_norm") / np.sqrt(layer.n_params)
    ),
}

_MULTIPLES = ("0.01", "0.1", "1", "10", "100")

NOISE = {
    **{
        f"effective_dimension_fraction_{m}": _statistic(f"effective_dimension_fraction_{m}")
        for m in _MULTIPLES
    },
    **{
        f"effective_dimension_per_sample_{m}": _statistic(
            f"effective_dimension_{m}", _log10, per="n_samples_examined"
        )
        for m in _MULTIPLES
    },
    **{f"takeuchi_{m}": _statistic(f"takeuchi_{m}", _log10, per="null_loss") for m in _MULTIPLES},
    "log_gradient_snr": _statistic("gradient_snr", _log10),
    "gradient_coherence": _statistic("gradient_coherence"),
    "gradient_class_coherence": _statistic("gradient_class_coherence"),
    "log_gradient_effective_rank": _statistic("gradient_effective_rank", _log10),
    "log_gradient_norm_weight": lambda layer, context: _log10(
        _known(layer, "gradient_norm") * _known(layer, "weight_norm") / context["null_loss"]
    ),
    "log_gradient_noise_weight": lambda layer, context: _log10(
        _known(layer, "gradient_noise") * _known(layer, "weight_norm") / context["null_loss"]
    ),
}

LOO = {
    **{f"alo_loss_{m}": _statistic(f"alo_loss_{m}", _signed_log, "null_loss") for m in _MULTIPLES},
    **{f"alo_gap_{m}": _statistic(f"alo_gap_{m}", _signed_log, "null_loss") for m in _MULTIPLES},
    **{
        f"alo_median_gap_{m}": _statistic(f"alo_median_gap_{m}", _signed_log, "null_loss")
        for m in _MULTIPLES
    },
    **{f"alo_error_{m}": _statistic(f"alo_error_{m}") for m in _MULTIPLES},
    **{f"alo_error_gap_{m}": _statistic(f"alo_error_gap_{m}") for m in _MULTIPLES},
    "alo_best_loss": _statistic("alo_best_loss", _signed_log, "null_loss"),
    "alo_best_log10_ridge": _statistic("alo_best_log10_ridge"),
    "leverage_mean": _statistic("leverage_mean"),
    "leverage_max": _statistic("leverage_max"),
    "leverage_dispersion": _statistic("leverage_dispersion"),
    "leverage_high_share": _statistic("leverage_high_share"),
    "leverage_loss_correlation": _statistic("leverage_loss_correlation"),
    "self_influence_dispersion": _statistic("self_influence_dispersion", _log10),
    "self_influence_loss_correlation": _statistic("self_influence_loss_correlation"),
}

ALIGNMENT = {
    "target_alignment": _statistic("target_alignment"),
    "residual_alignment": _statistic("residual_alignment"),
    "centred_target_alignment": _statistic("centred_target_alignment"),
    "centred_residual_alignment": _statistic("centred_residual_alignment"),
    "residual_energy_outputs": _statistic("residual_energy_outputs"),
    "residual_energy_tenth": _statistic("residual_energy_tenth"),
}

ATTAINABLE = {name: _statistic(name) for name in WIDE_STATISTICS}

BETWEEN = {name: _statistic(name, _bounded) for name in BETWEEN_STATISTICS}

CONTEXT_MEASURES = {
    "loss_over_null_loss": lambda context: context["loss"] / context["null_loss"],
    "log_loss_over_null_loss": lambda context: _log10(
        max(context["loss"], 1e-6) / context["null_loss"]
    ),
    "error": lambda context: context["error"],
    "log_n_params": lambda context: _log10(context["n_params"]),
    "log_n_samples": lambda context: _log10(context["n_samples"]),
    "log_n_outputs": lambda context: _log10(context["n_outputs"]),
    "log_params_per_sample": lambda context: _log10(
        context["n_params"] / (context["n_samples"] * context["n_outputs"])
    ),
    "n_layers": lambda context: context["n_layers"],
}

LAYER_FAMILIES = {
    "shape": SHAPE,
    "scale": SCALE,
    "noise": NOISE,
    "loo": LOO,
    "alignment": ALIGNMENT,
    "attainable": ATTAINABLE,
}

LAYER_MEASURES = {
    name: function for family in LAYER_FAMILIES.values() for name, function in family.items()
}

#: Of the whole net alone, beside those of its layers.
NETWORK_FAMILIES = {"between": BETWEEN}

NETWORK_MEASURES = {
    name: function for family in NETWORK_FAMILIES.values() for name, function in family.items()
}

FAMILY_OF = {
    name: family
    for family, members in (LAYER_FAMILIES | NETWORK_FAMILIES).items()
    for name in members
} | dict.fromkeys(CONTEXT_MEASURES, "context")
