"""Reports as a self-contained page."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hessdiag.optional import import_optional
from hessdiag.reporting._view import network_view
from hessdiag.reporting._words import (
    case_names,
    check_reports,
    explanations,
    summary,
)
from hessdiag.resumable import write_atomically
from hessdiag.version import __version__

if TYPE_CHECKING:
    from hessdiag.diagnosis import DiagnosisReport

DEFAULT_TITLE = "Network diagnosis"


def render_html(
    reports: Sequence[DiagnosisReport], title: str = DEFAULT_TITLE, fragment: bool = False
) -> str:
    """Render reports as one page that needs nothing but itself.

    The finding comes first: diagnosis, probability and what to try next, with cautions. Then the
    evidence of the whole network and of its layers, the layers' spectra, and what was examined
    and how. With several networks a table at the top links to each. The page holds its styles and
    graphics, no script, and no reference to another resource.

    Parameters
    ----------
    reports : list of DiagnosisReport
        What `FitDiagnoser.explain` returned, for one network or more.
    title : str, default="Network diagnosis"
        Heading of the page.
    fragment : bool, default=False
        Whether to return a ``<div>`` for use within another page, such as a notebook, rather than
        a whole document.

    Returns
    -------
    html : str
        The page, or the ``<div>``.

    Raises
    ------
    ImportError
        If jinja2 or matplotlib is not installed.
    TypeError
        If `reports` is not a list of reports.
    ValueError
        If it is empty.

    See Also
    --------
    write_html : Writes the page to a file.
    render_text : Renders plain text.

    Examples
    --------
    >>> from hessdiag.reporting import render_html
    >>> render_html([])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: Expected at least one DiagnosisReport, found an empty list. ...
    """
    reports = check_reports(reports)
    names = case_names(reports)
    marker = _marker(reports, names)
    networks = [
        network_view(report, name, f"{marker}{place}")
        for place, (report, name) in enumerate(zip(reports, names), start=1)
    ]
    template = _environment().get_template("fragment.html.j2" if fragment else "page.html.j2")
    return template.render(
        title=title,
        summary=summary(reports),
        networks=networks,
        explanations=explanations(reports),
        version=__version__,
        whole_page=not fragment,
        marker=marker,
    )


def write_html(
    reports: Sequence[DiagnosisReport], path: str | os.PathLike[str], title: str = DEFAULT_TITLE
) -> Path:
    """Write reports as one page that needs nothing but itself.

    Parameters
    ----------
    reports : list of DiagnosisReport
        What `FitDiagnoser.explain` returned, for one network or more.
    path : path-like
        File to write; its folder is made where it does not exist.
    title : str, default="Network diagnosis"
        Heading of the page.

    Returns
    -------
    path : pathlib.Path
        The file.

    Raises
    ------
    ImportError
        If jinja2 or matplotlib is not installed.
    TypeError
        If `reports` is not a list of reports.
    ValueError
        If it is empty.

    See Also
    --------
    render_html : Returns the page.
    write_figures : Writes the spectra as images.

    Examples
    --------
    >>> from hessdiag.reporting import write_html
    >>> write_html([], "report.html")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: Expected at least one DiagnosisReport, found an empty list. ...
    """
    html = render_html(reports, title=title)
    path = Path(path)
    write_atomically(path, html.encode())
    return path


@lru_cache(maxsize=1)
def _environment():
    """Set up the templates of this package; everything put into them is escaped."""
    jinja2 = import_optional("jinja2", extra="reports", purpose="The HTML report")
    return jinja2.Environment(
        loader=jinja2.PackageLoader("hessdiag.reporting", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _marker(reports, names):
    """Start of all ids: equal reports give equal pages, different ones can share a notebook."""
    content = repr([(n, sorted(r.probabilities.items())) for r, n in zip(reports, names)])
    return "h" + hashlib.blake2b(content.encode(), digest_size=4).hexdigest() + "-"
