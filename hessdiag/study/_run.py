"""The study as one command: pilot, experiments, students, tables, figures, page."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hessdiag.optional import import_optional
from hessdiag.resumable import clear_partial_files, write_atomically
from hessdiag.study._claims import weigh_claims
from hessdiag.study._correlations import correlate
from hessdiag.study._design import DATA_SETS, StudyDesign
from hessdiag.study._expressivity import express
from hessdiag.study._gather import (
    coupling_table,
    evolution_table,
    experiments_table,
    students_table,
)
from hessdiag.study._regularities import tally_statements
from hessdiag.study._stages import run_experiments, run_pilot, run_students
from hessdiag.study.tables import StudyTables
from hessdiag.zoo import load_dataset


def run_study(
    folder: str | os.PathLike[str],
    design: StudyDesign | None = None,
    provenance: dict[str, Any] | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
    compress: bool = False,
) -> StudyTables:
    """Run the study, or what of it is not on disk yet, and write tables, figures and a page.

    Parameters
    ----------
    folder : str or path-like
        Where everything goes. What is finished is kept in its folder ``parts``: a study may be
        stopped at any moment and started again.
    design : StudyDesign or None, default=None
        What to run; None takes the full design: 37 data sets in 3 regimes.
    provenance : dict or None, default=None
        ``command``, ``commit`` and ``versions``, for the page.
    n_jobs : int or None, default=None
        Worker processes, as in joblib. The results do not depend on it.
    progress : bool, default=True
        Whether to show progress bars with the time left.
    compress : bool, default=False
        Whether to write the tables as ``.csv.gz``.

    Returns
    -------
    tables : StudyTables
        What was found.

    Raises
    ------
    ValueError
        If a data set is not known, or the folder holds a study of another design.
    ImportError
        If a package for data, figures or the page is missing; told before anything is run.
    """
    from hessdiag.study.figures import draw_figures, write_figures
    from hessdiag.study.page import write_page

    for package, extra in (("pandas", "zoo"), ("matplotlib", "plots"), ("jinja2", "reports")):
        import_optional(package, extra, "The study")
    design = StudyDesign() if design is None else design
    folder = Path(folder)
    parts = folder / "parts"
    _check_design(design, parts)
    clear_partial_files(folder)
    first_commit = _first_commit(parts, provenance)
    started = time.monotonic()
    experiments = run_pilot(design, parts, n_jobs, progress)
    results = run_experiments(experiments, design, parts, n_jobs, progress)
    students = students_table(design.students(), run_students(design, parts, n_jobs, progress))
    trained = time.monotonic() - started

    about_experiments = experiments_table(experiments, results, n_jobs)
    evolution = evolution_table(experiments, results)
    coupling = coupling_table(experiments, results)
    regularities = tally_statements(about_experiments, evolution, coupling)
    correlations = correlate(about_experiments, evolution)
    expressivity = express(students)
    claims = weigh_claims(about_experiments, regularities, correlations, expressivity)
    about = (provenance or {}) | {
        "seconds": round(_seconds_so_far(parts, trained)),
        "quick": design == StudyDesign.quick(),
        "n_data_sets": len(design.data_sets),
        "n_experiments": len(experiments),
        "n_checkpoints": len(design.checkpoints),
        "settings": {name: _words(value) for name, value in asdict(design).items()}
        | {"networks begun at commit": first_commit},
    }
    tables = StudyTables(
        about_experiments,
        evolution,
        regularities,
        correlations,
        coupling,
        students,
        expressivity,
        claims,
        about,
    )
    tables.save(folder, compress)
    # What is drawn is what is in the files, digit for digit.
    tables = StudyTables.load(folder)
    figures = draw_figures(tables)
    write_figures(figures, folder / "figures")
    write_page(tables, figures, folder / "index.html")
    return tables


def _check_design(design, folder):
    """Refuse unknown and repeated data sets, and a folder that was begun with another design."""
    unknown = sorted(set(design.data_sets) - set(DATA_SETS))
    if unknown:
        raise ValueError(
            f"Expected data sets among {', '.join(DATA_SETS)}, found {', '.join(unknown)}. "
            "Name some of these."
        )
    repeated = sorted({n for n in design.data_sets if list(design.data_sets).count(n) > 1})
    if repeated:
        raise ValueError(
            f"Expected every data set once, found {', '.join(repeated)} more often. Experiments "
            "on the same data would count as independent ones; name each once."
        )
    for name in (*(DATA_SETS[name] for name in design.data_sets), *design.teachers):
        load_dataset(name)
    path = folder / "design.json"
    # As JSON holds it: without tuples.
    content = json.loads(json.dumps(asdict(design)))
    if path.exists() and (old := json.loads(path.read_text())) != content:
        changed = sorted(name for name in content if old.get(name) != content[name])
        raise ValueError(
            f"Expected the design that the study in {folder} was begun with, found another one "
            f"({', '.join(changed)} changed). Use another folder, or remove this one."
        )
    write_atomically(path, json.dumps(content, indent=1).encode())


def _seconds_so_far(folder, seconds):
    """Add this run's time to that of the runs before it, which it has resumed."""
    path = folder / "seconds.json"
    total = seconds + (json.loads(path.read_text()) if path.exists() else 0.0)
    write_atomically(path, json.dumps(total).encode())
    return total


def _first_commit(parts, provenance):
    """Commit that began what is on disk: tables may be made anew by a later one."""
    path = parts / "commit.json"
    if not path.exists():
        write_atomically(path, json.dumps((provenance or {}).get("commit")).encode())
    return str(json.loads(path.read_text()))


def _words(value):
    """A setting as text."""
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
