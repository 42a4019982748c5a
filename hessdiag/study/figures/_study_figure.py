"""StudyFigure: a drawing with all that is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class StudyFigure:
    """A drawing with all that is said of it.

    Parameters
    ----------
    name : str
        Short name, which is the stem of its files too.
    title : str
        What is shown, as a heading.
    caption : str
        How to read it: units, sample sizes, and what the intervals are.
    alt : str
        What it shows, for those who do not see it.
    figure : matplotlib.figure.Figure
        The drawing.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure
