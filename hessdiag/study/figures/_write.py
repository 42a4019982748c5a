"""All figures of the study, and their files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hessdiag.plotting import figure_bytes
from hessdiag.resumable import write_atomically
from hessdiag.study.figures._correlations import draw_correlations
from hessdiag.study.figures._coupling import draw_coupling
from hessdiag.study.figures._early import draw_early
from hessdiag.study.figures._evolution import draw_evolution
from hessdiag.study.figures._expressivity import draw_expressivity
from hessdiag.study.figures._regimes import draw_regimes
from hessdiag.study.figures._regularities import draw_regularities
from hessdiag.study.figures._style import house_style

if TYPE_CHECKING:
    from hessdiag.study.figures._study_figure import StudyFigure
    from hessdiag.study.tables import StudyTables

_DRAWINGS = (
    draw_regimes,
    draw_evolution,
    draw_regularities,
    draw_correlations,
    draw_early,
    draw_expressivity,
    draw_coupling,
)

# Dots per inch of the images: sharp in a text column, 100 kB or so.
_RESOLUTION = 150


def draw_figures(tables: StudyTables) -> list[StudyFigure]:
    """Draw all figures of a study.

    Parameters
    ----------
    tables : StudyTables
        What the study found out.

    Returns
    -------
    figures : list of StudyFigure
        In the order of the page. What a table lacks is said in the panel that would show it.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    with house_style():
        figures = [draw(tables) for draw in _DRAWINGS]
        for figure in figures:
            _lay_out(figure.figure)
    return figures


def _lay_out(figure):
    """Lay a figure out once and for all, so that every format and every run has the same places."""
    figure.set_dpi(_RESOLUTION)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in figure.axes:
        # The layout's solver is exact to rounding only, and names in a graphic hang on each bit.
        axis.set_position([round(float(part), 6) for part in axis.get_position().bounds])


def write_figures(figures: Sequence[StudyFigure], folder: str | os.PathLike[str]) -> list[Path]:
    """Write each figure as an image and as a vector graphic.

    Parameters
    ----------
    figures : list of StudyFigure
        What `draw_figures` returned.
    folder : path-like
        Where to write; made where it does not exist.

    Returns
    -------
    paths : list of pathlib.Path
        ``<name>.png`` and ``<name>.svg`` of each figure; the same figures give the same bytes.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with house_style():
        for figure in figures:
            image = figure_bytes(figure.figure, dpi=_RESOLUTION)
            graphic = figure_bytes(figure.figure, format="svg", metadata={"Date": None})
            for suffix, content in ((".png", image), (".svg", graphic)):
                paths.append(folder / f"{figure.name}{suffix}")
                write_atomically(paths[-1], content)
    return paths
