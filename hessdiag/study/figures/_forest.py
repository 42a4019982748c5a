"""Forests of rank correlations: measures above, their rivals below and set apart."""

from __future__ import annotations

from hessdiag.study.figures._style import GRID, INK, PAPER, Encoding
from hessdiag.study.tables import SIGNIFICANT

MEASURE = Encoding("#0072b2", "-", "o")
RIVAL = Encoding("#d55e00", "-", "s")

RIVAL_WORDS = "RIVALS, of the whole network"


def forest_heights(n_measures, n_rivals):
    """Places of the rows from top to bottom, with a gap before the rivals."""
    heights = [float(-place) for place in range(n_measures)]
    start = -n_measures - 1.4
    return heights + [start - place for place in range(n_rivals)]


def draw_estimate(axis, height, row, encoding):
    """Draw a correlation with its interval; hollow where it may be chance."""
    axis.plot([row.low, row.high], [height, height], color=encoding.colour, lw=2)
    filled = row.p_adjusted < SIGNIFICANT
    face, edge = (encoding.colour, INK) if filled else (PAPER, encoding.colour)
    style = {"mfc": face, "mec": edge, "mew": 0.6 if filled else 1.2, "ms": 6}
    axis.plot([row.rho], [height], encoding.marker, zorder=3, **style)


def set_rivals_apart(axes, heights, n_measures):
    """Shade the rivals; return the height of their heading."""
    heading = heights[n_measures] + 0.9
    for axis in axes:
        low, high = min(heights) - 0.7, heading + 0.45
        axis.axhspan(low, high, color=GRID, alpha=0.45, lw=0, zorder=0)
    return heading


def correlation_axis(axis, heights):
    """Make the horizontal axis one of correlations, with a line at none."""
    axis.axvline(0.0, color=INK, lw=0.9)
    axis.set_xlim(-1.02, 1.02)
    axis.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "−0.5", "0", "0.5", "1"])
    axis.set_ylim(min(heights) - 0.7, max(heights) + 0.8)
    axis.tick_params(axis="y", length=0)


def size_words(rows):
    """Say how many experiments and data sets stand behind correlations."""
    n = _range([row.n_experiments for row in rows])
    return f"n = {n} experiments, {_range([row.n_data_sets for row in rows])} data sets"


def _range(values):
    """Write one number, or the lowest and highest."""
    low, high = int(min(values)), int(max(values))
    return f"{low}" if low == high else f"{low} to {high}"
