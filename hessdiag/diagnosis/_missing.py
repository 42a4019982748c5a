"""What was not measured of a network, and why, in words."""

from __future__ import annotations

import numpy as np

from hessdiag.features import FAMILY_OF

# What a reader loses with each family of measures.
_FAMILIES = {
    "loo": "leave-one-out estimates",
    "noise": "effective dimension and gradient noise",
    "between": "predictions between samples",
    "attainable": "what wide layers attain",
    "alignment": "alignment with targets and residuals",
    "shape": "the shape of spectra",
    "scale": "the size of curvature",
    "context": "loss, error and sizes",
}


def missing_measures(names: np.ndarray, gaps: np.ndarray) -> tuple[str, ...]:
    """Name the measures that were not taken though networks of the reference have them.

    Parameters
    ----------
    names : ndarray of str of shape (n_features,)
        Columns of the table.
    gaps : ndarray of bool of shape (n_features,)
        Which of them are missing.

    Returns
    -------
    measures : tuple of str
        Names of measures, each once, in the order of columns.
    """
    stems = [str(name).rpartition("__")[2] for name in np.asarray(names)[gaps]]
    return tuple(dict.fromkeys(stems))


def reason_of(examination: object) -> str:
    """Say why statistics are missing, as far as the examination knows.

    Parameters
    ----------
    examination : Examination or LayerTable
        What the measures were taken from.

    Returns
    -------
    reason : str
        A clause; empty where nothing is known.
    """
    context = getattr(examination, "context", {})
    reason = context.get("statistics_missing")
    if isinstance(reason, str):
        return reason
    if context.get("task") == "unknown":
        return "nothing tells what a right output is"
    if context.get("null_loss") == 0:
        return "all targets are the same"
    return ""


def note_of_missing(missing: tuple[str, ...], share: float, reason: str) -> str:
    """Caution that something was not measured.

    Parameters
    ----------
    missing : tuple of str
        Names of measures.
    share : float
        Share of what a diagnosis weighs.
    reason : str
        Why; empty where that is not known.

    Returns
    -------
    note : str
        Two sentences.
    """
    families = dict.fromkeys(FAMILY_OF.get(name, "context") for name in missing)
    listed = ", ".join(_FAMILIES[family] for family in families)
    size = f"{share:.0%}" if share >= 0.005 else "less than 1%"
    because = f", as {reason}" if reason else ""
    return (
        f"Not measured: {len(missing)} measures of {listed}{because}; that is {size} of what a "
        "diagnosis weighs. Probabilities and gains are means over what networks of the reference "
        "have there that are most alike in the rest."
    )
