"""The findings in sentences: every number comes from the tables."""

from __future__ import annotations

import numpy as np

from hessdiag.study._binomial import share_interval
from hessdiag.study._claims import EXPECTED
from hessdiag.study._figure_coupling import pairs_at_end, phi_rows
from hessdiag.study._figure_selection import (
    best_of_families,
    correlation_row,
    correlation_rows,
    ends,
    expressive_rows,
    finite,
    present_regimes,
    spectral,
    starts,
    times,
    within,
)
from hessdiag.study._figure_words import (
    count_words,
    number,
    p_words,
    percent,
    quoted_words,
    rho_words,
    signed,
)

_SIGNIFICANT = 0.05
_N_BOOTSTRAP = 2000


def find(tables):
    """Say what each figure shows.

    Returns
    -------
    findings : dict of str to list of str
        Sentences by name of the figure; the first states the result.
    """
    return {
        "regimes": _of_regimes(tables.experiments),
        "evolution": _of_evolution(tables.evolution),
        "regularities": _of_regularities(tables.regularities),
        "correlations": _of_correlations(tables.correlations),
        "early": _of_early(tables.correlations),
        "expressivity": _of_expressivity(tables.expressivity),
        "coupling": _of_coupling(tables.coupling),
    }


def quartile_words(values, unit=""):
    """Write a median with its quartiles."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if not len(values):
        return "not known"
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{number(middle, 2)}{unit} (quartiles {number(low, 2)} and {number(high, 2)})"


def share_words(held):
    """Write in how many data sets something holds, with its exact interval."""
    n_held, n = int(np.sum(held)), len(held)
    if not n:
        return "none of 0 data sets"
    share, low, high = share_interval(n_held, n)
    return (
        f"{n_held} of {count_words(n, 'data set')} ({percent(share)}, 95 % interval "
        f"{100 * low:.0f} to {percent(high)})"
    )


def agreement_interval(agrees, data_sets):
    """Share of experiments that agree, with a bootstrap interval over data sets."""
    data_sets = np.asarray(data_sets)
    names = np.unique(data_sets)
    hits = np.array([np.sum(np.asarray(agrees)[data_sets == name]) for name in names], dtype=float)
    sizes = np.array([np.sum(data_sets == name) for name in names], dtype=float)
    draws = np.random.default_rng(0).integers(len(names), size=(_N_BOOTSTRAP, len(names)))
    shares = hits[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return hits.sum() / sizes.sum(), low, high


def by_regime(frame, column, index="dataset"):
    """Turn a column into a table of data sets by regimes."""
    rows = finite(frame, column)
    return rows.pivot_table(index=index, columns="regime", values=column, aggfunc="median")


def _of_regimes(experiments):
    """Say what losses the regimes end with, and what the diagnoser makes of them."""
    if not len(experiments):
        return ["The tables hold no experiments."]
    held_out = by_regime(experiments, "held_out_loss")
    sentences = []
    if {"starved", "sound", "lavish"} <= set(held_out):
        held_out = held_out[["starved", "sound", "lavish"]].dropna()
        best = held_out["sound"] < held_out[["starved", "lavish"]].min(axis=1)
        sentences.append(
            f"The sound network has the lowest held-out loss of the three in {share_words(best)}."
        )
    for regime in present_regimes(experiments):
        part = experiments[experiments["regime"] == regime]
        sentences.append(
            f"{regime.capitalize()} networks end with a training loss of "
            f"{quartile_words(part['train_loss'])} and a held-out loss of "
            f"{quartile_words(part['held_out_loss'])}, in null losses."
        )
    sure = int(experiments["regime_sure"].astype(bool).sum())
    sentences.append(
        f"The pilot is sure of the regime of {sure} of the "
        f"{count_words(len(experiments), 'experiment')}."
    )
    rows = experiments[experiments["diagnosis_unseen"].notna()]
    if len(rows):
        agrees = rows["diagnosis_unseen"] == rows["regime"].map(EXPECTED)
        share, low, high = agreement_interval(agrees, rows["dataset"])
        sentences.append(
            "A diagnoser that has seen no network of the data set at hand, and no held-out data, "
            f"names the regime of {percent(share)} of all experiments (95 % bootstrap interval "
            f"over data sets {100 * low:.0f} to {percent(high)}; guessing has 33 %)."
        )
    return sentences


def _of_evolution(evolution):
    """Say how sharpness and effective dimension move."""
    if not len(evolution):
        return ["The tables hold no checkpoints."]
    network = evolution[evolution["place"] == "network"]
    sentences = []
    first, last = (by_regime(rows, "max_eigenvalue") for rows in (starts(network), ends(network)))
    growth = (last / first.where(first > 0)).replace([np.inf, -np.inf], np.nan)
    words = [
        f"{quartile_words(growth[regime].dropna())} in {regime} runs"
        for regime in present_regimes(network)
        if regime in growth and growth[regime].notna().any()
    ]
    if words:
        sentences.append(
            "From initialization to the end of training the largest eigenvalue of the whole "
            f"network changes by a factor of {_listed(words)}, in the median over data sets."
        )
    if {"sound", "lavish"} <= set(last):
        both = last[["sound", "lavish"]].dropna()
        sentences.append(
            "It ends larger in the lavish than in the sound run in "
            f"{share_words(both['lavish'] > both['sound'])}."
        )
    layer = finite(evolution[evolution["place"] == "last"], "effective_dimension")
    if len(layer):
        peak = layer.groupby(["dataset", "regime"])["effective_dimension"].max().unstack()
        end = by_regime(ends(layer), "effective_dimension")
        kept = 100 * end / peak.where(peak > 0)
        words = [
            f"{quartile_words(kept[regime], ' %')} in {regime} runs"
            for regime in present_regimes(layer)
            if regime in kept
        ]
        sentences.append(
            "The effective dimension of the last layer (the number of its directions that the "
            f"data determine) ends, as a share of its own peak, at {_listed(words)}."
        )
    return sentences or ["No curvature was measured."]


def _of_regularities(regularities):
    """Say how many statements hold, and which most and least clearly."""
    tested = finite(regularities, "share")
    if not len(tested):
        return ["No statement could be tested on these data sets."]
    count = tested["verdict"].value_counts()
    clear = tested[tested["p_adjusted"] < _SIGNIFICANT]["verdict"].value_counts()
    sentences = [
        f"Of {count_words(len(tested), 'statement')} made before looking, "
        f"{count.get('holds', 0)} hold on most data sets, {count.get('fails', 0)} fail and "
        f"{count.get('open', 0)} stay open.",
        f"After Holm's correction for all statements, {clear.get('holds', 0)} of those that hold "
        f"and {clear.get('fails', 0)} of those that fail differ from chance still.",
    ]
    order = tested.sort_values(["share", "n_data_sets", "key"], ascending=[False, False, True])
    for verdict, row, words in (
        ("holds", order.iloc[0], "The most regular one"),
        ("fails", order.iloc[-1], "The one that fails most often"),
    ):
        if row["verdict"] == verdict:
            sentences.append(
                f"{words}: “{str(row['statement']).rstrip('.')}”; it holds in "
                f"{row['n_held']:.0f} of {row['n_data_sets']:.0f} data sets "
                f"({percent(row['share'])}, 95 % interval "
                f"{100 * row['low']:.0f} to {percent(row['high'])})."
            )
    return sentences


def _of_correlations(correlations):
    """Say the strongest correlation, its rival, and how many there are."""
    known = times(correlations)
    measures = correlation_rows(correlations, known[-1]) if known else []
    if not len(measures):
        return ["No correlation could be computed."]
    best = measures.iloc[0]
    sentences = [
        "At the end of training, the measure that goes with held-out loss most closely is "
        f"{_named(best)}, n = {best.n_experiments:.0f} experiments on "
        f"{count_words(int(best.n_data_sets), 'data set')}."
    ]
    rivals = correlation_rows(correlations, known[-1], rivals=True)
    if len(rivals):
        rival = rivals.iloc[0]
        sentences.append(f"The strongest rival is {_named(rival)}; {_compared(best, rival)}.")
    narrow = spectral(measures)
    if len(narrow):
        sentences.append(
            "Of what is made of the layers' spectra alone, their shape or size, the strongest is "
            f"{_named(narrow.iloc[0])}."
        )
    partial = correlation_rows(correlations, known[-1], given="train_loss")
    if len(partial):
        top = partial.iloc[0]
        sentences.append(
            f"What remains once training loss is accounted for is largest for {_named(top)}."
        )
    table = within(correlations)
    table = table[(table["family"] != "rival") & (table["target"] == "held_out_loss")]
    table = finite(table[np.isclose(table["time"].astype(float), known[-1])], "p_adjusted")
    words = []
    for given, phrase in (("nothing", "on their own"), ("train_loss", "given training loss")):
        rows = table[table["given"] == given]
        if len(rows):
            clear = int((rows["p_adjusted"] < _SIGNIFICANT).sum())
            words.append(f"{clear} of {len(rows)} {phrase}")
    sentences.append(
        "Of all measures and places, those that correlate with held-out loss after correction for "
        f"every test of the table are {_listed(words)}."
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


def _of_early(correlations):
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
        f"most closely is {_named(best)}, corrected p {p_words(best.p_adjusted)}."
    ]
    rivals = correlation_rows(correlations, first, rivals=True)
    if len(rivals):
        rival = rivals.iloc[0]
        sentences.append(
            f"The strongest rival at that time is {quoted_words(rival.measure, rival.place)}: "
            f"{rho_words(rival)}; {_compared(best, rival)}."
        )
    partial = correlation_rows(correlations, first, given="train_loss")
    if len(partial):
        top = partial.iloc[0]
        sentences.append(f"Given the training loss at that time, the strongest is {_named(top)}.")
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


def _of_expressivity(expressivity):
    """Say which measure follows the width that is needed."""
    rows = expressive_rows(expressivity)
    if not len(rows):
        return ["No measure could be related to width."]
    best = rows.iloc[0]
    sentences = [
        "The measure that follows a student's width over its teacher's most closely is "
        f"{_named(best)}, n = {best.n_students:.0f} students of "
        f"{best.n_teachers:.0f} teachers."
    ]
    rivals = expressive_rows(expressivity, rivals=True)
    if len(rivals):
        rival = rivals.iloc[0]
        sentences.append(f"The strongest rival is {_named(rival)}.")
    strong = finite(rows[rows["p_adjusted"] < _SIGNIFICANT], "saturation_ratio")
    near = strong[(strong["saturation_ratio"] >= 0.5) & (strong["saturation_ratio"] <= 2)]
    sentences.append(
        f"Of {len(rows)} pairs of measure and place, "
        f"{int((rows['p_adjusted'] < _SIGNIFICANT).sum())} follow the width after correction; "
        f"{len(near)} of these saturate between half and twice the teacher's width, where a "
        "detector of the needed width should."
    )
    if len(near):
        row = near.iloc[0]
        sentences.append(
            f"The strongest of those is {_named(row)}, "
            f"saturating at {number(row.saturation_ratio)} times the teacher's width."
        )
    return sentences


def _of_coupling(coupling):
    """Say what lies between the layers."""
    shares = ends(phi_rows(coupling))
    if not len(shares):
        return ["No coupling between layers was measured."]
    words = []
    for regime in present_regimes(shares):
        part = shares[shares["regime"] == regime]
        words.append(f"{quartile_words(100 * part['phi'], ' %')} in {regime} runs")
    sentences = [
        "At the end of training, the share of the squared curvature that lies between layers, "
        f"which the layer-wise view leaves out, is {_listed(words)}, in the median over data sets."
    ]
    table = by_regime(shares, "phi")
    if "sound" in table:
        sentences.append(
            "The layers' own blocks hold more than half of the sound network's in "
            f"{share_words(table['sound'].dropna() < 0.5)}."
        )
    pairs = pairs_at_end(coupling)
    if len(pairs):
        words = []
        for distance, rows in pairs.groupby("distance"):
            values = rows.groupby("dataset")["coupling"].median()
            words.append(f"{quartile_words(values)} at distance {distance:g}")
        sentences.append(f"Two layers couple by {_listed(words)}.")
    return sentences


def _named(row):
    """Name a measure with its correlation."""
    return f"{quoted_words(row.measure, row.place)}: {rho_words(row)}"


def _listed(words):
    """Join phrases as one does in a sentence."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
