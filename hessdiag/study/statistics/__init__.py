"""Statistics of the study: shares, many tests, rank correlations over groups."""

from hessdiag.study.statistics._binomial import holm, share_interval
from hessdiag.study.statistics._rank_correlation import (
    N_BOOTSTRAP,
    bootstrap_interval,
    centred_ranks,
    correlation,
    score_test,
    sums_by_group,
)

__all__ = [
    "N_BOOTSTRAP",
    "bootstrap_interval",
    "centred_ranks",
    "correlation",
    "holm",
    "score_test",
    "share_interval",
    "sums_by_group",
]
