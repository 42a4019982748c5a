"""The commands about zoos: hessdiag zoo build | longer | evaluate | advise."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from hessdiag.output_paths import check_output_file, check_output_folder
from hessdiag.provenance import make_provenance
from hessdiag.resumable import write_atomically


def add_zoo_commands(commands: Any, after: argparse.ArgumentParser) -> None:
    """Add ``zoo`` and its actions to the parser of the command line.

    Parameters
    ----------
    commands : subparsers action of argparse
        Where to add.
    after : argparse.ArgumentParser
        Parent of each action: what their help says at its end.
    """
    zoo = commands.add_parser("zoo", help="build or evaluate a model zoo, or test the advice")
    actions = zoo.add_subparsers(required=True, metavar="ACTION")
    build = actions.add_parser(
        "build", parents=[after], help="train, label and examine networks; resumes"
    )
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
    build.add_argument(
        "--recipes",
        choices=("plain", "practice"),
        default="plain",
        help="mostly small MLPs and CNNs, or what people train on images, series and tokens "
        "(%(default)s)",
    )
    build.add_argument(
        "--longer",
        action="store_true",
        help="measure what training longer gains, also of networks that are trained already",
    )
    build.add_argument("--random-state", type=int, default=0)
    build.add_argument(
        "--n-jobs", type=n_jobs_of, default=-1, help="worker processes (%(default)s)"
    )
    build.add_argument("--table", help="where the table goes (default: table.npz in the zoo)")
    build.set_defaults(run=_zoo_build)
    longer = actions.add_parser(
        "longer",
        parents=[after],
        help="measure what training longer does to the networks of a table; resumes",
    )
    longer.add_argument("--table", help="a table of zoo build (default: the shipped one)")
    longer.add_argument("--write", required=True, help="where the table with these gains goes")
    longer.add_argument("--out", default="zoo", help="folder of the zoo (%(default)s)")
    longer.add_argument(
        "--seeds", type=int, default=3, help="networks of each configuration (%(default)s)"
    )
    longer.add_argument("--max-steps", type=int, help="longest runs to measure (default: all)")
    longer.add_argument(
        "--n-jobs", type=n_jobs_of, default=-1, help="worker processes (%(default)s)"
    )
    longer.set_defaults(run=_zoo_longer)
    evaluate = actions.add_parser(
        "evaluate", parents=[after], help="score the diagnosis on unseen data sets"
    )
    evaluate.add_argument(
        "--table", nargs="+", help="tables of zoo build, taken together (default: the shipped ones)"
    )
    evaluate.add_argument("--folds", type=int, default=7)
    evaluate.add_argument("--protocols", nargs="+", help="names of protocols (default: all)")
    evaluate.add_argument("--json", help="write the figures")
    evaluate.add_argument(
        "--no-studies",
        action="store_true",
        help="leave out ablation, learning curves and gains",
    )
    evaluate.add_argument(
        "--n-jobs", type=n_jobs_of, default=-1, help="worker processes (%(default)s)"
    )
    evaluate.set_defaults(run=_zoo_evaluate)
    advise = actions.add_parser(
        "advise", parents=[after], help="test the advice by doing it; resumes"
    )
    advise.add_argument(
        "--table", nargs="+", help="tables of zoo build, taken together (default: the shipped ones)"
    )
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
    advise.add_argument(
        "--n-jobs", type=n_jobs_of, default=-1, help="worker processes (%(default)s)"
    )
    advise.add_argument("--json", help="write the figures")
    advise.set_defaults(run=_zoo_advise)


def n_jobs_of(text: str) -> int:
    """Read a number of worker processes; argparse tells what is wrong with it.

    Parameters
    ----------
    text : str
        What the user gave.

    Returns
    -------
    number : int
        Not 0.
    """
    number = int(text) if text.lstrip("+-").isdecimal() else 0
    if number == 0:
        raise argparse.ArgumentTypeError(
            f"Expected a whole number other than 0, found {text!r}. Give a number of processes, "
            "or -1 for one on each core."
        )
    return number


def write_json(path: str, content: dict[str, Any]) -> None:
    """Write figures for programs, and say where.

    Parameters
    ----------
    path : str
        Where to write.
    content : dict
        JSON.
    """
    write_atomically(Path(path), json.dumps(content, indent=1).encode())
    print(f"Figures: {Path(path).resolve()}")


def _zoo_build(arguments):
    """hessdiag zoo build."""
    from hessdiag.zoo import build_zoo, choose_tasks, make_recipes

    check_output_folder(arguments.out, "--out")
    if arguments.table:
        check_output_file(arguments.table, "--table")
    tasks = choose_tasks(arguments.tasks, arguments.datasets, arguments.recipes)
    recipes = make_recipes(
        tasks, arguments.grids, arguments.seeds, arguments.random_state, arguments.recipes
    )
    options = f"--grids {arguments.grids} --seeds {arguments.seeds}"
    if arguments.recipes != "plain":
        options += f" --recipes {arguments.recipes}"
    if arguments.longer:
        options += " --longer"
    for name in ("tasks", "datasets"):
        if values := getattr(arguments, name):
            options += f" --{name} " + " ".join(values)
    options += f" --random-state {arguments.random_state}"
    provenance = make_provenance(f"hessdiag zoo build {options}")
    table = arguments.table or Path(arguments.out) / "table.npz"
    print(
        build_zoo(
            recipes,
            arguments.out,
            table,
            provenance,
            n_jobs=arguments.n_jobs,
            longer=arguments.longer,
        )
    )
    return 0


def _zoo_longer(arguments):
    """hessdiag zoo longer."""
    from hessdiag.zoo import measure_longer

    check_output_folder(arguments.out, "--out")
    check_output_file(arguments.write, "--write")
    source = {"table": arguments.table} if arguments.table else {}
    print(
        measure_longer(
            arguments.out,
            arguments.write,
            n_seeds=arguments.seeds,
            max_steps=arguments.max_steps,
            n_jobs=arguments.n_jobs,
            **source,
        )
    )
    return 0


def _zoo_evaluate(arguments):
    """hessdiag zoo evaluate."""
    from hessdiag.evaluation import evaluate_zoo, format_evaluation
    from hessdiag.zoo import load_reference_zoo

    if arguments.json:
        check_output_file(arguments.json, "--json")
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
        write_json(arguments.json, result)
    return 0


def _zoo_advise(arguments):
    """hessdiag zoo advise."""
    from hessdiag.evaluation import format_advice, try_advice
    from hessdiag.zoo import load_reference_zoo

    check_output_folder(arguments.out, "--out")
    if arguments.json:
        check_output_file(arguments.json, "--json")
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
        write_json(arguments.json, result)
    return 0
