"""The study as a command: killed half-way and resumed, it goes on where it was.

That it ends with the same tables as one that was left alone is tested with the kills of all else.
"""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from hessdiag.cli import main
from hessdiag.features import LayerTable
from hessdiag.study import StudyDesign, StudyTables, run_study
from hessdiag.study.tables import PLACES, REGIMES

TABLES = [field.name for field in fields(StudyTables) if field.name != "about"]
COMMAND = ["study", "--quick", "--n-jobs", "2", "--out"]
SCRIPT = Path(__file__).with_name("small_study.py")
SMALL = runpy.run_path(str(SCRIPT))["SMALL"]
N_RUNS = len(SMALL.data_sets) * len(REGIMES)
PARTS = ("pilot", "runs", "students")
PATIENCE = 900


def start(folder):
    """Start the small study in a process group of its own."""
    with open(folder.with_suffix(".log"), "a") as log:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *COMMAND, str(folder)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            process_group=0,
        )


def finish(process, folder):
    """Wait for a study, and return what it said."""
    try:
        status = process.wait(timeout=PATIENCE)
    finally:
        kill(process)
    said = folder.with_suffix(".log").read_text()
    assert status == 0, said[-3000:]
    return said


def kill(process):
    """Kill a study and its workers, with no warning."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def saved(folder):
    """Content and time of every piece of work that counts as finished."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.read_bytes())
        for path in (folder / "parts").glob("*/*.json")
        if not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study that was killed half-way and resumed."""
    folder = tmp_path_factory.mktemp("killed") / "study"
    process = start(folder)
    deadline = time.monotonic() + PATIENCE
    while len(list((folder / "parts" / "runs").glob("*.json"))) < 2:
        assert process.poll() is None, folder.with_suffix(".log").read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill(process)
    before = saved(folder)
    page_before = (folder / "index.html").exists()
    # What a kill in the middle of writing leaves behind counts for nothing.
    missing = sorted(set(_ids(SMALL)) - {path.stem for path in before})
    stray = folder / "parts" / "students" / f".{missing[0]}.json.{process.pid}"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b'{"rows": [{"half a li')
    said = finish(start(folder), folder)
    return SimpleNamespace(folder=folder, before=before, page_before=page_before, said=said)


def _ids(design):
    """Ids of the students."""
    return [recipe.id for recipe in design.students()]


@pytest.fixture(scope="module")
def tables(study):
    return StudyTables.load(study.folder)


@pytest.mark.slow
def test_what_was_finished_is_not_done_again(study):
    runs = [path for path in study.before if path.parent.name == "runs"]
    assert 2 <= len(runs) < N_RUNS, "the study was not killed half-way"
    assert not study.page_before
    after = saved(study.folder)
    assert {path: after[path] for path in study.before} == study.before
    # The rest was done, and nothing else.
    n_each = {part: sum(p.parent.name == part for p in after) for part in PARTS}
    assert n_each == {
        "pilot": sum(len(SMALL.pilot(name)) for name in SMALL.data_sets),
        "runs": N_RUNS,
        "students": len(SMALL.students()),
    }
    assert sum(n_each.values()) == len(after)


@pytest.mark.slow
def test_all_outputs_are_there(study):
    folder = study.folder
    for name in TABLES:
        assert (folder / f"{name}.csv").read_bytes().count(b"\n") > 1
    assert not list(folder.glob("*.gz"))
    page = (folder / "index.html").read_text()
    assert page.count("<svg") + page.count("data:image/png") >= 5
    drawn = sorted((folder / "figures").glob("*.png"))
    assert len(drawn) >= 5
    assert {path.stem for path in drawn} == {p.stem for p in (folder / "figures").glob("*.svg")}
    for path in drawn:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert ElementTree.parse(path.with_suffix(".svg")).getroot().tag.endswith("svg")
    about = json.loads((folder / "about.json").read_text())
    assert about["quick"] is True
    assert (about["n_data_sets"], about["n_experiments"]) == (2, N_RUNS)
    assert about["n_checkpoints"] == len(SMALL.checkpoints)
    assert about["command"] == "hessdiag study --quick"
    assert about["versions"]["torch"]
    assert about["seconds"] > 0
    assert f"{N_RUNS} experiments; statements:" in study.said
    assert str(folder / "index.html") in study.said
    for part in ("train the pilot", "run the experiments", "train the students"):
        assert part in study.said
    assert "Warning" not in study.said


@pytest.mark.slow
def test_tables_hang_together(study, tables):
    runs, evolution, coupling = tables.experiments, tables.evolution, tables.coupling
    expected = [f"{name}-{regime}" for name in SMALL.data_sets for regime in REGIMES]
    assert runs["experiment"].tolist() == expected
    widths = runs.pivot(index="dataset", columns="regime", values="width")
    assert (widths["starved"] < widths["sound"]).all()
    assert (widths["sound"] < widths["lavish"]).all()
    assert runs["gap"].to_numpy() == pytest.approx(
        runs["held_out_loss"] - runs["train_loss"], abs=1e-5
    )
    steps, n_runs = list(SMALL.checkpoints), len(runs)
    assert len(evolution) == n_runs * len(steps) * len(PLACES)
    for name, group in evolution.groupby("experiment"):
        whole = group[group["place"] == "network"]
        assert whole["step"].tolist() == steps
        run = runs.set_index("experiment").loc[name]
        for column in ("train_loss", "held_out_loss", "train_error", "held_out_error"):
            assert whole[column].iloc[-1] == run[column]
        assert whole["held_out_loss"].min() == run["best_held_out_loss"]
        # The gradient of the whole net is that of all layers, where these are of all samples.
        if run["n_train"] * run["n_outputs"] <= SMALL.max_gram_size:
            layers = group[group["place"] != "network"].groupby("step")["gradient_norm"]
            norm = np.sqrt(layers.apply(lambda values: (values**2).sum()))
            np.testing.assert_allclose(whole["gradient_norm"], norm, rtol=1e-3)
        mine = coupling[coupling["experiment"] == name]
        assert mine["step"].drop_duplicates().tolist() == [0, steps[round_to(0.1)], steps[-1]]
        for _, rows in mine.groupby("step"):
            assert rows["distance"].tolist() == [0, 1, 2, 0, 1, 0]
            own = rows["distance"] == 0
            np.testing.assert_allclose(rows.loc[own, "coupling"], 1, rtol=1e-5)
            squares = rows["resonance"] ** 2
            outside = 2 * squares[~own].sum() / (squares[own].sum() + 2 * squares[~own].sum())
            np.testing.assert_allclose(rows["phi"], outside, rtol=1e-3)
    assert len(tables.students) == len(SMALL.students()) * 3
    assert len(tables.regularities) == 21
    assert len(tables.claims) == 7


def round_to(share):
    """Index of the checkpoint at a share of training."""
    distances = [abs(np.log(max(step, 1e-9) / SMALL.n_steps / share)) for step in SMALL.checkpoints]
    return int(np.argmin(distances))


@pytest.mark.slow
def test_the_diagnosis_is_that_of_the_shipped_diagnoser(study, tables, reference_diagnoser):
    examined = [
        json.loads((study.folder / "parts" / "runs" / f"{recipe}.json").read_text())
        for recipe in tables.experiments["recipe"]
    ]
    measures = [LayerTable.from_json(found["reference_table"]) for found in examined]
    diagnoser = reference_diagnoser
    assert diagnoser.predict(measures).tolist() == tables.experiments["diagnosis"].tolist()
    names = ["p_" + name.replace("-", "_") for name in diagnoser.classes_]
    np.testing.assert_allclose(
        tables.experiments[names], diagnoser.predict_proba(measures), atol=1e-5
    )
    assert set(tables.experiments["diagnosis_unseen"]) <= set(diagnoser.classes_)


@pytest.mark.slow
def test_a_finished_study_is_only_written_again(study, tables, tmp_path, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(study.folder / "parts", folder / "parts")
    before = saved(folder)
    for name in ("_train_pilot", "_run_experiment", "_run_student"):
        monkeypatch.setattr(f"hessdiag.study._stages.{name}", None)
    # The diagnosers are fitted again, too; another test compares what they say.
    columns = ["diagnosis", *(name for name in tables.experiments if name.startswith("p_"))]
    said = tables.experiments[[*columns, "diagnosis_unseen"]].to_dict("list")
    monkeypatch.setattr("hessdiag.study._gather._diagnoses", lambda *_: said)
    again = run_study(folder, SMALL, {"command": "test"}, n_jobs=1, progress=False, compress=True)
    assert saved(folder) == before
    for name in TABLES:
        assert not (folder / f"{name}.csv").exists()
        text = pd.read_csv(folder / f"{name}.csv.gz", dtype=str, keep_default_na=False)
        same = pd.read_csv(study.folder / f"{name}.csv", dtype=str, keep_default_na=False)
        pd.testing.assert_frame_equal(text, same)
        assert list(getattr(again, name)) == list(same)
    assert (folder / "index.html").exists()


@pytest.mark.slow
def test_one_data_set_and_one_teacher_are_enough(tmp_path, monkeypatch):
    design = StudyDesign(
        data_sets=("wisconsin",),
        mlp_widths=(1, 4, 8),
        weight_decays=(0.0,),
        n_pilot_seeds=1,
        n_train=40,
        n_steps=4,
        teachers=("teacher-2-relu-noisy-10",),
        ratios=(1.0, 2.0),
        n_student_seeds=1,
    )
    diagnoser = SimpleNamespace(
        predict_proba=lambda tables: np.full((len(tables), 3), 1 / 3),
        predict=lambda tables: ["well-fit"] * len(tables),
        classes_=np.array(["overfitting", "underparameterized", "well-fit"]),
    )
    monkeypatch.setattr("hessdiag.study._gather.load_reference_diagnoser", lambda *_: diagnoser)
    tables = run_study(tmp_path, design, n_jobs=1, progress=False)
    assert tables.experiments["experiment"].tolist() == [f"wisconsin-{name}" for name in REGIMES]
    # From one of a kind nothing follows, and the tables say so.
    assert tables.correlations["rho"].isna().all()
    assert tables.expressivity["rho"].isna().all()
    assert set(tables.regularities["verdict"]) == {"open"}
    assert tables.regularities["n_data_sets"].max() == 1
    assert (tmp_path / "index.html").stat().st_size > 10_000
    assert tables.about["quick"] is False


def test_another_design_in_the_same_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("hessdiag.study._run.run_pilot", stop)
    with pytest.raises(Stopped):
        run_study(tmp_path, StudyDesign.quick())
    content = (tmp_path / "parts" / "design.json").read_bytes()
    other = replace(StudyDesign.quick(), n_steps=128, ratios=(1.0,))
    with pytest.raises(ValueError, match=r"\(n_steps, ratios changed\). Use another folder"):
        run_study(tmp_path, other)
    assert (tmp_path / "parts" / "design.json").read_bytes() == content
    with pytest.raises(Stopped):
        run_study(tmp_path, replace(StudyDesign.quick()))


def test_unknown_and_repeated_data_sets_are_refused(tmp_path, capsys):
    quick = StudyDesign.quick()
    for unknown in (("iris",), ("satimage", "nonesuch")):
        with pytest.raises(
            ValueError, match=f"Expected data sets among .*found {unknown[-1]}. Name"
        ):
            run_study(tmp_path, replace(quick, data_sets=unknown))
    with pytest.raises(ValueError, match="every data set once, found satimage"):
        run_study(tmp_path, replace(quick, data_sets=("satimage", "pima", "satimage")))
    with pytest.raises(ValueError, match="teacher-3"):
        run_study(tmp_path, replace(quick, teachers=("teacher-3",)))
    assert not list(tmp_path.iterdir())
    assert main(["study", "--quick", "--datasets", "nonesuch", "--out", str(tmp_path)]) == 2
    assert "nonesuch" in capsys.readouterr().err


class Stopped(Exception):
    """Raised instead of long work."""


def stop(*args):
    raise Stopped
