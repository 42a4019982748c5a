"""The findings about correlations in sentences: at the end, early, and with width."""

from __future__ import annotations

import numpy as np

from hessdiag.study.page._sentences import listed, named
from hessdiag.study.tables import (
    SIGNIFICANT,
    best_of_families,
    correlation_row,
    correlation_rows,
    expressive_rows,
    finite,
    spectral,
    times,
    within,
)
from hessdiag.study.wording import count_words, number, p_words, quoted_words, signed


def of_correlations(correlations):
    """Say the strongest correlation, its rival, and how many there are."""
    known = times(correlations)
    measures = correlation_rows(correlations, known[-1]) if known else []
    if not len(measures):
        return ["No correlation could be computed."]
    best = measures.iloc[0]
    sentences = [
        "At the end of training, the measure that goes with held-out loss most closely is "
        f"{named(best)}, n = {best.n_experiments:.0f} experiments on "
        f"{count_words(int(best.n_data_sets), 'data set')}."
    ]
    rivals = correlation_rows(correlations, known[-1], rivals=True)
    if len(rivals):
        rival = rivals.iloc[0]
        sentences.append(f"The strongest rival is {named(rival)}; {_compared(best, rival)}.")
    narrow = spectral(measures)
    if len(narrow):
        sentences.append(
            "Of what is made of the layers' spectra alone, their shape or size, the strongest is "
            f"{named(narrow.iloc[0])}."
        )
    partial = correlation_rows(correlations, known[-1], given="train_loss")
    if len(partial):
        top = partial.iloc[0]
        sentences.append(
            f"What remains once training loss is accounted for is largest for {named(top)}."
        )
    table = within(correlations)
    table = table[(table["family"] != "rival") & (table["target"] == "held_out_loss")]
    table = finite(table[np.isclose(table["time"].astype(float), known[-1])], "p_adjusted")
    words = []
    for given, phrase in (("nothing", "on their own"), ("train_loss", "given training loss")):
        rows = table[table["given"] == given]
        if len(rows):
            clear = int((rows["p_adjusted"] < SIGNIFICANT).sum())
            words.append(f"{clear} of {len(rows)} {phrase}")
    sentences.append(
        "Of all measures and places, those that correlate with held-out loss after correction for "
        f"every test of the table are {listed(words)}."
    )
    return sentences


def _compared(best, rival):
    """Compare two correlations by size, without claiming more than the intervals allow."""
    low = min(abs(best.low), abs(best.high)) if best.low * best.high > 0 else 0.0
    if low > abs(rival.rho):
        return "the measure's whole interval is beyond it"
    if abs(best.rho) > abs(rival.rho):
        return "it lies within the measure's interval, so that the measure's lead is not certain"
    return "the rival is the stronger of the two"


def of_early(correlations):
    """Say what can be seen at the first of the times."""
    known = times(correlations)
    if len(known) < 2:
        return ["Correlations were computed at fewer than two times."]
    first, end = known[0], known[-1]
    measures = correlation_rows(correlations, first)
    if not len(measures):
        return ["No correlation could be computed early in training."]
    best = measures.iloc[0]
    sentences = [
        f"At {100 * first:g} % of training, the measure that goes with the final held-out loss "
        f"most closely is {named(best)}, corrected p {p_words(best.p_adjusted)}."
    ]
    rivals = correlation_rows(correlations, first, rivals=True)
    if len(rivals):
        rival = rivals.iloc[0]
        sentences.append(
            f"The strongest rival at that time is {named(rival)}; {_compared(best, rival)}."
        )
    partial = correlation_rows(correlations, first, given="train_loss")
    if len(partial):
        top = partial.iloc[0]
        sentences.append(f"Given the training loss at that time, the strongest is {named(top)}.")
    final = best_of_families(correlations, end).iloc[0]
    early = correlation_row(
        *(correlations, final.measure, final.place, final.family, first, "held_out_loss", "nothing")
    )
    if early is not None:
        sentences.append(
            f"The strongest of the end, {quoted_words(final.measure, final.place)} with "
            f"ρ = {signed(final.rho)}, has ρ = {signed(early.rho)} at that time."
        )
    return sentences


def of_expressivity(expressivity):
    """Say which measure follows the width that is needed."""
    rows = expressive_rows(expressivity)
    if not len(rows):
        return ["No measure could be related to width."]
    best = rows.iloc[0]
    sentences = [
        "The measure that follows a student's width over its teacher's most closely is "
        f"{named(best)}, n = {best.n_students:.0f} students of "
        f"{best.n_teachers:.0f} teachers."
    ]
    rivals = expressive_rows(expressivity, rivals=True)
    if len(rivals):
        rival = rivals.iloc[0]
        sentences.append(f"The strongest rival is {named(rival)}.")
    strong = finite(rows[rows["p_adjusted"] < SIGNIFICANT], "saturation_ratio")
    near = strong[(strong["saturation_ratio"] >= 0.5) & (strong["saturation_ratio"] <= 2)]
    sentences.append(
        f"Of {len(rows)} pairs of measure and place, "
        f"{int((rows['p_adjusted'] < SIGNIFICANT).sum())} follow the width after correction; "
        f"{len(near)} of these saturate between half and twice the teacher's width, where a "
        "detector of the needed width should."
    )
    if len(near):
        row = near.iloc[0]
        sentences.append(
            f"The strongest of those is {named(row)}, "
            f"saturating at {number(row.saturation_ratio)} times the teacher's width."
        )
    return sentences
