"""Figures as part of a page: vector graphics that take on the page's colours and fonts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hessdiag.optional import import_optional
from hessdiag.plotting import (
    NEGATIVE,
    POSITIVE,
    LayerSpectraDisplay,
    figure_bytes,
    import_matplotlib,
    new_figure,
)

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

# Inches. One panel, drawn at about 130 % of this on the page.
_SIZE = (3.3, 2.35)

# What the drawing library writes, and the page's variable for it. Black is text and axes.
_COLOURS = {
    POSITIVE: "var(--hd-positive)",
    NEGATIVE: "var(--hd-negative)",
    "#000000": "var(--hd-ink)",
}


def layer_panels(examination, names, prefix):
    """Draw the named layers' spectra, a vector graphic each.

    Parameters
    ----------
    examination : Examination
        Where the spectra are.
    names : sequence of str
        Layers to draw, in forward order.
    prefix : str
        Start of all ids within the graphics, which makes them unique on a page.

    Returns
    -------
    panels : list of (str, str, Markup)
        Name, size and null space in words, and graphic of each layer.
    """
    matplotlib = import_matplotlib()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "hessdiag", "hatch.linewidth": 0.8}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        figures = [new_figure(*_SIZE) for _ in names]
        display = LayerSpectraDisplay.from_spectra(
            examination,
            ax=[figure.add_subplot() for figure in figures],
            layers=names,
            show_titles=False,
        )
        panels = []
        for place, (name, figure, axis) in enumerate(zip(names, figures, display.axes_)):
            figure.patch.set_visible(False)
            axis.patch.set_visible(False)
            svg = inline_figure(figure, f"{prefix}-{place}-", display.describe(name))
            panels.append((name, display.describe(name, brief=True), svg))
    return panels


def inline_figure(figure: Figure, prefix: str, label: str) -> Markup:
    """Turn a figure into an element of a page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to show.
    prefix : str
        Start of the ids within it, so that figures of one page share none.
    label : str
        Words for those who do not see it.

    Returns
    -------
    markupsafe.Markup
        An ``svg`` element.
    """
    metadata = dict.fromkeys(["Date", "Creator", "Format", "Type"])
    text = figure_bytes(figure, format="svg", metadata=metadata).decode("utf-8")
    body = text[text.index("<svg") :]
    view_box = body.partition('viewBox="')[2].partition('"')[0]
    body = body[body.index(">") + 1 : body.rindex("</svg>")]
    # Its own styles would apply to the whole page; nothing refers to the groups.
    needless = r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>"
    body = re.sub(needless, "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r'\bid="([^"]*)"', rf'id="{prefix}\1"', body)
    body = re.sub(r'(?:xlink:)?href="#([^"]*)"', rf'href="#{prefix}\1"', body)
    body = body.replace("url(#", f"url(#{prefix}")
    body = re.sub(r" font-family: [^;\"]*;?", "", body)
    body = re.sub("|".join(_COLOURS), lambda found: _COLOURS[found.group()], body)
    body = re.sub(r"\n\s*", "\n", body)
    Markup = import_optional("markupsafe", extra="reports", purpose="A page").Markup
    start = Markup('<svg viewBox="{}" role="img" aria-label="{}">').format(view_box, label)
    return start + Markup(body) + Markup("</svg>")
