"""Which measures go with generalization at the end of training, and their rivals."""

from __future__ import annotations

from hessdiag.plotting import new_figure
from hessdiag.study.figures._forest import (
    MEASURE,
    RIVAL,
    RIVAL_WORDS,
    correlation_axis,
    draw_estimate,
    forest_heights,
    set_rivals_apart,
    size_words,
)
from hessdiag.study.figures._study_figure import StudyFigure
from hessdiag.study.figures._style import QUIET, WIDTH, leave_margin, note
from hessdiag.study.tables import (
    N_STRONGEST,
    correlation_row,
    correlation_rows,
    times,
)
from hessdiag.study.wording import GIVEN_WORDS, count_words, pair_words, wrapped


def draw_correlations(tables):
    """Draw the strongest correlations with held-out loss, and beside them given training loss."""
    correlations = tables.correlations
    known = times(correlations)
    time = known[-1] if known else 1.0
    measures = correlation_rows(correlations, time).head(N_STRONGEST)
    rivals = correlation_rows(correlations, time, rivals=True)
    figure = new_figure(WIDTH, 1.3 + 0.33 * max(4, len(measures) + len(rivals)))
    leave_margin(figure)
    axes = figure.subplots(1, 2, sharey=True)
    rows = [*((row, MEASURE) for row in measures.itertuples())]
    rows += [(row, RIVAL) for row in rivals.itertuples()]
    if rows:
        heights = forest_heights(len(measures), len(rivals))
        for axis, given in zip(axes, GIVEN_WORDS):
            _draw(axis, correlations, rows, heights, time, given)
            axis.set_title(
                f"{GIVEN_WORDS[given].capitalize()}\n{size_words([row for row, _ in rows])}",
                loc="left",
            )
        words = [wrapped(pair_words(row.measure, row.place), 50, 2) for row, _ in rows]
        if len(rivals):
            heights.append(set_rivals_apart(axes, heights, len(measures)))
            words.append(RIVAL_WORDS)
        for axis in axes:
            correlation_axis(axis, heights)
        axes[0].set_yticks(heights, words)
    else:
        for axis in axes:
            note(axis, "no correlation could be computed")
    return StudyFigure(
        name="correlations",
        title="What goes with held-out loss at the end of training",
        caption=(
            f"Spearman's rank correlation ρ with held-out loss within data sets, pooled over them. "
            f"Left: the {count_words(len(measures), 'measure')} of largest |ρ| (circles) and all "
            "rivals (squares, shaded). Right: the same, given training loss (partial rank "
            "correlation). Bars: 95 % bootstrap intervals over data sets. Filled marks: p below "
            "0.05 after Benjamini and Hochberg's correction over the whole table; hollow marks: "
            "not. The measures are chosen as the strongest of many, so their left-hand ρ flatters "
            "them a little; rivals are not chosen."
        ),
        alt=_alt(rows),
        figure=figure,
    )


def _draw(axis, correlations, rows, heights, time, given):
    """Draw one forest."""
    for (row, encoding), height in zip(rows, heights):
        found = correlation_row(
            *(correlations, row.measure, row.place, row.family, time, row.target, given)
        )
        if found is None:
            axis.text(0.04, height, "not defined", va="center", color=QUIET)
        else:
            draw_estimate(axis, height, found, encoding)
    axis.set_xlabel("Spearman's ρ with held-out loss (no unit)")


def _alt(rows):
    """Say the correlations in words."""
    found = [f"{pair_words(row.measure, row.place)} {row.rho:+.2f}" for row, _ in rows]
    if not found:
        return "Empty forest plot: no correlation could be computed."
    return "Forest plot of rank correlations with held-out loss: " + "; ".join(found) + "."
