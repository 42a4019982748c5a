"""Rank correlations of every measure with held-out loss and generalization gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import false_discovery_control

from hessdiag.features import FAMILY_OF
from hessdiag.optional import import_optional
from hessdiag.study._runs import nearest_checkpoint
from hessdiag.study.statistics import (
    bootstrap_interval,
    centred_ranks,
    correlation,
    score_test,
    sums_by_group,
)
from hessdiag.study.tables import PLACES

if TYPE_CHECKING:
    import pandas as pd

TIMES = (0.1, 0.25, 0.5, 1.0)
TARGETS = ("held_out_loss", "gap")

#: What needs no layer-wise curvature; of the whole net.
RIVALS = (
    "train_loss",
    "train_error",
    "gradient_norm",
    "weight_norm",
    "trace",
    "max_eigenvalue",
    "sharpness",
)

#: Family of each raw measure, which the diagnosis knows by other names.
RAW_FAMILIES = {
    "trace": "scale",
    "max_eigenvalue": "scale",
    "min_eigenvalue": "scale",
    "stable_rank": "shape",
    "participation_ratio": "shape",
    "effective_rank": "shape",
    "n_outliers": "shape",
    "rank_fraction": "shape",
    "effective_dimension": "noise",
    "gradient_norm": "norm",
    "weight_norm": "norm",
    "log_weight_rms": "norm",
}


def measure_families(place):
    """Return the measures of a place, and the family of each.

    Parameters
    ----------
    place : str
        One of `PLACES`.

    Returns
    -------
    families : dict of str to str
        Family by measure; "rival" for what needs no layer-wise curvature.
    """
    layerwise = {name: family for name, family in FAMILY_OF.items() if family != "context"}
    # A norm is no curvature, whichever family the diagnosis keeps it in.
    families = layerwise | RAW_FAMILIES
    return families | dict.fromkeys(RIVALS, "rival") if place == "network" else families


def correlate(
    experiments: pd.DataFrame, evolution: pd.DataFrame, random_state: int = 0
) -> pd.DataFrame:
    """Correlate every measure with how well networks generalize.

    Within a data set, the values of its experiments are replaced by their ranks minus the mean
    rank; Spearman's correlation of all data sets together ("within") is that of these ranks [1]_.
    The correlation "across" is that of ranks over all experiments. Given the training loss at the
    same time, both are partial correlations, ``(r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 -
    r_yz^2))``. Intervals are percentiles over 2,000 bootstrap samples of data sets. The p-value is
    that of a score test whose variance is taken over data sets, by Student's t with one degree of
    freedom less than there are data sets; it is adjusted for all tests of the table by Benjamini
    and Hochberg's rule [2]_. Data sets in which a measure is missing are left out of its row.

    Parameters
    ----------
    experiments, evolution : pandas.DataFrame
        Tables of a study.
    random_state : int, default=0
        Seed of the bootstrap.

    Returns
    -------
    table : pandas.DataFrame
        A row per measure, place, time, target, ``given`` and ``scope``; see `StudyTables`.

    References
    ----------
    .. [1] Quade (1967). Rank analysis of covariance. JASA 62(320).
    .. [2] Benjamini, Hochberg (1995). Controlling the false discovery rate. JRSS B 57(1).
    """
    experiments = experiments.reset_index(drop=True)
    names = experiments["dataset"].to_numpy()
    codes = np.unique(names, return_inverse=True)[1]
    rows = []
    for place in PLACES:
        at_place = evolution[evolution["place"] == place]
        if at_place.empty:
            continue
        families = {k: v for k, v in measure_families(place).items() if k in at_place}
        for time in TIMES:
            values = _values_at(at_place, experiments["experiment"], time)
            given = values["train_loss"].to_numpy(dtype=float)
            matrix = values[list(families)].to_numpy(dtype=float)
            for target in TARGETS:
                y = experiments[target].to_numpy(dtype=float)
                for scope in ("within", "across"):
                    found = _rank_correlations(matrix, y, given, codes, scope, random_state)
                    head = {"place": place, "time": time, "target": target, "scope": scope}
                    rows += [
                        {"measure": name, "family": family} | head | row
                        for (name, family), rs in zip(families.items(), found, strict=True)
                        for row in rs
                        if not (name == "train_loss" and row["given"] == "train_loss")
                    ]
    table = import_optional("pandas", "zoo", "The study").DataFrame(rows)
    known = table["p_value"].notna()
    table.loc[known, "p_adjusted"] = false_discovery_control(table.loc[known, "p_value"])
    return table


def _values_at(evolution, order, time):
    """Rows of the checkpoint nearest to a share of training; the mean over layers of a place."""
    shares = np.unique(evolution["share"].to_numpy(dtype=float))
    chosen = evolution[evolution["share"] == shares[nearest_checkpoint(shares, time)]]
    return chosen.groupby("experiment").mean(numeric_only=True).reindex(order)


def _rank_correlations(matrix, y, given, codes, scope, random_state):
    """Correlations of each column with y, plain and given the third, as two dicts a column."""
    results, others = [], {}
    for column in matrix.T:
        kept = np.isfinite(column) & np.isfinite(y) & np.isfinite(given)
        whole = np.isin(codes, np.setdiff1d(codes, codes[~kept]))
        groups = np.unique(codes[whole], return_inverse=True)[1]
        # Most columns are whole where the others are: these two are ranked once.
        key = whole.tobytes()
        if key not in others:
            others[key] = [centred_ranks(v[whole], groups, scope) for v in (y, given)]
        ranks = [centred_ranks(column[whole], groups, scope), *others[key]]
        sizes = {"n_experiments": int(whole.sum()), "n_data_sets": len(np.unique(groups))}
        sums = sums_by_group(*ranks, groups)
        results.append(
            [
                {"given": name} | sizes | _estimate(sums, ranks, groups, partial, random_state)
                for name, partial in (("nothing", False), ("train_loss", True))
            ]
        )
    return results


def _estimate(sums, ranks, groups, partial, random_state):
    """Correlation, bootstrap interval and p-value."""
    nothing = dict.fromkeys(("rho", "low", "high", "p_value"), np.nan)
    n_groups = len(sums)
    if n_groups < 2:
        return nothing
    rho = correlation(sums.sum(axis=0), partial)
    if not np.isfinite(rho):
        return nothing
    low, high, _ = bootstrap_interval(sums, partial, random_state)
    return {"rho": rho, "low": low, "high": high, "p_value": score_test(ranks, groups, partial)}
