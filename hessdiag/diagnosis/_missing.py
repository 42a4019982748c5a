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
    "hessian": "what Hessians have beyond Gauss-Newton matrices",
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


# Less than this share of what a diagnosis weighs may be missing without a word.
WORTH_A_NOTE = 0.05
# Nets have to be run on pairs of neighbours, of which there are some among so many samples.
_ENOUGH_SAMPLES = 10

# Samples fewer than which a report says so.
FEW_SAMPLES = 200

# What helps where a loss has no derivatives but rounding.
_ROUNDED = (
    "Examine it with dtype='float64' where it says float32; of a net that fits its samples to the "
    "last digit of float64, ask about an earlier state of its training."
)


def reason_of(examination: object) -> tuple[str, str]:
    """Say why statistics are missing and what would help, as far as the examination knows.

    Parameters
    ----------
    examination : Examination or LayerTable
        What the measures were taken from.

    Returns
    -------
    reason : str
        A clause; empty where nothing is known.
    remedy : str
        A sentence.
    """
    context = getattr(examination, "context", {})
    simple = (
        "Examine it with a loss that is the mean over samples of a function of one output and its "
        "target."
    )
    reason = context.get("statistics_missing")
    if isinstance(reason, str):
        return reason, _ROUNDED if "rounding" in reason else simple
    if context.get("n_samples", _ENOUGH_SAMPLES) < _ENOUGH_SAMPLES:
        n = context["n_samples"]
        reason = f"there {'is' if n == 1 else 'are'} only {n} sample{'s' * (n != 1)}"
        return reason, "Examine it on more of the samples that it was trained on."
    if context.get("task") == "unknown":
        return "nothing tells what a right output is", simple
    if context.get("null_loss") == 0:
        return "all targets are the same", "Examine it on samples with different targets."
    return "", simple


def is_worth_a_note(missing: tuple[str, ...], share: float) -> bool:
    """Say whether what is missing is more than a few statistics that are not defined for a layer.

    Parameters
    ----------
    missing : tuple of str
        Names of measures.
    share : float
        Share of what a diagnosis weighs.

    Returns
    -------
    worth : bool
        Whether it is a good share, all measures of a family, or something of the context.
    """
    if share >= WORTH_A_NOTE:
        return True
    left = {family for name, family in FAMILY_OF.items() if name not in missing}
    families = {FAMILY_OF.get(name, "context") for name in missing}
    return "context" in families or not families <= left


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
    count = f"{len(missing)} measure{'s' * (len(missing) != 1)}"
    return (
        f"Not measured: {count} of {listed}{because}; that is {size} of what a "
        "diagnosis weighs. Probabilities and gains are means over what networks of the reference "
        "have there that are most alike in the rest."
    )


def notes_of_less(examination: object) -> tuple[str, ...]:
    """Say of how much of the data an examination was made, where that is less than all.

    Parameters
    ----------
    examination : Examination or LayerTable
        What was found out.

    Returns
    -------
    notes : tuple of str
        One for rounding that shows, one for what a budget of time left out, one for time beyond it,
        one for few samples.
    """
    context, notes = getattr(examination, "context", {}), []
    rounding = context.get("rounding")
    if isinstance(rounding, str):
        notes.append(f"Mind the digits: {rounding}")
    left_out = context.get("left_out")
    if isinstance(left_out, str):
        seconds = getattr(examination, "settings", {}).get("max_time")
        within = "" if seconds is None else f" of {seconds:g} seconds"
        notes.append(
            f"To keep within the time{within}: {left_out}. Pass max_time=None, or more seconds, to "
            "look at all."
        )
    taken = context.get("seconds_taken")
    if isinstance(taken, (int, float)):
        notes.append(
            f"The examination took {taken:.1f} seconds, longer than was asked for: preparing the "
            "net, checking its derivatives, and a little of each part are always done."
        )
    columns, n_outputs = context.get("n_output_columns"), context.get("n_outputs")
    if isinstance(columns, (int, float)) and isinstance(n_outputs, (int, float)):
        notes.append(
            f"Each sample has {n_outputs:.0f} outputs, which the curvature sees through "
            f"{columns:.0f} random column{'s'[: columns != 1]} of these: traces are right in the "
            "mean, and largest eigenvalues rather too large. Pass a larger max_gram_size for more "
            "columns and samples; that takes the cube of the time."
        )
    examined, n = context.get("n_samples_examined"), context.get("n_samples")
    if isinstance(examined, (int, float)) and isinstance(n, (int, float)) and examined < n:
        few = examined < min(FEW_SAMPLES, n / 2)
        if few and not isinstance(left_out, str):
            notes.append(
                f"The curvature is that of {examined:.0f} of {n:.0f} samples, as every sample has "
                "many outputs. Pass a larger max_gram_size to look at more; that takes the cube of "
                "the time."
            )
    return tuple(notes)
