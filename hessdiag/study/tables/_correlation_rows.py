"""Rows of the tables of correlations: measures and their rivals, strongest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hessdiag.study.tables._selection import finite

if TYPE_CHECKING:
    import pandas as pd

#: How many measures are shown at a time.
N_STRONGEST = 10

#: Corrected p-value below which a correlation counts.
SIGNIFICANT = 0.05

#: Families of measures that are made of the layers' spectra alone.
SPECTRAL_FAMILIES = ("shape", "hessian", "scale")


def within(correlations: pd.DataFrame) -> pd.DataFrame:
    """Keep the correlations within data sets, where the table has others too.

    Parameters
    ----------
    correlations : pandas.DataFrame
        The table of correlations.

    Returns
    -------
    rows : pandas.DataFrame
        All where the table has no column ``scope``.
    """
    if "scope" not in correlations or not len(correlations):
        return correlations
    return correlations[correlations["scope"] == "within"]


def times(correlations: pd.DataFrame) -> list[float]:
    """List the shares of training at which correlations were taken.

    Parameters
    ----------
    correlations : pandas.DataFrame
        The table of correlations.

    Returns
    -------
    times : list of float
        Ascending.
    """
    return sorted(set(finite(within(correlations), "time")["time"]))


def correlation_rows(
    correlations: pd.DataFrame,
    time: float,
    target: str = "held_out_loss",
    given: str = "nothing",
    rivals: bool = False,
) -> pd.DataFrame:
    """Keep correlations of measures, or of their rivals, strongest first.

    Of measures that rank all networks alike at one place, such as a trace and its logarithm, one
    is kept, and none if it is a rival too.

    Parameters
    ----------
    correlations : pandas.DataFrame
        The table of correlations.
    time : float
        Share of training.
    target : str, default="held_out_loss"
        What is correlated with.
    given : str, default="nothing"
        What is held fixed.
    rivals : bool, default=False
        Whether to keep the rivals rather than the measures.

    Returns
    -------
    rows : pandas.DataFrame
        Those within data sets whose ``rho`` is known.
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


def correlation_row(
    correlations: pd.DataFrame,
    measure: str,
    place: str,
    family: str,
    time: float,
    target: str,
    given: str,
) -> pd.Series | None:
    """Find the one correlation of a measure at a place.

    Parameters
    ----------
    correlations : pandas.DataFrame
        The table of correlations.
    measure, place, family : str
        Which measure, of which layer, in which family.
    time : float
        Share of training.
    target, given : str
        What is correlated with, and what is held fixed.

    Returns
    -------
    row : pandas.Series or None
        None where it is not known.
    """
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


def spectral(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the measures that are made of spectra alone.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows with a column ``family``.

    Returns
    -------
    rows : pandas.DataFrame
        Those of `SPECTRAL_FAMILIES`.
    """
    return rows[rows["family"].isin(SPECTRAL_FAMILIES)]


def best_of_families(
    correlations: pd.DataFrame, time: float, target: str = "held_out_loss"
) -> pd.DataFrame:
    """Keep the strongest measure of each family at a time.

    Parameters
    ----------
    correlations : pandas.DataFrame
        The table of correlations.
    time : float
        Share of training.
    target : str, default="held_out_loss"
        What is correlated with.

    Returns
    -------
    rows : pandas.DataFrame
        One per family, the strongest first.
    """
    rows = correlation_rows(correlations, time, target)
    return rows.drop_duplicates("family")


def expressive_rows(expressivity: pd.DataFrame, rivals: bool = False) -> pd.DataFrame:
    """Keep the measures, or their rivals, that follow the width best.

    Parameters
    ----------
    expressivity : pandas.DataFrame
        The table of how measures follow the width that is needed.
    rivals : bool, default=False
        Whether to keep the rivals rather than the measures.

    Returns
    -------
    rows : pandas.DataFrame
        The strongest first; of measures that are alike, one.
    """
    return _measures_or_rivals(finite(expressivity, "rho"), rivals)
