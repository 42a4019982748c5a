"""Reports for a terminal or a log file."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, TextIO

from hessdiag.reporting._words import (
    DIAGNOSIS_ORDER,
    answer,
    case_names,
    check_reports,
    close_call,
    driving_layers,
    evidence_sentence,
    explanations,
    gain_number,
    gain_range,
    known_gains,
    log_odds,
    one_line,
    parameters,
    percent,
    summary,
    verdict,
)

if TYPE_CHECKING:
    from hessdiag.diagnosis import DiagnosisReport

#: Columns of the plain text: what a terminal, an e-mail and a code review show without wrapping.
WIDTH = 100

_LABEL = 17
_STYLES = {"underparameterized": "cyan", "well-fit": "green", "overfitting": "yellow"}


def render_text(reports: Sequence[DiagnosisReport]) -> str:
    """Render reports as plain text of at most 100 columns.

    A table of all networks comes first: diagnosis and probabilities. Then for each network what to
    try next, the layers that drive the diagnosis with their evidence in words, the evidence of the
    network as a whole, and cautions.

    Parameters
    ----------
    reports : list of DiagnosisReport
        What `FitDiagnoser.explain` returned, for one network or more.

    Returns
    -------
    text : str
        The report, with a line break at its end.

    Raises
    ------
    TypeError
        If `reports` is not a list of reports.
    ValueError
        If it is empty.

    See Also
    --------
    print_reports : Prints them, in colour where there is a terminal.
    render_html : Renders them as a page.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from hessdiag.reporting import render_text
    >>> report = SimpleNamespace(
    ...     name="small net",
    ...     diagnosis="underparameterized",
    ...     probabilities={"underparameterized": 0.9, "well-fit": 0.1, "overfitting": 0.0},
    ...     layers=(),
    ...     evidence=(),
    ...     recommendation=SimpleNamespace(action="widen", layers=(), text="Widen the net."),
    ...     notes=(),
    ... )
    >>> print(render_text([report]).splitlines()[0])
    1 network: 1 underparameterized
    """
    reports = check_reports(reports)
    names = case_names(reports)
    lines = [summary(reports), "", *_table(reports, names)]
    for report, name in zip(reports, names):
        lines += ["", *_details(report, name)]
    if explained := explanations(reports):
        lines += ["", *textwrap.wrap(" ".join(explained), WIDTH)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def print_reports(reports: Sequence[DiagnosisReport], file: TextIO | None = None) -> None:
    """Print reports, in colour where there is a terminal and `rich` is installed.

    Parameters
    ----------
    reports : list of DiagnosisReport
        What `FitDiagnoser.explain` returned, for one network or more.
    file : text file, default=None
        Where to print; standard output where None. What is not a terminal gets plain text.

    Raises
    ------
    TypeError
        If `reports` is not a list of reports.
    ValueError
        If it is empty.

    See Also
    --------
    render_text : Returns the plain text.

    Examples
    --------
    >>> from hessdiag.reporting import print_reports
    >>> print_reports([])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: Expected at least one DiagnosisReport, found an empty list. ...
    """
    text = render_text(reports)
    file = sys.stdout if file is None else file
    if find_spec("rich") is not None:
        from rich.console import Console

        console = Console(file=file, highlight=False)
        if console.is_terminal and console.width >= 60:
            _print_rich(console, list(reports))
            return
    encoding = getattr(file, "encoding", None) or "utf-8"
    file.write(text.encode(encoding, errors="replace").decode(encoding))


def _table(reports, names):
    """Lay out a line per network: name, diagnosis, probabilities."""
    headings = [
        *DIAGNOSIS_ORDER,
        *sorted({name for r in reports for name in r.probabilities} - set(DIAGNOSIS_ORDER)),
    ]
    rows = [["Network", "Diagnosis", *headings]]
    for report, name in zip(reports, names):
        shares = [report.probabilities.get(heading) for heading in headings]
        rows.append(
            [name, answer(report), *("" if p is None else percent(float(p)) for p in shares)]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    widths[0] = max(8, min(widths[0], WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1)))
    lines = []
    for row in rows:
        row = [_shorten(row[0], widths[0]), *row[1:]]
        cells = [cell.ljust(widths[i]) for i, cell in enumerate(row[:2])]
        cells += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:])]
        lines.append("  ".join(cells))
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def _details(report, name):
    """Lay out what one network's report says besides its line in the table."""
    finding = verdict(report)
    heading = f"{_shorten(name, WIDTH - len(finding) - 2)}: {finding}"
    lines = [heading, "=" * len(heading)]
    for label, paragraphs in _paragraphs(report):
        for index, (indent, paragraph) in enumerate(paragraphs):
            lines += textwrap.wrap(
                paragraph,
                WIDTH,
                initial_indent=("" if index else label).ljust(_LABEL) + indent,
                subsequent_indent=" " * (_LABEL + len(indent)),
                break_on_hyphens=False,
            )
    return lines


