"""What a look leaves in skorch's history: floats, strings and None, under names of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hessdiag.curvature.network import matches
from hessdiag.monitor._layer_measures import RAW_MEASURES
from hessdiag.monitor._trajectory_point import NORMS

#: What begins the names of entries that are too many for a printed table.
PREFIX = "spectrum"

# skorch prints what is an event, and sends it to no logger of numbers.
DIAGNOSIS = "event_diagnosis"


def blank_entries(diagnoser) -> dict[str, None]:
    """Return the entries of an epoch without a look, so that a printed table keeps its columns.

    Parameters
    ----------
    diagnoser : FitDiagnoser or None
        What is asked at each look.

    Returns
    -------
    entries : dict of str to None
        The names.
    """
    if diagnoser is None:
        return {}
    names = [DIAGNOSIS, *diagnoser.gain_names_]
    if hasattr(diagnoser, "predict_proba"):
        names += [f"probability_{name}" for name in diagnoser.classes_]
    return dict.fromkeys(names)


def entries_of(point, measures: Iterable[str], layers: Iterable[str] | None) -> dict:
    """Return the entries of a look.

    Parameters
    ----------
    point : TrajectoryPoint
        What was found.
    measures : iterable of str
        Measures of layers to write.
    layers : iterable of str or None
        Names, or patterns of names, of layers whose measures are written; None writes all.

    Returns
    -------
    entries : dict of str to (float, int, str or None)
        What is not finite is None.
    """
    entries: dict = {f"{PREFIX}_step": point.step, f"{PREFIX}_seconds": point.seconds}
    if point.failed:
        return entries | {f"{PREFIX}_error": point.error}
    if point.diagnosis is not None:
        entries[DIAGNOSIS] = point.diagnosis
        entries[f"{PREFIX}_domain_score"] = _plain(point.domain_score)
    entries |= {f"probability_{name}": _plain(v) for name, v in point.probabilities.items()}
    entries |= {name: _plain(value) for name, value in point.gains.items()}
    for row in point.rows():
        name = row["layer"]
        patterns = ["*"] if layers is None or row["depth"] < 0 else layers
        if not any(matches(name, pattern) for pattern in patterns):
            continue
        entries |= {f"{PREFIX}/{m}/{name}": _plain(row[m]) for m in measures}
    return entries


def check_measures(measures: Iterable[str], known: Iterable[str]) -> None:
    """Check names of measures.

    Parameters
    ----------
    measures : iterable of str
        Names.
    known : iterable of str
        What there is beside `RAW_MEASURES`.

    Raises
    ------
    ValueError
        If there is no such measure.
    """
    if isinstance(measures, str):
        raise ValueError(
            f"Expected a list of measures, found the string {measures!r}. Pass [{measures!r}]."
        )
    unknown = [name for name in measures if name not in {*RAW_MEASURES, *NORMS, *known}]
    if unknown:
        raw = ", ".join((*RAW_MEASURES, *NORMS))
        raise ValueError(
            f"Expected names of measures, found {unknown}. Choose among {raw} and those "
            "of hessdiag.features.LAYER_MEASURES."
        )


def _plain(value):
    """A float that JSON can hold; None for what is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None
