"""How reports show themselves: by functions that come from downstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_RENDERERS: dict[str, Callable[..., Any]] = {}


def set_renderers(text: Callable[..., Any], html: Callable[..., Any]) -> None:
    """Say how a `DiagnosisReport` shows itself.

    Reports are data and know no page; what writes them for people comes later in the flow and says
    here how. `hessdiag.reporting` does so when it is imported, which ``import hessdiag`` sees to.

    Parameters
    ----------
    text, html : callable
        Called with a report; return it as plain text, and as HTML for a notebook.
    """
    _RENDERERS.update(text=text, html=html)


def rendered(report, form):
    """Render a report, or return None where nothing was said of how to.

    Parameters
    ----------
    report : DiagnosisReport
        The report.
    form : {"text", "html"}
        The form.

    Returns
    -------
    rendered : str or None
        The report in this form.
    """
    return _RENDERERS[form](report) if form in _RENDERERS else None
