"""How measures of the layers move in training: small multiples."""

from __future__ import annotations

from hessdiag.plotting import new_figure
from hessdiag.study.figures._study_figure import StudyFigure
from hessdiag.study.figures._style import (
    INK,
    REGIME_ENCODINGS,
    WIDTH,
    draw_band,
    leave_margin,
    log_scale,
    mark_ends,
    note,
    regime_legend,
    step_axis,
    step_positions,
)
from hessdiag.study.tables import PLACES, finite, key_measures, present_regimes, quartiles
from hessdiag.study.wording import PLACE_WORDS, count_words

# Words with unit, and whether the scale is logarithmic.
_ROWS = {
    "effective_dimension": ("effective dimension\n(directions)", True),
    "max_eigenvalue": ("largest eigenvalue\n(loss / parameter²)", True),
    "trace": ("trace\n(loss / parameter²)", True),
    "participation_ratio": ("participation ratio\n(directions)", True),
    "gn_gap": ("curvature that Gauss-\nNewton misses (share)", False),
    "negative_mass": ("negative curvature\n(share of the mass)", False),
    "attainable_gap": ("what a wide layer knows\nbeyond the net (R²)", False),
    "alo_gap_1": ("estimated gap\n(null losses)", False),
}


def draw_evolution(tables):
    """Draw key measures against steps, a row for each and a column for each place."""
    frame = tables.evolution
    rows = [(name, *_ROWS[name]) for name in key_measures(frame)]
    figure = new_figure(WIDTH, 1.45 * len(rows) + 0.6)
    leave_margin(figure)
    axes = figure.subplots(len(rows), len(PLACES), sharey="row", squeeze=False)
    for index, (measure, line) in enumerate(zip(rows, axes)):
        drawn = [_draw_panel(axis, frame, place, measure) for axis, place in zip(line, PLACES)]
        if any(drawn) and measure[2]:
            log_scale(line[0])
        largest = frame["step"].max() if len(frame) else 1
        for axis, is_drawn in zip(line, drawn):
            if is_drawn:
                bottom = index == len(rows) - 1
                step_axis(axis, largest, "optimizer step (log)" if bottom else None)
                axis.tick_params(labelbottom=bottom)
        first = drawn.index(True) if any(drawn) else 0
        line[first].set_ylabel(measure[1])
        if any(drawn):
            line[first].tick_params(labelleft=True)
    for axis, place in zip(axes[0], PLACES):
        axis.set_title(f"{PLACE_WORDS[place]}\n{_size(frame, place)}", loc="left")
    regime_legend(figure, frame)
    n_sets = frame["dataset"].nunique() if len(frame) else 0
    return StudyFigure(
        name="evolution",
        title="How curvature moves in training",
        caption=(
            "Median over data sets (line, marked at its end) and interquartile range (band) of "
            f"each measure along training, {count_words(n_sets, 'data set')} per regime at most. "
            "Columns are the first, middle and last layer, each with its own local Hessian, and "
            "the whole network. Eigenvalues and traces are of the mean loss as it was trained on. "
            "Axes are logarithmic, without values of zero, except those of shares and of R²; a row "
            "shares its axis. Steps that fewer than half of the data sets reach are not drawn."
        ),
        alt=(
            "Small multiples of "
            + ", ".join(row[1].replace("-\n", "-").replace("\n", " ") for row in rows)
            + " against optimizer steps, by regime, for first, middle and last layers and the "
            "whole network."
        ),
        figure=figure,
    )


def _draw_panel(axis, frame, place, measure):
    """Draw a measure of a place; return whether there is anything to draw."""
    column, _, logarithmic = measure
    part = finite(frame[frame["place"] == place] if len(frame) else frame, column)
    if logarithmic and len(part):
        part = part[part[column] > 0]
    if not len(part):
        note(axis, "not measured here")
        return False
    for regime in present_regimes(part):
        table = quartiles(part[part["regime"] == regime], column)
        encoding = REGIME_ENCODINGS[regime]
        places = step_positions(table.index)
        draw_band(axis, places, table, encoding)
        mark_ends(axis, places, table[0.5].to_numpy(), encoding)
    if not logarithmic:
        axis.axhline(0.0, color=INK, lw=0.6)
    return True


def _size(frame, place):
    """Say how many data sets and experiments a column shows."""
    part = frame[frame["place"] == place] if len(frame) else frame
    n_sets = part["dataset"].nunique() if len(part) else 0
    n = part["experiment"].nunique() if len(part) else 0
    return f"{n_sets} data sets, n = {n}"
