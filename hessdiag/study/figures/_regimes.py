"""Losses of the regimes along training: whether the design works."""

from __future__ import annotations

from hessdiag.plotting import new_figure
from hessdiag.study.figures._study_figure import StudyFigure
from hessdiag.study.figures._style import (
    INK,
    PAPER,
    QUIET,
    REGIME_ENCODINGS,
    WIDTH,
    draw_band,
    label_ends,
    leave_margin,
    log_scale,
    mark_ends,
    note,
    regime_legend,
    step_axis,
    step_positions,
)
from hessdiag.study.tables import finite, has_values, present_regimes, quartiles
from hessdiag.study.wording import count_words

_LOSSES = (("train_loss", "Training loss"), ("held_out_loss", "Held-out loss"))


def draw_regimes(tables):
    """Draw training and held-out loss along training, and where each experiment ends."""
    figure = new_figure(WIDTH, 3.1)
    leave_margin(figure)
    axes = figure.subplots(1, 3)
    frame = tables.evolution
    frame = frame[frame["place"] == "network"] if len(frame) else frame
    for axis, (column, title) in zip(axes, _LOSSES):
        axis.set_title(title, loc="left")
        _draw_loss(axis, frame, column)
    axes[0].set_ylabel("loss / null loss (log scale)")
    _draw_final(axes[2], tables.experiments)
    regime_legend(figure, tables.experiments)
    n_sets = tables.experiments["dataset"].nunique()
    n = len(tables.experiments)
    return StudyFigure(
        name="regimes",
        title="Three regimes: too little, enough and too much capacity",
        caption=(
            f"{count_words(n, 'experiment')} on {count_words(n_sets, 'data set')}. Left and "
            "middle: median over data sets (line, marked at its end) and interquartile range "
            "(band) of the loss on the training data and on held-out data. Right: one mark per "
            "experiment at the end of training, on the dashed line if there is no gap; "
            "hollow where the pilot's held-out losses do not make sure of the regime (threshold "
            "0.05). All losses in units of the task's null loss, that of the best constant "
            "prediction, which is 1 (grey line). Step 0 is the initialization."
        ),
        alt=(
            "Lines of training and held-out loss against optimizer steps for the regimes "
            "starved, sound and lavish, and a scatter plot of the final losses."
        ),
        figure=figure,
    )


def _draw_loss(axis, frame, column):
    """Draw a loss of all regimes along training."""
    if not has_values(frame, column):
        note(axis, f"no {column.replace('_', ' ')} recorded")
        return
    positive = frame[frame[column] > 0]
    labels = []
    for regime in present_regimes(positive):
        part = positive[positive["regime"] == regime]
        table = quartiles(part, column)
        encoding = REGIME_ENCODINGS[regime]
        places = step_positions(table.index)
        draw_band(axis, places, table, encoding)
        mark_ends(axis, places, table[0.5].to_numpy(), encoding)
        n_sets = finite(part, column)["dataset"].nunique()
        labels.append((table[0.5].iloc[-1], f"{regime}\nn = {n_sets}", None))
    axis.axhline(1.0, color=QUIET, lw=0.8)
    log_scale(axis)
    step_axis(axis, frame["step"].max())
    label_ends(axis, labels, apart=0.16)


def _draw_final(axis, experiments):
    """Draw the final losses, a mark for each experiment."""
    frame = finite(finite(experiments, "train_loss"), "held_out_loss")
    frame = frame[(frame["train_loss"] > 0) & (frame["held_out_loss"] > 0)]
    if not len(frame):
        note(axis, "no final losses recorded")
        return
    for regime in present_regimes(frame):
        encoding = REGIME_ENCODINGS[regime]
        part = frame[frame["regime"] == regime]
        for sure, face in ((True, encoding.colour), (False, PAPER)):
            rows = part[part["regime_sure"].astype(bool) == sure]
            edge = INK if sure else encoding.colour
            style = {"mfc": face, "mec": edge, "mew": 0.5 if sure else 1.0, "ms": 4.5}
            axis.plot(
                rows["train_loss"], rows["held_out_loss"], encoding.marker, ls="none", **style
            )
    axis.set_xscale("log")
    low = min(frame["train_loss"].min(), frame["held_out_loss"].min())
    axis.set_xlim(frame["train_loss"].min() * 0.6, max(1.6, frame["train_loss"].max() * 1.3))
    axis.axhline(1.0, color=QUIET, lw=0.8)
    ends = [max(low, axis.get_xlim()[0]), axis.get_xlim()[1]]
    axis.plot(ends, ends, color=QUIET, lw=0.8, ls=(0, (2, 2)))
    axis.set_ylim(frame["held_out_loss"].min() * 0.7, max(1.6, frame["held_out_loss"].max() * 1.3))
    log_scale(axis)
    log_scale(axis, which="x")
    axis.set_xlabel("training loss / null loss (log scale)")
    axis.set_ylabel("held-out loss / null loss (log scale)")
    axis.set_title(f"Each experiment at its end, n = {len(frame)}", loc="left")
