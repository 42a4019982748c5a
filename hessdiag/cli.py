"""The command line: hessdiag demo | diagnose | zoo build | longer | evaluate | advise | study."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from hessdiag.exit_codes import (
    MISTAKE,
    PASSED,
    SHUT,
    describe,
    leave,
    own_outputs,
    run_guarded,
    say,
)
from hessdiag.output_paths import check_output_folder, check_outputs
from hessdiag.provenance import make_provenance
from hessdiag.resumable import write_atomically
from hessdiag.zoo_commands import add_zoo_commands, n_jobs_of

_EXIT_CODES = """\
exit codes:
  0    all was done, and no network has a diagnosis of --fail-on
  1    a network has one
  2    a mistake that the message explains; also a network that --fail-on could not look at
  3    a failure of the program, a network's code or the machine; --debug shows where
  130  stopped from the keyboard"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str or None, default=None
        Arguments; None takes those of the process.

    Returns
    -------
    status : int
        The exit code: 0 if all was done; 1 if a gate is shut; 2 for a mistake that the message
        explains; 3 for a failure; 130 if it was stopped.
    """
    arguments = _parser().parse_args(argv)
    return run_guarded(lambda: arguments.run(arguments), arguments.debug)


def run() -> NoReturn:
    """Run the command line as a process of its own, which ends with its exit code."""
    try:
        status = main()
    except SystemExit as stop:  # argparse's own way
        status = stop.code if isinstance(stop.code, int) else PASSED
    leave(status)


def _parser():
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="hessdiag",
        description="Diagnose trained neural networks from their layer-wise Hessian spectra.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hessdiag {version('hessdiag')}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    after = argparse.ArgumentParser(add_help=False)
    after.add_argument(
        "--debug",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show the traceback of an error",
    )

    demo = commands.add_parser(
        "demo", parents=[after], help="train three networks, diagnose and mend them"
    )
    demo.add_argument("--out", default="demo-output", help="folder of the report (%(default)s)")
    demo.set_defaults(run=_demo)

    diagnose = commands.add_parser(
        "diagnose",
        parents=[after],
        help="diagnose saved networks",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    diagnose.add_argument("cases", nargs="+", help="folders written by hessdiag.save_case")
    diagnose.add_argument("--html", help="write a report page")
    diagnose.add_argument("--figures", help="folder for a PNG of each network's layer spectra")
    diagnose.add_argument(
        "--json", help="write diagnoses, probabilities and gains; - writes them instead of the text"
    )
    diagnose.add_argument(
        "--trust",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="import these classes (package.module.Class), modules, or packages (name.*) too",
    )
    diagnose.add_argument(
        "--min-confidence",
        type=float,
        metavar="P",
        help='answer "undecided" where no diagnosis has this probability',
    )
    diagnose.add_argument(
        "--class-prior",
        nargs="+",
        metavar="DIAGNOSIS=SHARE",
        help="how common each diagnosis is among such networks (default: all alike)",
    )
    diagnose.add_argument(
        "--max-time",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="time for one network; what is left out for it is said (%(default)g; 0: no bound)",
    )
    diagnose.add_argument(
        "--on-error",
        choices=["raise", "warn"],
        default="raise",
        help="stop at a network that cannot be loaded or examined, or leave it out (%(default)s)",
    )
    diagnose.add_argument(
        "--fail-on",
        nargs="+",
        default=[],
        metavar="DIAGNOSIS",
        help="exit with 1 if a network gets one of these diagnoses, or undecided, as a gate",
    )
    diagnose.set_defaults(run=_diagnose)

    add_zoo_commands(commands, after)
    study = commands.add_parser(
        "study",
        parents=[after],
        help="how local spectra evolve in training, and what they say; resumes",
    )
    study.add_argument("--out", default="study", help="folder of the results (%(default)s)")
    study.add_argument(
        "--quick", action="store_true", help="3 data sets instead of 37, in a minute or two"
    )
    study.add_argument("--datasets", nargs="+", help="data sets of the study (default: all 37)")
    study.add_argument(
        "--n-jobs", type=n_jobs_of, default=-1, help="worker processes (%(default)s)"
    )
    study.add_argument("--compress", action="store_true", help="write tables as .csv.gz")
    study.set_defaults(run=_study)
    return parser


def _demo(arguments):
    """hessdiag demo."""
    from hessdiag.demo import run_demo

    check_output_folder(arguments.out, "--out")
    run_demo(arguments.out)
    return 0


def _diagnose(arguments):
    """hessdiag diagnose."""
    from hessdiag.case_files import load_case
    from hessdiag.diagnosis import UNDECIDED
    from hessdiag.labels import DIAGNOSES
    from hessdiag.reporting import render_text, write_figures, write_html
    from hessdiag.zoo import load_reference_diagnoser

    _check_diagnose(arguments, (*DIAGNOSES, UNDECIDED))
    to_stdout = arguments.json == "-"
    prior = _class_prior(arguments.class_prior, DIAGNOSES)
    skip = arguments.on_error == "warn"
    unless_it_fails = partial(_unless_it_fails, skip, to_stdout)
    loaded = [
        unless_it_fails(folder, load_case, folder, trusted=arguments.trust)
        for folder in arguments.cases
    ]
    cases = [case for case in loaded if case is not None]
    reports = []
    if cases:
        diagnoser = load_reference_diagnoser()
        diagnoser.set_params(min_confidence=arguments.min_confidence, class_prior=prior)
        diagnoser.spectra_.set_params(max_time=arguments.max_time or None)
        found = [unless_it_fails(case.name, diagnoser.explain, case) for case in cases]
        reports = [report for report in found if report is not None]
    if not reports:
        raise ValueError(
            "Expected at least one network that can be examined, found none. The lines above "
            "say why, and what to do."
        )
    content = json.dumps(_finite([_report_content(report) for report in reports]), indent=1)
    print(content if to_stdout else render_text(reports))
    notes = sys.stderr if to_stdout else sys.stdout
    if arguments.json and not to_stdout:
        write_atomically(Path(arguments.json), content.encode())
    if arguments.html:
        write_html(reports, arguments.html)
        print(f"Report:  {Path(arguments.html).resolve()}", file=notes)
    if arguments.figures:
        for path in write_figures(reports, arguments.figures):
            print(f"Spectra: {Path(path).resolve()}", file=notes)
    n_cases, fail_on = len(arguments.cases), arguments.fail_on
    return _gate(reports, n_cases, fail_on) if fail_on else PASSED


def _class_prior(words, classes):
    """Read the shares of diagnoses; None where none were given."""
    if words is None:
        return None
    from hessdiag.diagnosis import check_class_prior

    prior = {}
    for word in words:
        name, _, share = word.partition("=")
        try:
            prior[name] = float(share)
        except ValueError:
            raise ValueError(
                f"Expected --class-prior as DIAGNOSIS=SHARE, found {word!r}. Write for example "
                "--class-prior overfitting=0.1 underparameterized=0.2 well-fit=0.7"
            ) from None
    check_class_prior(prior, classes)
    return prior


def _check_diagnose(arguments, answers):
    """Check the options of diagnose before anything is loaded, and make paths absolute."""
    unknown = sorted(set(arguments.fail_on) - set(answers))
    if unknown:
        raise ValueError(
            f"Expected --fail-on among {', '.join(answers)}, found {', '.join(unknown)}. "
            "Name diagnoses as they are spelled here."
        )
    floor = arguments.min_confidence
    if floor is not None and not 0 <= floor <= 1:
        raise ValueError(
            f"Expected --min-confidence between 0 and 1, found {floor:g}. Give a share of 1."
        )
    if not arguments.max_time >= 0:
        raise ValueError(
            f"Expected --max-time from 0 on, found {arguments.max_time:g}. Give seconds, "
            "or 0 for no bound."
        )
    asked = {option: getattr(arguments, option) for option in ("html", "json", "figures")}
    if arguments.json == "-":
        del asked["json"]
    vars(arguments).update(check_outputs(asked, folders=("figures",)))


def _gate(reports, n_cases, fail_on):
    """Exit code of a gate; what it could not tell is said."""
    from hessdiag.diagnosis import UNDECIDED

    if any(report.answer in fail_on for report in reports):
        return SHUT
    n_skipped = n_cases - len(reports)
    if n_skipped:
        say(
            f"Expected to look at all {n_cases} networks before the gate opens, found "
            f"{n_skipped} that were skipped. The lines above say why: mend them or leave them out."
        )
        return MISTAKE
    undecided = [str(report.name) for report in reports if report.answer == UNDECIDED]
    if undecided:
        say(
            f"the gate opens although {', '.join(undecided)} came out {UNDECIDED}. To shut it "
            f"then, add {UNDECIDED} to --fail-on."
        )
    return PASSED


def _unless_it_fails(skip, apart, name, function, *arguments, **keywords):
    """Call a function on one network; None, with a line that says why, where it is skipped."""
    try:
        with own_outputs(apart):
            return function(*arguments, **keywords)
    except (Exception, SystemExit) as error:
        explained = isinstance(error, (ValueError, TypeError, FileNotFoundError, ImportError))
        if skip:
            say(f"{name} was skipped: {error if explained else describe(error)}")
            return None
        if explained:
            named = str(name) in str(error) or not _is_plain(error)
            raise error if named else type(error)(f"{name}: {error}") from error
        if isinstance(error, OSError):
            raise
        raise RuntimeError(f"{name}: {describe(error)}") from error


def _is_plain(error):
    """Say whether an error is made of its message alone."""
    return type(error) in (ValueError, TypeError, FileNotFoundError, ImportError)


def _finite(content):
    """Replace numbers that JSON does not have by null."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    return content


