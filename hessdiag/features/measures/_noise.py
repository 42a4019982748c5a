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
        words="share of the directions that the data determine",
        formula="sum_i d_i / (d_i + alpha) / min(p, N R), in 0..1",
        family="noise",
        reference=MACKAY,
    ),
    *by_prior(
        "effective_dimension_per_sample",
        words="directions in use for each sample (log10)",
        formula="log10(sum_i d_i / (d_i + alpha) / N)",
        family="noise",
        reference=MACKAY,
        read="effective_dimension",
        transform=log10,
        per="n_samples_examined",
    ),
    *by_prior(
        "takeuchi",
        words="expected optimism of the training loss (Takeuchi, log10)",
        formula="log10(mean_n r_n' A_n r_n / L0)",
        family="noise",
        reference=TAKEUCHI,
        transform=log10,
        per="null_loss",
    ),
    _noise(
        name="log_gradient_snr",
        words="signal to noise of the gradient (log10)",
        formula="log10(|mean_n g_n|^2 / (tr cov_n(g_n) / N))",
        function=statistic("gradient_snr", log10),
        reference=CHATTERJEE,
    ),
    _noise(
        name="gradient_coherence",
        words="agreement of the samples' gradients",
        formula=(
            "(|sum_n g_n|^2 - sum_n |g_n|^2) / ((N - 1) sum_n |g_n|^2), in -1/(N - 1)..1; 1 where "
            "all are equal, 0 where they are orthogonal, negative where they cancel"
        ),
        function=statistic("gradient_coherence"),
        reference=CHATTERJEE,
    ),
    _noise(
        name="gradient_class_coherence",
        words="agreement of gradients within classes beyond that between them",
        formula=(
            "mean cosine of g_n and g_m of the same class minus that of different classes; "
            "positive where gradients agree more within classes"
        ),
        function=statistic("gradient_class_coherence"),
        reference=CHATTERJEE,
    ),
    _noise(
        name="log_gradient_effective_rank",
        words="variety of the samples' gradients (log10)",
        formula="log10((sum_n |g_n|^2)^2 / sum_nm (g_n' g_m)^2), in 0..log10(N)",
        function=statistic("gradient_effective_rank", log10),
        reference=GAO,
    ),
    _noise(
        name="log_gradient_norm_weight",
        words="gradient left after training (log10)",
        formula="log10(|w| |mean_n g_n| / L0)",
        function=_times_weight_norm("gradient_norm"),
    ),
    _noise(
        name="log_gradient_noise_weight",
        words="scatter of the samples' gradients (log10)",
        formula="log10(|w| sqrt(tr cov_n(g_n)) / L0)",
        function=_times_weight_norm("gradient_noise"),
    ),
)
