"""How early in training measures tell of the held-out loss at its end."""

from __future__ import annotations

import numpy as np

from hessdiag.plotting import new_figure
from hessdiag.study.figures._forest import size_words
from hessdiag.study.figures._study_figure import StudyFigure
from hessdiag.study.figures._style import ENCODINGS, INK, WIDTH, label_ends, leave_margin, note
from hessdiag.study.tables import (
    best_of_families,
    correlation_row,
    correlation_rows,
    times,
)
from hessdiag.study.wording import (
    FAMILY_WORDS,
    GIVEN_WORDS,
    measure_words,
    pair_words,
    wrapped,
)

_TARGET = "held_out_loss"


def draw_early(tables):
    """Draw the correlations of the best measures and of the rivals against share of training."""
    correlations = tables.correlations
    known = times(correlations)
    end = known[-1] if known else 1.0
    families = best_of_families(correlations, end)
    rivals = correlation_rows(correlations, end, rivals=True)
    figure = new_figure(WIDTH, 5.6)
    leave_margin(figure)
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    columns = (
        ("Best measure of each family", families, _family_label),
        ("Rivals", rivals, _rival_label),
    )
    lows = [
        bar[0]
        for given in GIVEN_WORDS
        for _, chosen, _ in columns
        for row in chosen.itertuples()
        for bar in _course(correlations, row, known, given)[2]
        if np.isfinite(bar[0])
    ]
    lowest = max(-1.03, min([-0.12, *(low - 0.05 for low in lows)]))
    for line, given in zip(axes, GIVEN_WORDS):
        for axis, (title, chosen, label) in zip(line, columns):
            rows = list(chosen.itertuples())
            sizes = f"\n{size_words(rows)}" if rows else ""
            axis.set_title(f"{title}, {GIVEN_WORDS[given]}{sizes}", loc="left")
            _draw(axis, correlations, chosen, label, known, given, lowest)
        line[0].set_ylabel("ρ, in the direction at the end")
    for axis in axes[1]:
        axis.set_xlabel("share of training at which the measure is taken (%)")
    chosen = "; ".join(
        f"{FAMILY_WORDS.get(row.family, row.family)}: {pair_words(row.measure, row.place)}"
        for row in families.itertuples()
    )
    return StudyFigure(
        name="early",
        title="How early it shows",
        caption=(
            "Spearman's ρ between a measure taken during training and held-out loss at the end, "
            "turned so that it is positive at the end of training (given nothing); bars: 95 % "
            "bootstrap intervals over data sets. Left: the measure of each family with "
            "the largest |ρ| at the end" + (f" ({chosen})" if chosen else "") + ". Right: rivals. "
            "Below: given training loss at the same time. Marks at one time are moved apart a "
            "little."
        ),
        alt=_alt(correlations, families, rivals, known),
        figure=figure,
    )


def _course(correlations, row, known, given):
    """Places in time, correlations and intervals of a measure, turned to be positive at the end."""
    sign = np.sign(row.rho) or 1.0
    xs, ys, bars = [], [], []
    for index, time in enumerate(known):
        found = correlation_row(
            *(correlations, row.measure, row.place, row.family, time, _TARGET, given)
        )
        if found is not None:
            xs.append(index)
            ys.append(sign * found.rho)
            bars.append(sorted([sign * found.low, sign * found.high]))
    return np.array(xs, dtype=float), np.array(ys), bars


def _draw(axis, correlations, chosen, label, known, given, lowest):
    """Draw lines over time, one for each row chosen."""
    labels = []
    for place, row in enumerate(chosen.itertuples()):
        encoding = ENCODINGS[place % len(ENCODINGS)]
        xs, ys, bars = _course(correlations, row, known, given)
        if not len(xs):
            continue
        xs += 0.05 * (place - (len(chosen) - 1) / 2)
        for x, bar in zip(xs, bars):
            axis.plot([x, x], bar, color=encoding.colour, lw=1)
        axis.plot(
            *(xs, ys),
            color=encoding.colour,
            ls=encoding.line,
            marker=encoding.marker,
            mec=INK,
            mew=0.5,
            ms=5,
        )
        labels.append((ys[-1], label(row), encoding))
    if not labels:
        note(axis, "no correlation could be computed")
        return
    axis.axhline(0.0, color=INK, lw=0.9)
    axis.set_ylim(lowest, 1.03)
    ticks = [tick for tick in (-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1) if tick >= lowest]
    axis.set_yticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    axis.set_xlim(-0.4, len(known) - 0.6)
    axis.set_xticks(range(len(known)), [f"{100 * time:g}" for time in known])
    label_ends(axis, labels, apart=0.085)


def _family_label(row):
    """Name a family at the end of its line."""
    return wrapped(FAMILY_WORDS.get(row.family, row.family), 26, 1)


def _rival_label(row):
    """Name a rival at the end of its line."""
    return wrapped(measure_words(row.measure).partition(" (")[0], 26, 1)


def _alt(correlations, families, rivals, known):
    """Say the first and the last point of each line."""
    words = []
    for chosen in (families, rivals):
        for row in chosen.itertuples():
            first = correlation_row(
                *(correlations, row.measure, row.place, row.family, known[0], _TARGET, "nothing")
            )
            start = "not defined" if first is None else f"{first.rho:+.2f}"
            words.append(f"{pair_words(row.measure, row.place)}: {start}, then {row.rho:+.2f}")
    if not words:
        return "Empty panels: no correlation could be computed."
    return "Rank correlations with final held-out loss, first and last time: " + "; ".join(words)
