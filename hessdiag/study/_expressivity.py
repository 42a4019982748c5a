"""Which measure finds the width that is needed, where it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import false_discovery_control, norm

from hessdiag.optional import import_optional
from hessdiag.study._correlations import measure_families
from hessdiag.study.statistics import (
    N_BOOTSTRAP,
    bootstrap_interval,
    centred_ranks,
    correlation,
    sums_by_group,
)

if TYPE_CHECKING:
    import pandas as pd

#: Share of the way from the narrowest to the widest student at which a measure has saturated.
SATURATED = 0.9


def express(students: pd.DataFrame, random_state: int = 0) -> pd.DataFrame:
    """Relate every measure to the students' width over that of their teachers.

    Parameters
    ----------
    students : pandas.DataFrame
        A row per student and place, as in `StudyTables`.
    random_state : int, default=0
        Seed of the bootstrap.

    Returns
    -------
    table : pandas.DataFrame
        A row per measure and place: ``rho``, Spearman's correlation with the ratio of widths by
        ranks within each teacher, its 95 % bootstrap interval over teachers, ``p_adjusted``
        (Benjamini-Hochberg, of normal p-values of the bootstrap's standard error), and
        ``saturation_ratio``: the smallest ratio of widths from which on the measure, averaged over
        seeds and scaled to 0 for the narrowest and 1 for the widest student of each teacher, has
        a median over teachers of at least 0.9; NaN where only the widest does.
    """
    rows = []
    for place in students["place"].unique():
        at_place = students[students["place"] == place]
        codes = np.unique(at_place["teacher"], return_inverse=True)[1]
        ratio = at_place["ratio"].to_numpy(dtype=float)
        for name, family in measure_families(place).items():
            if name in at_place:
                values = at_place[name].to_numpy(dtype=float)
                row = _relate(values, ratio, codes, random_state)
                row["saturation_ratio"] = _saturation(at_place, name)
                rows.append({"measure": name, "place": place, "family": family} | row)
    table = import_optional("pandas", "zoo", "The study").DataFrame(rows)
    known = table["p_value"].notna()
    table.loc[known, "p_adjusted"] = false_discovery_control(table.loc[known, "p_value"])
    return table


def _relate(values, ratio, codes, random_state):
    """Correlate ranks within teachers, over all of them."""
    kept = np.isfinite(values)
    groups = np.unique(codes[kept], return_inverse=True)[1]
    n_groups = groups.max() + 1 if len(groups) else 0
    row = {"n_students": int(kept.sum()), "n_teachers": int(n_groups)}
    row |= dict.fromkeys(("rho", "low", "high", "p_value"), np.nan)
    if n_groups < 2:
        return row
    x, y = (centred_ranks(v[kept], groups, "within") for v in (values, ratio))
    sums = sums_by_group(x, y, y, groups)
    row["rho"] = float(correlation(sums.sum(axis=0), False))
    row["low"], row["high"], error = bootstrap_interval(sums, False, random_state)
    if np.isfinite(error):
        # Where every teacher agrees in full, the bootstrap knows of no error at all.
        row["p_value"] = float(2 * norm.sf(abs(row["rho"]) / max(error, 1 / N_BOOTSTRAP)))
    return row


def _saturation(rows, name):
    """Smallest ratio of widths from which on the measure has made most of its way."""
    means = rows.groupby(["teacher", "ratio"])[name].mean().unstack()
    narrow = means.bfill(axis=1).iloc[:, 0]
    wide = means.ffill(axis=1).iloc[:, -1]
    reach = wide - narrow
    if not (reach != 0).any():
        return np.nan
    progress = means.sub(narrow, axis=0).div(reach.where(reach != 0), axis=0)
    median = progress.median(axis=0).to_numpy(dtype=float)
    reached = median >= SATURATED
    lasting = np.flatnonzero(np.logical_and.accumulate(reached[::-1])[::-1])
    if not len(lasting) or lasting[0] == len(median) - 1:
        return np.nan
    return float(means.columns[lasting[0]])
