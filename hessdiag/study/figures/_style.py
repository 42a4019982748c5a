"""How the study's figures look: told apart by line, marker and label as well as by colour.

Colours are those of Okabe and Ito (2008), and regimes have those of the diagnosis they stand for.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from hessdiag.plotting import DIAGNOSIS_COLOURS, import_matplotlib, power_of_ten
from hessdiag.study.tables import present_regimes

INK = "#000000"
QUIET = "#525c6b"
GRID = "#d9dee5"
PAPER = "#ffffff"

#: Inches: the width of the page's column, at about 160 %.
WIDTH = 8.6

# Where step 0 stands on an axis of log-steps: as far from step 1 as step 2 is.
_ZERO_AT = 0.5

_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hessdiag",
    "text.hinting": "none",
    "hatch.linewidth": 0.8,
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
}


@dataclass(frozen=True)
class Encoding:
    """How something is drawn: in three ways at once."""

    colour: str
    line: object
    marker: str


REGIME_ENCODINGS = {
    "starved": Encoding(DIAGNOSIS_COLOURS["underparameterized"], (0, (1, 1.2)), "v"),
    "sound": Encoding(DIAGNOSIS_COLOURS["well-fit"], "-", "o"),
    "lavish": Encoding(DIAGNOSIS_COLOURS["overfitting"], (0, (5, 1.5)), "^"),
}

#: For lines that are no regimes.
ENCODINGS = (
    Encoding("#0072b2", "-", "o"),
    Encoding("#d55e00", (0, (5, 1.5)), "s"),
    Encoding("#009e73", (0, (1, 1.2)), "^"),
    Encoding("#cc79a7", (0, (4, 1, 1, 1)), "D"),
    Encoding("#e69f00", (0, (2.5, 1)), "v"),
    Encoding("#56b4e9", (0, (4, 1, 1, 1, 1, 1)), "P"),
    Encoding(QUIET, (0, (7, 2)), "X"),
    Encoding(INK, (0, (1, 2.5)), "*"),
)


@contextmanager
def house_style():
    """Draw in the study's style, whatever the user's own settings are."""
    matplotlib = import_matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def leave_margin(figure):
    """Leave room at the sides for texts that a browser's font makes wider."""
    figure.get_layout_engine().set(rect=(0.01, 0, 0.97, 1))


def note(axis, text):
    """Say in a panel why it is empty."""
    axis.text(
        *(0.5, 0.5, text),
        transform=axis.transAxes,
        ha="center",
        va="center",
        color=QUIET,
        wrap=True,
    )
    axis.set_axis_off()


def step_positions(steps):
    """Places of steps on a logarithmic axis; step 0 stands left of step 1."""
    return np.maximum(np.asarray(steps, dtype=float), _ZERO_AT)


def step_axis(axis, largest, label="optimizer step (log scale)"):
    """Make the horizontal axis one of log-steps that has a place for step 0."""
    largest = max(float(largest), 1.0)
    axis.set_xscale("log")
    axis.set_xlim(_ZERO_AT * 0.85, largest * 1.15)
    decades = range(int(np.log10(largest)) + 1)
    places = [_ZERO_AT, *(10.0**decade for decade in decades)]
    axis.set_xticks(places, ["0", *(power_of_ten(decade) for decade in decades)])
    axis.minorticks_off()
    if label:
        axis.set_xlabel(label)


def log_scale(axis, which="y"):
    """Make an axis logarithmic, with ticks that need no mathematical font."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    direction = getattr(axis, f"{which}axis")
    getattr(axis, f"set_{which}scale")("log")
    low, high = getattr(axis, f"get_{which}lim")()
    narrow = np.log10(high / low) < 2
    subs = (1.0, 2.0, 3.0, 5.0) if np.log10(high / low) < 1 else (1.0, 2.0, 5.0)
    subs = subs if narrow else (1.0,)
    direction.set_major_locator(LogLocator(subs=subs, numticks=6))
    direction.set_minor_locator(NullLocator())
    direction.set_major_formatter(FuncFormatter(_log_tick))


def _log_tick(value, _):
    """Write a tick of a logarithmic axis."""
    if 0.001 <= value < 10_000:
        return f"{value:g}"
    exponent = int(np.floor(np.log10(value) + 1e-9))
    mantissa = value / 10.0**exponent
    power = power_of_ten(exponent)
    return power if np.isclose(mantissa, 1) else f"{mantissa:.0f}×{power}"


def draw_band(axis, positions, table, encoding):
    """Draw the median as a line and the quartiles as a band with edges."""
    axis.fill_between(positions, table[0.25], table[0.75], color=encoding.colour, alpha=0.18, lw=0)
    for quartile in (0.25, 0.75):
        axis.plot(positions, table[quartile], color=encoding.colour, lw=0.5, ls=encoding.line)
    axis.plot(positions, table[0.5], color=encoding.colour, ls=encoding.line)


def mark_ends(axis, positions, values, encoding):
    """Mark the last point of a line."""
    axis.plot(
        [positions[-1]],
        [values[-1]],
        encoding.marker,
        color=encoding.colour,
        mec=INK,
        mew=0.6,
        ms=5,
        clip_on=False,
        zorder=4,
    )


def label_ends(axis, labels, x=1.02, apart=0.09):
    """Write the names of lines at their right ends, moved apart where they would touch.

    `labels` are triples of height in data units, text, and the encoding to show beside it, or None.
    Call after the limits are final.
    """
    scale = axis.transScale + axis.transLimits
    edge = axis.get_xlim()[1]
    heights = [float(scale.transform((edge, height))[1]) for height, _, _ in labels]
    across = {"transform": axis.transAxes, "clip_on": False}
    for height, (_, text, encoding) in zip(_moved_apart(heights, apart), labels):
        if encoding is not None:
            style = {
                "color": encoding.colour,
                "ls": encoding.line,
                "lw": 1.2,
                "marker": encoding.marker,
            }
            places = [x, x + 0.035, x + 0.07]
            axis.plot(places, [height] * 3, markevery=[1], mec=INK, mew=0.5, **style, **across)
        start = x if encoding is None else x + 0.09
        axis.text(start, height, text, transform=axis.transAxes, va="center", ha="left")


def _moved_apart(heights, apart):
    """Move heights (shares of an axis) so that they are apart and within the axis, order kept."""
    order = np.argsort(heights, kind="stable")
    steps = np.arange(len(heights)) * apart
    placed = np.sort(np.asarray(heights, dtype=float))
    for _ in range(100):
        gaps = np.diff(placed)
        close = np.flatnonzero(gaps < apart - 1e-6)
        for index in close:
            push = max(0.0, apart - (placed[index + 1] - placed[index])) / 2
            placed[index] -= push
            placed[index + 1] += push
        if not len(close):
            break
    placed = np.minimum(placed, 1.0 - steps[::-1])
    placed = np.maximum(placed, np.minimum(0.0, 1.0 - steps[-1:]) + steps)
    found = np.empty(len(heights))
    found[order] = placed
    return found


def regime_handles(frame):
    """Make the legend's entries of the regimes that a table has."""
    from matplotlib.lines import Line2D

    handles = []
    for regime in present_regimes(frame):
        encoding = REGIME_ENCODINGS[regime]
        style = {"color": encoding.colour, "ls": encoding.line, "marker": encoding.marker}
        handles.append(Line2D([], [], label=regime, mec=INK, mew=0.6, **style))
    return handles


def regime_legend(figure, frame):
    """Name the regimes above the panels."""
    handles = regime_handles(frame)
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
