"""Tables of the page: rows of words, ready to be set."""

from __future__ import annotations

import numpy as np

from hessdiag.study.tables import (
    N_STRONGEST,
    correlation_row,
    correlation_rows,
    times,
)
from hessdiag.study.wording import (
    FAMILY_WORDS,
    PLACE_WORDS,
    TARGET_WORDS,
    count_words,
    measure_words,
    number,
    p_words,
    percent,
    signed,
)

#: Style of the badge of each verdict.
VERDICT_STYLES = {
    "holds": "well-fit",
    "supported": "well-fit",
    "fails": "overfitting",
    "not supported": "overfitting",
    "open": "other",
}


def claim_rows(claims):
    """Claims with their verdicts."""
    return [
        {
            "claim": str(row.claim),
            "verdict": str(row.verdict),
            "style": VERDICT_STYLES.get(row.verdict, "other"),
            "evidence": _text(row.evidence),
        }
        for row in claims.itertuples()
    ]


def regularity_rows(regularities):
    """Statements with shares, intervals, verdicts and exceptions, in their own order."""
    rows = []
    for row in regularities.itertuples():
        tested = np.isfinite(float(row.share))
        exceptions = [name.strip() for name in _text(row.exceptions).split(";") if name.strip()]
        rows.append(
            {
                "key": str(row.key),
                "statement": str(row.statement),
                "reference": _text(row.reference),
                "held": f"{row.n_held:.0f} of {row.n_data_sets:.0f}",
                "share": percent(row.share) if tested else "not tested",
                "interval": f"{100 * row.low:.0f} to {percent(row.high)}" if tested else "",
                "p": p_words(row.p_adjusted) if tested else "",
                "verdict": str(row.verdict),
                "style": VERDICT_STYLES.get(row.verdict, "other"),
                "exceptions": exceptions,
            }
        )
    return rows


def correlation_tables(correlations):
    """The strongest correlations and the rivals at each time, latest first, for both targets."""
    tables = []
    for target in TARGET_WORDS:
        for time in reversed(times(correlations)):
            measures = correlation_rows(correlations, time, target).head(N_STRONGEST)
            rivals = correlation_rows(correlations, time, target, rivals=True)
            if len(measures) or len(rivals):
                tables.append(
                    {
                        "target": target,
                        "target_words": TARGET_WORDS[target],
                        "time": _time_words(time),
                        "measures": _correlation_lines(correlations, measures),
                        "rivals": _correlation_lines(correlations, rivals),
                    }
                )
    return tables


def experiment_rows(experiments):
    """Experiments with their sizes, losses and diagnosis."""
    return [
        {
            "dataset": str(row.dataset),
            "regime": str(row.regime),
            "sure": bool(row.regime_sure),
            "family": _text(row.family),
            "width": f"{row.width:g}",
            "n_train": f"{row.n_train:,.0f}",
            "n_params": f"{row.n_params:,.0f}",
            "train_loss": number(row.train_loss),
            "held_out_loss": number(row.held_out_loss),
            "diagnosis": _text(row.diagnosis_unseen),
        }
        for row in experiments.itertuples()
    ]


def _correlation_lines(correlations, rows):
    """Correlations in words, with those given training loss beside them."""
    lines = []
    for row in rows.itertuples():
        partial = correlation_row(
            correlations, row.measure, row.place, row.family, row.time, row.target, "train_loss"
        )
        lines.append(
            {
                "measure": str(row.measure),
                "words": measure_words(row.measure),
                "place": PLACE_WORDS.get(row.place, str(row.place)),
                "family": FAMILY_WORDS.get(row.family, str(row.family)),
                "n": f"{row.n_experiments:.0f} on {count_words(int(row.n_data_sets), 'data set')}",
                "plain": _estimate(row),
                "partial": _estimate(partial),
            }
        )
    return lines


def _estimate(row):
    """A correlation, its interval and its corrected p-value."""
    if row is None:
        return {"rho": "not defined", "interval": "", "p": ""}
    interval = f"{signed(row.low)} to {signed(row.high)}"
    return {"rho": signed(row.rho), "interval": interval, "p": p_words(row.p_adjusted)}


def _time_words(time):
    """Say when."""
    return "at the end of training" if time == 1 else f"at {100 * time:g} % of training"


def _text(value):
    """A text, or nothing where a table has none."""
    return value if isinstance(value, str) else ""
