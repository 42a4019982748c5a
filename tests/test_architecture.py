"""What a call passes through is what the page on the architecture says, in that order."""

import re
import sys
from pathlib import Path

import pytest

import hessdiag as hd
from hessdiag.testing import make_case, make_cases

ROOT = Path(hd.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "architecture.rst"

WALKS = {
    "layer_spectra": [
        "spectra/_shortcuts.py",
        "spectra/_local_spectra.py",
        "curvature/_prepare.py",
        "curvature/network/_working_copy.py",
        "curvature/network/_data.py",
        "curvature/network/_determinism.py",
        "curvature/network/_copy_check.py",
        "curvature/network/_blocks.py",
        "curvature/_derivative_check.py",
        "spectra/_executor.py",
        "spectra/_together.py",
        "spectra/_gaps.py",
        "spectra/_hessian_operators.py",
        "curvature/factors/_capture.py",
        "spectra/_ways.py",
        "spectra/_exact.py",
        "spectra/results/_spectrum.py",
    ],
    # Gaps are measured sooner where the machine is slow, and a plan is made for the time.
    "explain": [
        "diagnosis/_fit_diagnoser.py",
        "features/_layer_spectra.py",
        "cases/_network_case.py",
        "examination/_local_hessians.py",
        "examination/_examine.py",
        "examination/_wide_layers.py",
        "examination/_between_samples.py",
        "examination/_layer_statistics.py",
        "examination/_leave_one_out.py",
        "examination/_gram_statistics.py",
        "features/_layer_table.py",
        "diagnosis/_evidence.py",
        "features/_spectral_features.py",
        "diagnosis/_table_diagnoser.py",
        "diagnosis/_recommendation.py",
    ],
}


def files_entered(call):
    """List the files of the package that a call enters, by their first entry."""
    entered = {}

    def note(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT):
            entered.setdefault(path.relative_to(ROOT).as_posix())

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return list(entered)


@pytest.mark.slow
@pytest.mark.parametrize("walk", WALKS)
def test_a_call_passes_through_the_rooms_in_order(walk):
    if walk == "layer_spectra":
        case = make_case()
        entered = files_entered(lambda: hd.layer_spectra(case.net, case.X, case.y))
    else:
        cases, diagnoses = make_cases(9, n_samples=24)
        diagnoser = hd.FitDiagnoser().fit(cases, diagnoses)
        case = make_case(random_state=3)
        entered = files_entered(lambda: diagnoser.explain(case))
    missing = [name for name in WALKS[walk] if name not in entered]
    assert not missing
    order = [entered.index(name) for name in WALKS[walk]]
    # One that the walk before has left in place (a cached check) may come early.
    assert order == sorted(order), [name for name in entered if name in WALKS[walk]]


def test_the_page_names_files_that_are_there():
    section = PAGE.read_text().split("What a call passes through")[1]
    names = re.findall(r"``([\w/]*_\w+\.py)``", section)
    there = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py")}
    assert len(names) > 10
    for name in names:
        assert any(known == name or known.endswith("/" + name) for known in there), name