def _report_content(report):
    """What a program may want to know of a report, as JSON."""
    gains = {
        "widening": report.gain_widening,
        "constraining": report.gain_constraining,
        "longer": report.gain_longer,
    }
    return {
        "name": report.name,
        "diagnosis": report.answer,
        "probabilities": report.probabilities,
        "fitted_probabilities": report.fitted_probabilities,
        "gains": {word: gain and asdict(gain) for word, gain in gains.items()},
        "constraints": report.constraints,
        "cause": report.cause,
        "action": report.recommendation.action,
        "change": report.recommendation.change,
        "domain_score": report.domain_score,
        "notes": list(report.notes),
        "missing": list(report.missing),
        "missing_share": report.missing_share,
        "layers": {layer.name: layer.weight for layer in report.layers},
    }


def _study(arguments):
    """hessdiag study."""
    from dataclasses import replace

    from hessdiag.study import StudyDesign, run_study

    check_output_folder(arguments.out, "--out")
    design = StudyDesign.quick() if arguments.quick else StudyDesign()
    options = " --quick" if arguments.quick else ""
    if arguments.datasets:
        design = replace(design, data_sets=tuple(arguments.datasets))
        options += " --datasets " + " ".join(arguments.datasets)
    provenance = make_provenance(f"hessdiag study{options}")
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


if __name__ == "__main__":
    run()
