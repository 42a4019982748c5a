"""Rows of the tables: those that hold numbers, begin or end a run, or sum it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hessdiag.study.tables._places import REGIMES

if TYPE_CHECKING:
    import pandas as pd

# The measures that stand for each kind of change; of each, the first that a table has is taken.
_KEY_MEASURES = (
    ("effective_dimension",),
    ("max_eigenvalue",),
    ("trace",),
    ("participation_ratio",),
    ("gn_gap", "negative_mass"),
    ("attainable_gap", "alo_gap_1"),
)


def present_regimes(frame: pd.DataFrame) -> list[str]:
    """Name the regimes that a table has.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table of the study.

    Returns
    -------
    regimes : list of str
        In the order of `REGIMES`; empty where the table has no column ``regime``.
    """
    found = set(frame["regime"]) if "regime" in frame else set()
    return [regime for regime in REGIMES if regime in found]


def finite(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Keep the rows in which a column holds a number.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table.
    column : str
        Name of the column.

    Returns
    -------
    rows : pandas.DataFrame
        Without those where it is missing or infinite; none where the table has no such column.
    """
    if column not in frame or not len(frame):
        return frame.iloc[:0]
    return frame[np.isfinite(frame[column].astype(float))]


def has_values(frame: pd.DataFrame, column: str) -> bool:
    """Tell whether a table has any number in a column.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table.
    column : str
        Name of the column.

    Returns
    -------
    has_values : bool
        False where the column is missing, too.
    """
    return len(finite(frame, column)) > 0


def quartiles(frame: pd.DataFrame, column: str, by: str = "step") -> pd.DataFrame:
    """Median and quartiles over data sets along training.

    Places that fewer than half of the data sets reach are left out: what moved there would be who
    is counted.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table with a column ``dataset``.
    column : str
        What to sum up.
    by : str, default="step"
        Column whose values become the places.

    Returns
    -------
    quartiles : pandas.DataFrame
        A row per place, with columns 0.25, 0.5 and 0.75.
    """
    values = finite(frame, column).groupby([by, "dataset"])[column].median()
    groups = values.groupby(level=0)
    table = groups.quantile([0.25, 0.5, 0.75]).unstack()
    count = groups.size()
    if not len(table):
        return table.reindex(columns=[0.25, 0.5, 0.75])
    return table[2 * count >= count.max()]


def by_regime(frame: pd.DataFrame, column: str, index: str = "dataset") -> pd.DataFrame:
    """Turn a column into a table of data sets by regimes.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table with a column ``regime``.
    column : str
        Whose numbers to arrange.
    index : str, default="dataset"
        Column whose values become the rows.

    Returns
    -------
    table : pandas.DataFrame
        A column per regime; the median where there are several numbers.
    """
    rows = finite(frame, column)
    return rows.pivot_table(index=index, columns="regime", values=column, aggfunc="median")


def ends(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the last checkpoint of each experiment.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table with columns ``experiment`` and ``step``.

    Returns
    -------
    rows : pandas.DataFrame
        Those of the largest step.
    """
    if not len(frame):
        return frame
    return frame[frame["step"] == frame.groupby("experiment")["step"].transform("max")]


def starts(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the first checkpoint of each experiment.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table with columns ``experiment`` and ``step``.

    Returns
    -------
    rows : pandas.DataFrame
        Those of the smallest step.
    """
    if not len(frame):
        return frame
    return frame[frame["step"] == frame.groupby("experiment")["step"].transform("min")]


def key_measures(evolution: pd.DataFrame) -> list[str]:
    """Choose the measures that stand for how curvature evolves.

    Parameters
    ----------
    evolution : pandas.DataFrame
        The table of checkpoints.

    Returns
    -------
    measures : list of str
        One of each kind: the first that the table has.
    """
    return [
        next((name for name in names if has_values(evolution, name)), names[0])
        for names in _KEY_MEASURES
    ]


def phi_rows(coupling: pd.DataFrame) -> pd.DataFrame:
    """Keep one row per experiment and checkpoint, with its share of curvature between layers.

    Parameters
    ----------
    coupling : pandas.DataFrame
        The table of pairs of layers.

    Returns
    -------
    rows : pandas.DataFrame
        Those whose ``phi`` is known.
    """
    rows = finite(coupling, "phi")
    return rows.drop_duplicates(["experiment", "step"])


def pairs_at_end(coupling: pd.DataFrame) -> pd.DataFrame:
    """Keep the pairs of different layers at the last checkpoint of each experiment.

    Parameters
    ----------
    coupling : pandas.DataFrame
        The table of pairs of layers.

    Returns
    -------
    rows : pandas.DataFrame
        Those whose ``coupling`` is known.
    """
    rows = finite(coupling, "coupling")
    rows = ends(rows)
    return rows[rows["distance"] > 0] if len(rows) else rows
