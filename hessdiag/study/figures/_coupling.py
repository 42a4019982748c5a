"""What the layer-wise view leaves out: curvature between layers."""

from __future__ import annotations

import numpy as np

from hessdiag.plotting import new_figure
from hessdiag.study.figures._study_figure import StudyFigure
from hessdiag.study.figures._style import (
    ENCODINGS,
    INK,
    REGIME_ENCODINGS,
    WIDTH,
    label_ends,
    leave_margin,
    note,
    regime_legend,
)
from hessdiag.study.tables import LAYER_PLACES, pairs_at_end, phi_rows, present_regimes, quartiles
from hessdiag.study.wording import count_words, number


def draw_coupling(tables):
    """Draw the share left out along training, and coupling by distance and by places."""
    figure = new_figure(WIDTH, 3.2)
    leave_margin(figure)
    axes = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
    shares = phi_rows(tables.coupling)
    pairs = pairs_at_end(tables.coupling)
    axes[0].set_title("Left out, along training", loc="left")
    _draw_phi(axes[0], shares)
    axes[1].set_title("By distance, at the end", loc="left")
    _draw_distance(axes[1], pairs)
    axes[2].set_title("By place, at the end", loc="left")
    _draw_places(axes[2], pairs)
    regime_legend(figure, tables.coupling)
    n = shares["experiment"].nunique()
    n_sets = shares["dataset"].nunique()
    return StudyFigure(
        name="coupling",
        title="What the layer-wise view leaves out",
        caption=(
            f"{count_words(n, 'experiment')} on {count_words(n_sets, 'data set')}. Left: Φ, the "
            "share of the squared Frobenius norm of the Hessian that lies outside of its diagonal "
            "blocks: median over data sets (large marks), interquartile range (bars), and one "
            "small mark per experiment. Middle: coupling ‖H_lm‖_F / √(‖H_ll‖_F ‖H_mm‖_F) of two "
            "layers by their distance (1: neighbours), median over data sets with interquartile "
            "range. Right: its median by the places of both layers; the area of a disc is in "
            "proportion to the number. Φ and coupling have no unit."
        ),
        alt=(
            "Share of curvature between layers along training by regime, coupling of layers by "
            "their distance, and by their places."
        ),
        figure=figure,
    )


def _draw_phi(axis, rows):
    """Draw the share of curvature between layers at each checkpoint."""
    if not len(rows):
        note(axis, "no coupling measured")
        return
    checkpoints = rows.groupby("experiment")["step"].rank(method="dense").astype(int)
    rows = rows.assign(checkpoint=checkpoints)
    regimes = present_regimes(rows)
    labels = []
    for place, regime in enumerate(regimes):
        encoding = REGIME_ENCODINGS[regime]
        part = rows[rows["regime"] == regime]
        table = quartiles(part, "phi", by="checkpoint")
        aside = 0.26 * (place - (len(regimes) - 1) / 2)
        for checkpoint, points in part.sort_values("experiment").groupby("checkpoint"):
            order = np.arange(len(points)) - (len(points) - 1) / 2
            spread = 0.18 * order / max(1, len(points) - 1)
            style = {"color": encoding.colour, "ms": 2.5, "alpha": 0.55, "ls": "none"}
            axis.plot(checkpoint + aside + spread, points["phi"], encoding.marker, **style)
        xs = table.index.to_numpy(dtype=float) + aside
        for x, low, high in zip(xs, table[0.25], table[0.75]):
            axis.plot([x, x], [low, high], color=encoding.colour, lw=2)
        style = {
            "ls": encoding.line,
            "lw": 1.2,
            "marker": encoding.marker,
            "mec": INK,
            "mew": 0.6,
            "ms": 6,
        }
        axis.plot(xs, table[0.5], color=encoding.colour, **style)
        labels.append((table[0.5].iloc[-1], f"{regime}\nn = {part['dataset'].nunique()}", None))
    shares = rows.groupby("checkpoint")["share"].median()
    axis.set_xticks(list(shares.index), [number(100 * share, 2) for share in shares])
    axis.set_xlim(shares.index.min() - 0.5, shares.index.max() + 0.5)
    axis.set_ylim(0, min(1.0, 1.08 * max(rows["phi"].max(), 1e-3)))
    axis.set_xlabel("share of training (%)")
    axis.set_ylabel("Φ, share of squared curvature\nbetween layers")
    label_ends(axis, labels, apart=0.17)


def _draw_distance(axis, pairs):
    """Draw coupling against the distance between layers."""
    if not len(pairs):
        note(axis, "no pair of layers measured")
        return
    regimes = present_regimes(pairs)
    for place, regime in enumerate(regimes):
        encoding = REGIME_ENCODINGS[regime]
        part = pairs[pairs["regime"] == regime]
        table = quartiles(part, "coupling", by="distance")
        xs = table.index.to_numpy(dtype=float) + 0.12 * (place - (len(regimes) - 1) / 2)
        for x, low, high in zip(xs, table[0.25], table[0.75]):
            axis.plot([x, x], [low, high], color=encoding.colour, lw=2)
        style = {"ls": encoding.line, "marker": encoding.marker, "mec": INK, "mew": 0.6, "ms": 5}
        axis.plot(xs, table[0.5], color=encoding.colour, **style)
    distances = sorted(set(pairs["distance"]))
    axis.set_xticks(distances, [f"{distance:g}" for distance in distances])
    axis.set_xlim(min(distances) - 0.5, max(distances) + 0.5)
    axis.set_ylim(bottom=0)
    n = pairs["experiment"].nunique()
    axis.set_xlabel(f"distance (layers), n = {n} experiments")
    axis.set_ylabel("coupling (no unit)")


def place_medians(pairs):
    """Median coupling of layers at two places, over data sets, and the number of data sets."""
    found = {}
    for first in LAYER_PLACES[:2]:
        for second in LAYER_PLACES[1:]:
            both = pairs[(pairs["place_a"] == first) & (pairs["place_b"] == second)]
            values = both.groupby("dataset")["coupling"].median()
            if len(values):
                found[first, second] = float(values.median()), len(values)
    return found


def _draw_places(axis, pairs):
    """Draw the median coupling of each pair of places as a disc with its number."""
    found = place_medians(pairs) if len(pairs) else {}
    if not found:
        note(axis, "no pair of layers measured")
        return
    largest = max(value for value, _ in found.values()) or 1.0
    columns, rows = LAYER_PLACES[:2], LAYER_PLACES[1:]
    for (first, second), (value, n_sets) in found.items():
        x, y = columns.index(first), rows.index(second)
        size = 1500 * max(value, 0.0) / largest
        axis.scatter([x], [y], s=size, color=ENCODINGS[0].colour, alpha=0.35, lw=0)
        axis.text(x, y, f"{value:.2f}\nn = {n_sets}", ha="center", va="center")
    axis.set_xticks(range(2), columns)
    axis.set_yticks(range(2), rows)
    axis.set_xlim(-0.6, 1.6)
    axis.set_ylim(1.6, -0.6)
    axis.grid(False)
    axis.set_xlabel("place of the earlier layer")
    axis.set_ylabel("place of the later layer")
