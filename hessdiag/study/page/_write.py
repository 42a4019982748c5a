"""The study as one self-contained page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hessdiag.optional import import_optional
from hessdiag.resumable import write_atomically
from hessdiag.study.figures import inline_svg
from hessdiag.study.page._columns import table_views
from hessdiag.study.page._findings import find
from hessdiag.study.page._tables import (
    claim_rows,
    correlation_tables,
    experiment_rows,
    regularity_rows,
)
from hessdiag.study.tables import finite, times
from hessdiag.study.wording import count_words
from hessdiag.version import __version__

if TYPE_CHECKING:
    from hessdiag.study.figures import StudyFigure
    from hessdiag.study.tables import StudyTables

# What the page colours by itself; the colours of the data are the same everywhere.
_COLOURS = {"grid": "var(--hd-line)", "paper": "var(--hd-card)", "quiet": "var(--hd-quiet)"}


def write_page(
    tables: StudyTables, figures: Sequence[StudyFigure], path: str | os.PathLike[str]
) -> Path:
    """Write the study as one page that needs nothing but itself.

    Findings come first, each with its figure; then claims, regularities and correlations as
    tables, the method, what the tables hold, and how to repeat everything. The page holds its
    styles and graphics, no script, and no reference to another resource.

    Parameters
    ----------
    tables : StudyTables
        What the study found out.
    figures : list of StudyFigure
        What `draw_figures` returned.
    path : path-like
        File to write; its folder is made where it does not exist.

    Returns
    -------
    path : pathlib.Path
        The file; the same tables and figures give the same bytes.

    Raises
    ------
    ImportError
        If jinja2 or matplotlib is not installed.
    """
    findings = find(tables)
    html = (
        _environment()
        .get_template("study.html.j2")
        .render(
            about=tables.about,
            summary=_keep_together(_summary(tables, findings)),
            findings=[
                {
                    "name": figure.name,
                    "title": figure.title,
                    "sentences": [_keep_together(s) for s in findings.get(figure.name, [])],
                    "caption": _keep_together(figure.caption),
                    "svg": inline_svg(figure, _COLOURS),
                }
                for figure in figures
            ],
            claims=claim_rows(tables.claims),
            regularities=regularity_rows(tables.regularities),
            correlations=correlation_tables(tables.correlations),
            experiments=experiment_rows(tables.experiments),
            tables=table_views(tables),
            duration=_duration(tables.about.get("seconds")),
            setting_words=lambda name: str(name).replace("_", " ").capitalize(),
            version=__version__,
        )
    )
    path = Path(path)
    write_atomically(path, html.encode())
    return path


def _keep_together(text):
    """Keep numbers and their signs on one line."""
    return text.replace(" %", "\u00a0%").replace("ρ = ", "ρ\u00a0=\u00a0")


def _summary(tables, findings):
    """Sum the study up in a paragraph."""
    about = tables.about
    experiments = tables.experiments
    sentences = [
        f"{count_words(len(experiments), 'network')} on "
        f"{count_words(experiments['dataset'].nunique(), 'data set')}, each trained with too "
        "little, enough and too much capacity, were examined at "
        f"{count_words(int(about.get('n_checkpoints', 0)), 'checkpoint')} along their training: "
        "the spectrum of every layer's Hessian, and what follows from it."
    ]
    verdicts = finite(tables.regularities, "share")["verdict"].value_counts()
    if len(verdicts):
        sentences.append(
            f"Of {count_words(int(verdicts.sum()), 'statement')} about them that were made before "
            f"looking, {verdicts.get('holds', 0)} hold on most data sets, "
            f"{verdicts.get('fails', 0)} fail, and {verdicts.get('open', 0)} stay open."
        )
    if times(tables.correlations):
        sentences.append(findings["correlations"][0])
    claims = tables.claims["verdict"].value_counts() if len(tables.claims) else {}
    if len(claims):
        sentences.append(
            f"Of {count_words(int(claims.sum()), 'claim')} of the paper that this study follows, "
            f"the data support {claims.get('supported', 0)}, do not support "
            f"{claims.get('not supported', 0)}, and leave {claims.get('open', 0)} open."
        )
    return " ".join(sentences)


def _duration(seconds):
    """Say how long it took."""
    if seconds is None:
        return "not known"
    minutes, rest = divmod(round(float(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@lru_cache(maxsize=1)
def _environment():
    """Set up the templates of the study and of the reports; everything put in is escaped."""
    jinja2 = import_optional("jinja2", extra="reports", purpose="The study's page")
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader("hessdiag.study.page", "templates"),
                jinja2.PackageLoader("hessdiag.reporting", "templates"),
            ]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
