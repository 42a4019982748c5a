"""The one place where matplotlib is imported: late, and with a word on what to do without it."""

from __future__ import annotations

import io
import warnings
from base64 import b64encode
from html import escape
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hessdiag.optional import import_optional

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def import_matplotlib() -> ModuleType:
    """Import matplotlib, or say how to get it.

    Returns
    -------
    module
        ``matplotlib``, with its ``figure``.

    Raises
    ------
    ImportError
        If it is not installed; the error says how to install it.
    """
    import_optional("matplotlib.figure", extra="plots", purpose="Drawing")
    return import_optional("matplotlib", extra="plots", purpose="Drawing")


def new_figure(width: float, height: float) -> Figure:
    """Make a figure (inches) that pyplot does not know of, so that nothing has to be closed.

    Parameters
    ----------
    width, height : float
        Size in inches.

    Returns
    -------
    matplotlib.figure.Figure
        An empty figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    matplotlib = import_matplotlib()
    return matplotlib.figure.Figure(figsize=(width, height), layout="constrained")


def figure_bytes(figure: Figure, format: str = "png", **options: Any) -> bytes:
    """Render a figure; characters that the font lacks become boxes without a warning for each.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to render.
    format : str, default="png"
        Format of the file.
    **options : object
        What else its ``savefig`` takes.

    Returns
    -------
    bytes
        The file's content.
    """
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        figure.savefig(stream, format=format, **options)
    return stream.getvalue()


def figure_html(figure, alt):
    """Show a figure in a notebook, with a text for those who do not see it."""
    data = b64encode(figure_bytes(figure, dpi=110)).decode("ascii")
    return f'<img style="max-width:100%" alt="{escape(alt)}" src="data:image/png;base64,{data}">'


def power_of_ten(exponent: int) -> str:
    """Write a power of ten for a tick, as plain text: no font is asked for mathematics.

    Parameters
    ----------
    exponent : int
        The exponent.

    Returns
    -------
    str
        "1", "10", or "10" with a superscript.
    """
    return {0: "1", 1: "10"}.get(exponent, "10" + str(exponent).translate(_SUPERSCRIPTS))


def shorten(text, width):
    """Cut the middle out of a long name: both ends tell layers apart, `block.11.conv` and so on."""
    text = " ".join(str(text).split())
    if len(text) <= width:
        return text
    head = (width - 1) // 3
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def short_names(names, width):
    """Cut long names, and number those that would look alike.

    Parameters
    ----------
    names : sequence of str
        Names of all layers.
    width : int
        Largest length of a short name.

    Returns
    -------
    short : list of str
        As many names, all different where the names are.
    """
    short = [shorten(name, width) for name in names]
    return [
        f"{place}: {shorten(name, width - 2 - len(str(place)))}"
        if short.count(shortened) > 1
        else shortened
        for place, (name, shortened) in enumerate(zip(names, short), start=1)
    ]
