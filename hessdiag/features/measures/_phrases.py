"""What measures are called in reports, and what a high value means: one table, to be read aloud."""

from __future__ import annotations

# Name without prior, place and forecasters: words, what a high value means.
_PHRASES = {
    # shape
    "stable_rank_fraction": (
        "evenness of the curvature (strongest directions)",
        "no few directions dominate",
    ),
    "participation_ratio_fraction": (
        "evenness of the curvature (typical directions)",
        "many directions share the curvature",
    ),
    "effective_rank_fraction": (
        "evenness of the curvature (all directions)",
        "nearly all directions matter",
    ),
    "log_stable_rank": (
        "number of dominant directions (log10)",
        "many directions are as steep as the steepest",
    ),
    "log_participation_ratio": (
        "number of typical directions (log10)",
        "many directions matter to the loss",
    ),
    "log_effective_rank": (
        "number of directions with any curvature (log10)",
        "many directions matter at least a little",
    ),
    "outlier_fraction": (
        "share of unusually steep directions",
        "many directions stand out from the rest",
    ),
    # hessian
    "negative_mass": ("share of downward curvature", "the loss can still fall; not at a minimum"),
    "negative_ratio": (
        "strongest downward against strongest upward curvature",
        "there is a clear way down from here",
    ),
    "gn_gap": (
        "curvature that the usual approximation misses",
        "the approximation says little of this layer",
    ),
    # scale
    "log_trace": ("total curvature (log10)", "the loss is sensitive to small weight changes"),
    "log_max_eigenvalue": (
        "steepest curvature (log10)",
        "one direction is very sensitive",
    ),
    "log_trace_weight": (
        "total sensitivity to relative weight changes (log10)",
        "changing all weights by some percent hurts much",
    ),
    "log_trace_weight_per_parameter": (
        "sensitivity to relative weight changes, per parameter (log10)",
        "each weight counts",
    ),
    "log_max_eigenvalue_weight": (
        "greatest sensitivity to relative weight changes (log10)",
        "one direction is very sensitive for the size of the weights",
    ),
    "log_weight_rms": ("typical weight size (log10)", "weights are large"),
    # noise
    "effective_dimension_fraction": (
        "share of the capacity in use",
        "there is almost no spare capacity",
    ),
    "effective_dimension_per_sample": (
        "capacity in use per sample (log10)",
        "much is fitted to each sample",
    ),
    "takeuchi": (
        "how far training loss flatters the net (log10)",
        "loss on new data should be much higher",
    ),
    "log_gradient_snr": (
        "how clearly the data ask for a change (log10)",
        "samples agree on what to change next",
    ),
    "gradient_coherence": (
        "agreement of samples on what to change",
        "samples pull the same way",
    ),
    "gradient_class_coherence": (
        "agreement within classes on what to change",
        "samples of a class pull the same way, those of others another",
    ),
    "log_gradient_effective_rank": (
        "variety of what samples ask for (log10)",
        "samples pull in many different ways",
    ),
    "log_gradient_norm_weight": (
        "slope left after training (log10)",
        "training was not finished",
    ),
    "log_gradient_noise_weight": (
        "disagreement of samples on what to change (log10)",
        "samples pull strongly against each other",
    ),
    # loo
    "alo_loss": ("estimated loss on new data (leave-one-out)", "worse on new data"),
    "alo_gap": (
        "estimated rise of the loss on new data (leave-one-out)",
        "training loss is too good to be true",
    ),
    "alo_median_gap": (
        "estimated rise of the loss for a typical sample (leave-one-out)",
        "even typical samples do worse when left out",
    ),
    "alo_error": ("estimated error on new data (leave-one-out)", "more mistakes on new data"),
    "alo_error_gap": (
        "estimated rise of the error on new data (leave-one-out)",
        "training error is too good to be true",
    ),
    "alo_best_loss": (
        "estimated loss on new data (leave-one-out, best regularization)",
        "worse on new data, however regularized",
    ),
    "alo_best_log10_ridge": (
        "regularization that suits best (log10)",
        "stronger regularization should help",
    ),
    "leverage_mean": (
        "average leverage",
        "each sample shapes its own prediction, as when memorized",
    ),
    "leverage_max": ("largest leverage", "some sample decides its own prediction"),
    "leverage_dispersion": (
        "unevenness of leverage",
        "few samples shape the fit far more than others",
    ),
    "leverage_high_share": (
        "share of high-leverage samples",
        "many samples shape the fit more than others",
    ),
    "leverage_loss_correlation": (
        "leverage of badly fitted samples",
        "the worst fitted samples have the most leverage",
    ),
    "self_influence_dispersion": (
        "unevenness of samples' effect on their own loss (log10)",
        "few samples are fitted by themselves alone",
    ),
    "self_influence_loss_correlation": (
        "effect of badly fitted samples on their own loss",
        "the worst fitted samples affect their own loss most",
    ),
    # alignment
    "target_alignment": (
        "how well the net's features match the targets",
        "the targets are easy to express",
    ),
    "residual_alignment": (
        "how well the net's features match the remaining errors",
        "the net can still learn what it gets wrong",
    ),
    "centred_target_alignment": (
        "how well the net's features match the targets (beyond the mean)",
        "differences of targets are easy to express",
    ),
    "centred_residual_alignment": (
        "how well the net's features match the remaining errors (beyond the mean)",
        "the net can still learn differences that it gets wrong",
    ),
    "residual_energy_outputs": (
        "share of the remaining errors that is easiest to learn",
        "what is left is easy to learn: training is not finished",
    ),
    "residual_energy_tenth": (
        "share of the remaining errors that is easy to learn",
        "much of what is left is easy to learn",
    ),
    # attainable
    "attainable_r2": (
        "what a smooth baseline explains of left-out targets",
        "the targets can be predicted well",
    ),
    "attainable_gap": (
        "what a smooth baseline explains beyond this net",
        "this net misses what can be predicted; below 0 it fits more than that",
    ),
    "attainable_r2_linear": (
        "what a linear model explains of left-out targets",
        "a linear model does well",
    ),
    "attainable_gap_linear": (
        "what a linear model explains beyond this net",
        "a linear model does better than this net; below 0 the net fits more",
    ),
    "attainable_r2_deep": (
        "what a deep smooth baseline explains of left-out targets",
        "the targets can be predicted well",
    ),
    "attainable_gap_deep": (
        "what a deep smooth baseline explains beyond this net",
        "this net misses what can be predicted; below 0 it fits more than that",
    ),
    "attainable_log10_ridge": ("estimated label noise (log10)", "the labels are noisy"),
    "memorized_share": (
        "memorized share of the targets",
        "much was fitted that no other sample supports",
    ),
    "missed_share": (
        "missed share of the targets",
        "much was not fitted that other samples predict",
    ),
    "residual_predictability": (
        "how predictable the remaining errors are",
        "the errors have a pattern that can be learned",
    ),
    "recoverable_share": ("share of the targets still to be learned", "much can be learned yet"),
    "prediction_predictability": ("smoothness of the predictions", "predictions vary smoothly"),
    "disagreement": (
        "how far predictions stray from a smooth baseline",
        "the net fits what a smooth baseline would not",
    ),
    # between: at a place
    "distance": (
        "how far predictions stray from a smooth baseline",
        "the net does something of its own there",
    ),
    "agreement": (
        "how well predictions follow a smooth baseline",
        "the net predicts what a smooth baseline does",
    ),
    "loss": ("estimated loss", "the net is likely to be wrong there"),
    "tempered_loss": (
        "estimated loss with confidence corrected",
        "the net is likely to be wrong there, however sure",
    ),
    "log_temper": (
        "how much surer the net should be (log)",
        "the net is not sure enough; below 0 it is too sure",
    ),
    "excess": ("estimated loss beyond a smooth baseline's", "a smooth baseline does better"),
    "tempering_gain": (
        "loss from miscalibrated confidence",
        "the net is too sure, or not sure enough",
    ),
    "other_class": (
        "how often a smooth baseline picks another class",
        "the net and the baseline often differ",
    ),
    "spread": ("how much predictions vary", "predictions differ much from point to point"),
    "bend": (
        "how sharply predictions bend",
        "predictions are wiggly between training points",
    ),
    "unsureness": ("how unsure predictions are", "the net hesitates there"),
    # between: of the baseline alone
    "forecast_loss": ("loss of a smooth baseline on left-out samples", "the task is hard"),
    "forecast_log10_ridge": (
        "estimated label noise, by the best baseline (log10)",
        "the labels are noisy",
    ),
    "forecast_depth": (
        "depth of the best smooth baseline",
        "the task asks for depth; 0 means a linear model does best",
    ),
    # context
    "loss_over_null_loss": (
        "training loss, as a share of a constant guess's",
        "the net hardly fits its training data; 1 is no better than a constant guess",
    ),
    "log_loss_over_null_loss": (
        "training loss, as a share of a constant guess's (log10)",
        "the net hardly fits its training data; 0 is no better than a constant guess",
    ),
    "error": ("training error", "many mistakes on the training data"),
    "log_n_params": ("number of parameters (log10)", "a large net"),
    "log_n_samples": ("number of samples (log10)", "much data"),
    "log_n_outputs": ("number of outputs (log10)", "many classes or targets"),
    "log_params_per_sample": (
        "parameters per target value (log10)",
        "a large net for so few data",
    ),
    "n_layers": ("number of layers", "a deep net"),
}

# Places, by the beginning of a name; "far_" comes first, as the rest follows it.
_PLACES = {
    "far_midpoint": "between random pairs of training points",
    "far_crossover": "at mixes of random pairs of training points",
    "midpoint": "between training points",
    "crossover": "at mixes of similar training points",
    "shift": "just beside training points",
    "sample": "at left-out training points",
}

# Strengths of the prior, by the ending of a name.
_PRIORS = {
    "0.01": "very weak regularization",
    "0.1": "weak regularization",
    "1": "medium regularization",
    "10": "strong regularization",
    "100": "very strong regularization",
}

_BY_ALL = "_by_all"


def phrases_of(name: str) -> tuple[str, str]:
    """Look up the words of a measure, and what a high value means.

    Parameters
    ----------
    name : str
        Name of a measure.

    Returns
    -------
    words, high : str
        A phrase that asks for no glossary, and the end of a sentence "high means ...".

    Raises
    ------
    KeyError
        If the table has no such measure.

    Examples
    --------
    >>> from hessdiag.features.measures import phrases_of
    >>> phrases_of("memorized_share")
    ('memorized share of the targets', 'much was fitted that no other sample supports')
    """
    if name in _PHRASES:
        return _PHRASES[name]
    stem, _, multiple = name.rpartition("_")
    if stem in _PHRASES and multiple in _PRIORS:
        words, high = _PHRASES[stem]
        return _joined(words, _PRIORS[multiple]), high
    for place, where in _PLACES.items():
        if name.startswith(f"{place}_"):
            quantity = name.removeprefix(f"{place}_")
            words, high = _PHRASES[quantity.removesuffix(_BY_ALL)]
            all_data = ", baseline fitted to all data" * quantity.endswith(_BY_ALL)
            return f"{where}, {words}{all_data}", high
    raise KeyError(
        f"Expected a measure that has words, found {name!r}. Add them to the table of phrases."
    )


def _joined(words, prior):
    """Put the strength of the prior into brackets that are there, or behind a comma."""
    if words.endswith("(leave-one-out)"):
        return f"{words[:-1]}, {prior})"
    return f"{words}, {prior}"
