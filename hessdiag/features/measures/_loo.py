"""Measures of leaving one out: approximate leave-one-out loss and error, and leverages."""

from __future__ import annotations

from functools import partial

from hessdiag.features.measures._by_prior import by_prior
from hessdiag.features.measures._measure import Measure
from hessdiag.features.measures._reading import log10, signed_log, statistic
from hessdiag.features.measures._references import HOAGLIN, RAD

_loo = partial(Measure, family="loo")
_by_prior = partial(by_prior, family="loo", reference=RAD)
_in_null_losses = partial(_by_prior, transform=signed_log, per="null_loss")

LOO = (
    *_in_null_losses(
        "alo_loss",
        formula="s(mean_n loss_n(z_n + A_n (I - Lambda_n A_n)^-1 r_n) / L0)",
    ),
    *_in_null_losses(
        "alo_gap",
        formula=(
            "s(mean_n (loss_n(z_n + A_n (I - Lambda_n A_n)^-1 r_n) - loss_n(z_n)) / L0); positive "
            "where held-out loss is above training loss"
        ),
    ),
    *_in_null_losses(
        "alo_median_gap",
        formula=(
            "s(median_n (loss_n(z_n + A_n (I - Lambda_n A_n)^-1 r_n) - loss_n(z_n)) / L0); "
            "positive where held-out loss is above training loss"
        ),
    ),
    *_by_prior(
        "alo_error",
        formula="mean_n error_n(z_n + A_n (I - Lambda_n A_n)^-1 r_n), at least 0",
    ),
    *_by_prior(
        "alo_error_gap",
        formula=(
            "mean_n (error_n(z_n + A_n (I - Lambda_n A_n)^-1 r_n) - error_n(z_n)); positive where "
            "held-out error is above training error"
        ),
    ),
    _loo(
        name="alo_best_loss",
        formula="s(min_alpha mean_n loss_n(z_n + A_n (I - Lambda_n A_n)^-1 r_n) / L0)",
        function=statistic("alo_best_loss", signed_log, "null_loss"),
        reference=RAD,
    ),
    _loo(
        name="alo_best_log10_ridge",
        formula=(
            "log10(m), alpha = m p / |w|^2 the prior of the lowest leave-one-out loss, m among "
            "0.01, 0.1, 1, 10, 100; positive for a stronger prior than p / |w|^2"
        ),
        function=statistic("alo_best_log10_ridge"),
        reference=RAD,
    ),
    _loo(
        name="leverage_mean",
        formula="mean_n tr(Lambda_n A_n), alpha = p / |w|^2, in 0..R",
        function=statistic("leverage_mean"),
        reference=HOAGLIN,
    ),
    _loo(
        name="leverage_max",
        formula="max_n tr(Lambda_n A_n), alpha = p / |w|^2, in 0..R",
        function=statistic("leverage_max"),
        reference=HOAGLIN,
    ),
    _loo(
        name="leverage_dispersion",
        formula=(
            "standard deviation over mean of tr(Lambda_n A_n), alpha = p / |w|^2, at least 0; 0 "
            "where all are equal"
        ),
        function=statistic("leverage_dispersion"),
        reference=HOAGLIN,
    ),
    _loo(
        name="leverage_high_share",
        formula="share of n with tr(Lambda_n A_n) above twice its mean, alpha = p / |w|^2",
        function=statistic("leverage_high_share"),
        reference=HOAGLIN,
    ),
    _loo(
        name="leverage_loss_correlation",
        formula=(
            "rank correlation of tr(Lambda_n A_n) and loss_n(z_n), alpha = p / |w|^2; positive "
            "where samples of high loss have high leverage"
        ),
        function=statistic("leverage_loss_correlation"),
        reference=HOAGLIN,
    ),
    _loo(
        name="self_influence_dispersion",
        formula="log10(standard deviation over mean of r_n' A_n r_n), alpha = p / |w|^2",
        function=statistic("self_influence_dispersion", log10),
        reference=RAD,
    ),
    _loo(
        name="self_influence_loss_correlation",
        formula=(
            "rank correlation of r_n' A_n r_n and loss_n(z_n), alpha = p / |w|^2; positive where "
            "samples of high loss influence their own loss most"
        ),
        function=statistic("self_influence_loss_correlation"),
        reference=RAD,
    ),
)
