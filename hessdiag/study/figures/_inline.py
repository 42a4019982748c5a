"""Figures as elements of a page, in the page's colours and fonts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hessdiag.optional import import_optional
from hessdiag.reporting import inline_figure
from hessdiag.study.figures._style import GRID, PAPER, QUIET, house_style

if TYPE_CHECKING:
    from markupsafe import Markup

    from hessdiag.study.figures._study_figure import StudyFigure

_ROLES = {"grid": GRID, "paper": PAPER, "quiet": QUIET}


def inline_svg(figure: StudyFigure, colours: Mapping[str, str]) -> Markup:
    """Turn a figure into an element of a page.

    Parameters
    ----------
    figure : StudyFigure
        The figure; it stays as it was.
    colours : dict of str to str
        What the page calls the colours of ``"grid"``, ``"paper"`` and ``"quiet"``, as in CSS.

    Returns
    -------
    svg : markupsafe.Markup
        The element, without a background.

    Raises
    ------
    ImportError
        If matplotlib or markupsafe is not installed.
    """
    markupsafe = import_optional("markupsafe", extra="reports", purpose="The study's page")
    drawing: Any = figure.figure
    patches = [drawing.patch, *(part.patch for part in [*drawing.axes, *drawing.subfigs])]
    visible = [patch.get_visible() for patch in patches]
    try:
        for patch in patches:
            patch.set_visible(False)
        with house_style():
            svg = str(inline_figure(drawing, f"{figure.name}-", figure.alt))
    finally:
        for patch, was_visible in zip(patches, visible):
            patch.set_visible(was_visible)
    own = {_ROLES[role]: colour for role, colour in colours.items()}
    return markupsafe.Markup(re.sub("|".join(own), lambda found: own[found.group()], svg))
