"""Measures of noise: curvature against the prior, and against the noise of the gradient."""

from __future__ import annotations

from functools import partial

from hessdiag.features.measures._by_prior import by_prior
from hessdiag.features.measures._measure import Measure
from hessdiag.features.measures._reading import in_units, known, log10, statistic
from hessdiag.features.measures._references import CHATTERJEE, GAO, MACKAY, TAKEUCHI

_noise = partial(Measure, family="noise")


def _times_weight_norm(name):
    """log10 of a statistic times the weight norm, in units of the null loss."""
    return lambda layer, context: log10(
        in_units(known(layer, name) * known(layer, "weight_norm"), context["null_loss"])
    )


NOISE = (
    *by_prior(
        "effective_dimension_fraction",
        formula="sum_i d_i / (d_i + alpha) / min(p, N R), in 0..1",
        family="noise",
        reference=MACKAY,
    ),
    *by_prior(
        "effective_dimension_per_sample",
        formula="log10(sum_i d_i / (d_i + alpha) / N)",
        family="noise",
        reference=MACKAY,
        read="effective_dimension",
        transform=log10,
        per="n_samples_examined",
    ),
    *by_prior(
        "takeuchi",
        formula="log10(mean_n r_n' A_n r_n / L0)",
        family="noise",
        reference=TAKEUCHI,
        transform=log10,
        per="null_loss",
    ),
    _noise(
        name="log_gradient_snr",
        formula="log10(|mean_n g_n|^2 / (tr cov_n(g_n) / N))",
        function=statistic("gradient_snr", log10),
        reference=CHATTERJEE,
    ),
    _noise(
        name="gradient_coherence",
        formula=(
            "(|sum_n g_n|^2 - sum_n |g_n|^2) / ((N - 1) sum_n |g_n|^2), in -1/(N - 1)..1; 1 where "
            "all are equal, 0 where they are orthogonal, negative where they cancel"
        ),
        function=statistic("gradient_coherence"),
        reference=CHATTERJEE,
    ),
    _noise(
        name="gradient_class_coherence",
        formula=(
            "mean cosine of g_n and g_m of the same class minus that of different classes; "
            "positive where gradients agree more within classes"
        ),
        function=statistic("gradient_class_coherence"),
        reference=CHATTERJEE,
    ),
    _noise(
        name="log_gradient_effective_rank",
        formula="log10((sum_n |g_n|^2)^2 / sum_nm (g_n' g_m)^2), in 0..log10(N)",
        function=statistic("gradient_effective_rank", log10),
        reference=GAO,
    ),
    _noise(
        name="log_gradient_norm_weight",
        formula="log10(|w| |mean_n g_n| / L0)",
        function=_times_weight_norm("gradient_norm"),
    ),
    _noise(
        name="log_gradient_noise_weight",
        formula="log10(|w| sqrt(tr cov_n(g_n)) / L0)",
        function=_times_weight_norm("gradient_noise"),
    ),
)