def _paragraphs(report):
    """List label and paragraphs (indent, text) of a network's report, the advice first."""
    yield "What to try next", [("", one_line(report.recommendation.text))]
    if gains := known_gains(report):
        said = [f"{word} {gain_number(gain.value)} ({gain_range(gain)})" for word, gain in gains]
        yield "Expected gains", [("", f"{', '.join(said)} of the loss of a constant guess")]
    if report.layers:
        yield "Driving layers", list(_driving(report))
    if report.evidence:
        yield "Whole network", [("- ", _weighed(item)) for item in report.evidence]
    notes = [note for note in (close_call(report), *map(one_line, report.notes)) if note]
    if notes:
        yield "Take care", [("- ", note) for note in notes]


def _driving(report):
    """List the layers that speak for the diagnosis, each followed by its evidence."""
    layers = driving_layers(report)
    if not layers:
        yield "", "none stands out: no single layer's measures carry the diagnosis"
    for layer in layers:
        what = ", ".join(part for part in (layer.kind, parameters(layer.n_params)) if part)
        yield "", f"{one_line(layer.name)} ({what}): weight {log_odds(layer.weight)}"
        for item in layer.evidence:
            yield "  - ", _weighed(item)


def _weighed(evidence):
    """Say a piece of evidence with its weight."""
    return f"{evidence_sentence(evidence)} ({log_odds(evidence.weight)})"


def _shorten(text, width):
    """Cut the end of a text that is too long."""
    return text if len(text) <= width else text[: width - 3] + "..."


def _print_rich(console, reports):
    """Print with colours, in the width of the terminal."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    names = case_names(reports)
    table = Table(title=summary(reports), title_justify="left", title_style="bold")
    table.add_column("Network", overflow="fold")
    table.add_column("Diagnosis", no_wrap=True)
    shown = [name for name in DIAGNOSIS_ORDER if any(name in r.probabilities for r in reports)]
    for name in shown:
        table.add_column(name, justify="right")
    for report, name in zip(reports, names):
        style = _STYLES.get(answer(report), "magenta")
        shares = [percent(float(report.probabilities.get(key, float("nan")))) for key in shown]
        table.add_row(Text(name), Text(answer(report), style=f"bold {style}"), *shares)
    console.print(table)
    for report, name in zip(reports, names):
        style = _STYLES.get(answer(report), "magenta")
        console.print()
        console.print(Text.assemble((name, "bold"), ": ", (verdict(report), f"bold {style}")))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column()
        for label, paragraphs in _paragraphs(report):
            for index, (indent, paragraph) in enumerate(paragraphs):
                cell = Text(("• " if indent.endswith("- ") else "") + paragraph)
                depth = len(indent) - len(indent.lstrip())
                grid.add_row("" if index else label, Padding(cell, (0, 0, 0, depth)))
        console.print(grid)
    if explained := explanations(reports):
        console.print()
        console.print(Text(" ".join(explained), style="dim"))
