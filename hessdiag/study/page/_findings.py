"""The findings in sentences: every number comes from the tables."""

from __future__ import annotations

import numpy as np

from hessdiag.study.page._findings_of_correlations import of_correlations, of_early, of_expressivity
from hessdiag.study.page._sentences import (
    agreement_interval,
    listed,
    quartile_words,
    share_words,
)
from hessdiag.study.tables import (
    EXPECTED_DIAGNOSES,
    PLACES,
    SIGNIFICANT,
    by_regime,
    ends,
    finite,
    key_measures,
    pairs_at_end,
    phi_rows,
    present_regimes,
    starts,
)
from hessdiag.study.wording import count_words, percent, quoted_words

_VANISHED = 1e-3


def find(tables):
    """Say what each figure shows.

    Returns
    -------
    findings : dict of str to list of str
        Sentences by name of the figure; the first states the result.
    """
    return {
        "regimes": _of_regimes(tables.experiments, tables.evolution),
        "evolution": _of_evolution(tables.evolution),
        "regularities": _of_regularities(tables.regularities),
        "correlations": of_correlations(tables.correlations),
        "early": of_early(tables.correlations),
        "expressivity": of_expressivity(tables.expressivity),
        "coupling": _of_coupling(tables.coupling),
    }


def _of_regimes(experiments, evolution):
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
    vanished = _vanished(evolution)
    if vanished:
        sentences.append(
            f"In {count_words(len(vanished), 'experiment')} a layer has shrunk to weights of norm "
            f"below {_VANISHED:g}, so that the network answers the same to every input: "
            f"{listed(vanished)}."
        )
    rows = experiments[experiments["diagnosis_unseen"].notna()]
    if len(rows):
        agrees = rows["diagnosis_unseen"] == rows["regime"].map(EXPECTED_DIAGNOSES)
        share, low, high = agreement_interval(agrees, rows["dataset"])
        sentences.append(
            "A diagnoser that has seen no network of the data set at hand, and no held-out data, "
            f"names the regime of {percent(share)} of all experiments (95 % bootstrap interval "
            f"over data sets {100 * low:.0f} to {percent(high)}; guessing has 33 %)."
        )
    return sentences


def _vanished(evolution):
    """Name the experiments that end with a layer of almost no weights."""
    layers = finite(evolution[evolution["place"] != "network"], "weight_norm")
    layers = ends(layers)
    return sorted(set(layers.loc[layers["weight_norm"] < _VANISHED, "experiment"]))


def _of_evolution(evolution):
    """Say how sharpness and effective dimension move."""
    if not len(evolution):
        return ["The tables hold no checkpoints."]
    network = evolution[evolution["place"] == "network"]
    sentences = _of_separation(evolution)
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
            f"network changes by a factor of {listed(words)}, in the median over data sets."
        )
    if {"sound", "lavish"} <= set(last):
        both = last[["sound", "lavish"]].dropna()
        sentences.append(
            "That eigenvalue ends larger in the lavish than in the sound run in "
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
            f"data determine) ends, as a share of its own peak, at {listed(words)}."
        )
    return sentences or ["No curvature was measured."]


def _of_separation(evolution):
    """Say which of the measures drawn tells lavish from sound runs most often."""
    found = []
    last = ends(evolution)
    for measure in key_measures(evolution):
        for place in PLACES:
            table = by_regime(last[last["place"] == place], measure)
            if {"sound", "lavish"} <= set(table):
                both = table[["sound", "lavish"]].dropna()
                above = both["lavish"] > both["sound"]
                below = both["lavish"] < both["sound"]
                for held, word in ((above, "higher"), (below, "lower")):
                    found.append((held.mean() if len(held) else 0.0, measure, place, word, held))
    if not found:
        return []
    _, measure, place, word, held = max(found, key=lambda item: item[0])
    sentences = [
        "Of the measures drawn, what tells lavish from sound runs most often is "
        f"{quoted_words(measure, place)}: it ends {word} in the lavish run in {share_words(held)}, "
        f"the best of {len(found) // 2} comparisons."
    ]
    losses = by_regime(last[last["place"] == "network"], "train_loss")
    if {"sound", "lavish"} <= set(losses):
        both = losses[["sound", "lavish"]].dropna()
        sentences.append(
            "Training loss, the plainest rival, ends lower there in "
            f"{share_words(both['lavish'] < both['sound'])}."
        )
    return sentences


def _of_regularities(regularities):
    """Say how many statements hold, and which most and least clearly."""
    tested = finite(regularities, "share")
    if not len(tested):
        return ["No statement could be tested on these data sets."]
    count = tested["verdict"].value_counts()
    clear = tested[tested["p_adjusted"] < SIGNIFICANT]["verdict"].value_counts()
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
        f"which the layer-wise view leaves out, is {listed(words)}, in the median over data sets."
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
        sentences.append(f"Two layers couple by {listed(words)}.")
    return sentences
