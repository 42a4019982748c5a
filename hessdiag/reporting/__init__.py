"""Reports: what a diagnoser found, for people.

`render_text`, `print_reports`
    A table and a paragraph per network, for a terminal or a log file.
`render_html`, `write_html`
    One self-contained page: the finding first, then the evidence layer by layer, the spectra, and
    what was examined and how.
`write_figures`
    An image of the layer spectra for each network.

All take a list of `hessdiag.diagnosis.DiagnosisReport`, and compute nothing themselves. Reports are
upstream of this package, which says how they show themselves when it is imported.
"""

from hessdiag.diagnosis import set_renderers
from hessdiag.reporting._figures import (
    write_figures,
)
from hessdiag.reporting._html import (
    render_html,
    write_html,
)
from hessdiag.reporting._svg import inline_figure
from hessdiag.reporting._text import (
    print_reports,
    render_text,
)

__all__ = [
    "inline_figure",
    "print_reports",
    "render_html",
    "render_text",
    "write_figures",
    "write_html",
]

set_renderers(
    text=lambda report: render_text([report]),
    html=lambda report: render_html([report], fragment=True),
)
