"""What figures and page pick out of the tables, once for both."""

from __future__ import annotations

import numpy as np

from hessdiag.study._tables import REGIMES

N_STRONGEST = 10

#: Families of measures that are made of the layers' spectra alone.
SPECTRAL_FAMILIES = ("shape", "scale")


def present_regimes(frame):
    """Name the regimes that a table has, in their order."""
    found = set(frame["regime"]) if "regime" in frame else set()
    return [regime for regime in REGIMES if regime in found]


def finite(frame, column):
    """Keep the rows in which a column holds a number."""
    if column not in frame or not len(frame):
        return frame.iloc[:0]
    return frame[np.isfinite(frame[column].astype(float))]


def has_values(frame, column):
    """Say whether a table has any number in a column."""
    return len(finite(frame, column)) > 0


def quartiles(frame, column, by="step"):
    """Median and quartiles over data sets along training.

    Places that fewer than half of the data sets reach are left out: what moved there would be who
    is counted.
    """
    values = finite(frame, column).groupby([by, "dataset"])[column].median()
    groups = values.groupby(level=0)
    table = groups.quantile([0.25, 0.5, 0.75]).unstack()
    count = groups.size()
    if not len(table):
        return table.reindex(columns=[0.25, 0.5, 0.75])
    return table[2 * count >= count.max()]


def ends(frame):
    """Keep the last checkpoint of each experiment."""
    if not len(frame):
        return frame
    return frame[frame["step"] == frame.groupby("experiment")["step"].transform("max")]


def starts(frame):
    """Keep the first checkpoint of each experiment."""
    if not len(frame):
        return frame
    return frame[frame["step"] == frame.groupby("experiment")["step"].transform("min")]


def within(correlations):
    """Keep the correlations within data sets, where the table has others too."""
    if "scope" not in correlations or not len(correlations):
        return correlations
    return correlations[correlations["scope"] == "within"]


def times(correlations):
    """Shares of training at which correlations were taken, ascending."""
    return sorted(set(finite(within(correlations), "time")["time"]))


def correlation_rows(correlations, time, target="held_out_loss", given="nothing", rivals=False):
    """Correlations of measures, or of their rivals, strongest first.

    Of measures that rank all networks alike at one place, such as a trace and its logarithm, one
    is kept, and none if it is a rival too.
    """
    rows = finite(within(correlations), "rho")
    rows = rows[
        np.isclose(rows["time"].astype(float), time)
        & (rows["target"] == target)
        & (rows["given"] == given)
    ]
    return _measures_or_rivals(rows, rivals)


def _measures_or_rivals(rows, rivals):
    """Keep one of these, strongest first; measures that are like others or like rivals go."""
    rows = _strongest_first(rows)
    rows = rows.sort_values("family", key=lambda names: names != "rival", kind="stable")
    alike = rows[["rho", "low", "high"]].round(9).assign(place=rows["place"])
    is_rival = rows["family"] == "rival"
    return rows[is_rival] if rivals else rows[~is_rival & ~alike.duplicated()]


def _strongest_first(rows):
    """Sort correlations by their size; equal ones by name, so that the order is the same always."""
    rows = rows.assign(strength=rows["rho"].abs().round(9))
    order = ["strength", "measure", "place"]
    return rows.sort_values(order, ascending=[False, True, True]).drop(columns="strength")


def correlation_row(correlations, measure, place, family, time, target, given):
    """Find the one correlation of a measure at a place, or None."""
    rows = correlations[
        (correlations["measure"] == measure)
        & (correlations["place"] == place)
        & (correlations["family"] == family)
        & (correlations["target"] == target)
        & (correlations["given"] == given)
    ]
    rows = finite(within(rows), "rho")
    rows = rows[np.isclose(rows["time"].astype(float), time)]
    return rows.iloc[0] if len(rows) else None


def spectral(rows):
    """Keep the measures that are made of spectra alone."""
    return rows[rows["family"].isin(SPECTRAL_FAMILIES)]


def best_of_families(correlations, time, target="held_out_loss"):
    """The strongest measure of each family at a time, strongest family first."""
    rows = correlation_rows(correlations, time, target)
    return rows.drop_duplicates("family")


def expressive_rows(expressivity, rivals=False):
    """Measures, or their rivals, that follow the width best, strongest first; alike ones once."""
    return _measures_or_rivals(finite(expressivity, "rho"), rivals)
