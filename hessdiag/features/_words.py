"""Measures in words that a practitioner knows."""

from __future__ import annotations

WORDS = {
    "stable_rank_fraction": "spread of curvature over directions (stable rank)",
    "participation_ratio_fraction": "spread of curvature over directions (participation ratio)",
    "effective_rank_fraction": "spread of curvature over directions (entropy)",
    "log_stable_rank": "number of strongly curved directions (stable rank, log10)",
    "log_participation_ratio": "number of curved directions (participation ratio, log10)",
    "log_effective_rank": "number of curved directions (entropy, log10)",
    "negative_mass": "share of negative curvature",
    "negative_ratio": "most negative against most positive curvature",
    "gn_gap": "part of the curvature that the Gauss-Newton form misses",
    "outlier_fraction": "share of outlier eigenvalues",
    "log_trace": "total curvature (log10)",
    "log_max_eigenvalue": "sharpest curvature (log10)",
    "log_trace_weight": "total curvature times squared weight norm (log10)",
    "log_trace_weight_per_parameter": "curvature times squared weight, per parameter (log10)",
    "log_max_eigenvalue_weight": "sharpest curvature times squared weight norm (log10)",
    "log_weight_rms": "size of the weights (log10)",
    "log_gradient_snr": "signal to noise of the gradient (log10)",
    "gradient_coherence": "agreement of the samples' gradients",
    "log_gradient_norm_weight": "gradient left after training (log10)",
    "log_gradient_noise_weight": "scatter of the samples' gradients (log10)",
    "gradient_class_coherence": "agreement of gradients within classes beyond that between them",
    "log_gradient_effective_rank": "variety of the samples' gradients (log10)",
    "alo_best_loss": "estimated held-out loss (leave-one-out, best prior)",
    "alo_best_log10_ridge": "prior under which leave-one-out is best (log10)",
    "leverage_mean": "pull of each sample on its own prediction, mean",
    "leverage_max": "pull of each sample on its own prediction, largest",
    "leverage_dispersion": "uneven pull of samples on their own predictions",
    "leverage_high_share": "share of samples that pull hard on their own predictions",
    "self_influence_dispersion": "uneven influence of samples on their own loss (log10)",
    "self_influence_loss_correlation": "badly fitted samples have most influence on themselves",
    "leverage_loss_correlation": "badly fitted samples pull hardest on the fit",
    "target_alignment": "alignment of the tangent kernel with the targets",
    "centred_target_alignment": "alignment of the centred tangent kernel with the targets",
    "centred_residual_alignment": "alignment of the centred kernel with what is left to learn",
    "residual_energy_outputs": "share of what is left to learn in the sharpest directions",
    "residual_energy_tenth": "share of what is left to learn in the sharpest tenth",
    "residual_alignment": "alignment of the tangent kernel with what is left to learn",
    "attainable_r2": "what a wide layer predicts of each sample from all others",
    "attainable_gap": "what a wide layer knows beyond this net (below 0: this net fits too much)",
    "attainable_r2_linear": "what a linear model predicts of each sample from all others",
    "attainable_gap_linear": "what a linear model knows beyond this net",
    "attainable_r2_deep": "what deep wide layers predict of each sample from all others",
    "attainable_gap_deep": "what deep wide layers know beyond this net",
    "attainable_log10_ridge": "noise that a wide layer finds in the targets (log10)",
    "memorized_share": "what was fitted though no other sample supports it",
    "missed_share": "what was not fitted though other samples predict it",
    "residual_predictability": "how predictable the remaining errors are",
    "recoverable_share": "share of the targets that is still to be learned",
    "prediction_predictability": "smoothness of the net's predictions",
    "disagreement": "distance from what a wide layer predicts",
    "loss_over_null_loss": "training loss, in units of the null loss",
    "log_loss_over_null_loss": "training loss, in units of the null loss (log10)",
    "error": "training error",
    "log_n_params": "number of parameters (log10)",
    "log_n_samples": "number of samples (log10)",
    "log_n_outputs": "number of outputs (log10)",
    "log_params_per_sample": "parameters for each target value (log10)",
    "n_layers": "number of layers",
}

_BY_RIDGE = {
    "effective_dimension_fraction": "share of the directions that the data determine",
    "effective_dimension_per_sample": "directions in use for each sample (log10)",
    "takeuchi": "expected optimism of the training loss (Takeuchi, log10)",
    "alo_loss": "estimated held-out loss (leave-one-out)",
    "alo_gap": "estimated gap between held-out and training loss (leave-one-out)",
    "alo_median_gap": "estimated gap of the typical sample (leave-one-out)",
    "alo_error_gap": "estimated gap between held-out and training error (leave-one-out)",
    "alo_error": "estimated held-out error (leave-one-out)",
}

_PLACES = {
    "sample": "at samples left out",
    "midpoint": "half-way between neighbours",
    "crossover": "at mixtures of neighbours",
    "shift": "beside samples",
    "far_midpoint": "half-way between any two samples",
    "far_crossover": "at mixtures of any two samples",
}

_BETWEEN = {
    "distance": "distance from what wide layers forecast",
    "agreement": "agreement with what wide layers forecast",
    "loss": "loss to be expected",
    "tempered_loss": "loss to be expected if the net were as sure as it should be",
    "log_temper": "how sure the net should be against how sure it is (log)",
    "excess": "loss to be expected beyond that of wide layers",
    "tempering_gain": "loss to be expected from being too sure, or not sure enough",
    "other_class": "share of inputs where wide layers forecast another class",
    "spread": "spread of the predictions",
    "bend": "how far predictions are from the mean of those around",
    "unsureness": "entropy of the predictions",
}

_FORECASTS = {
    "forecast_loss": "loss of wide layers on samples left out",
    "forecast_log10_ridge": "noise that wide layers find in the targets (log10)",
    "forecast_depth": "depth of the wide layers that forecast best",
}


def _between_in_words(measure):
    """Say a measure between samples in words; None of any other."""
    if measure in _FORECASTS:
        return _FORECASTS[measure]
    # Longer names first: "far_midpoint_loss" is not of the midpoint.
    for place in sorted(_PLACES, key=len, reverse=True):
        stem = measure.removeprefix(f"{place}_").removesuffix("_by_all")
        if measure.startswith(f"{place}_") and stem in _BETWEEN:
            by_all = ", by forecasts from all samples" if measure.endswith("_by_all") else ""
            return f"{_BETWEEN[stem]}, {_PLACES[place]}{by_all}"
    return None


def in_words(measure):
    """Say a measure in words.

    Parameters
    ----------
    measure : str
        Name of a measure of a layer, of the whole net or of the context.

    Returns
    -------
    words : str
        A phrase; the prior's strength is named where the measure has one.
    """
    if measure in WORDS:
        return WORDS[measure]
    between = _between_in_words(measure)
    if between is not None:
        return between
    stem, _, multiple = measure.rpartition("_")
    return f"{_BY_RIDGE[stem]}, prior x {float(multiple):g}"
