"""A zoo can be killed at any moment: nothing is lost, nothing is done twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from hessdiag.zoo import Recipe, ZooStore, train_recipe, train_zoo
from hessdiag.zoo._builder import narrower_ids

SCRIPT = """
import sys
from pathlib import Path
from hessdiag.zoo import Recipe, train_zoo

recipes = [
    Recipe("iris", 60, 0.0, "mlp", 1, "relu", 4, 0.0, n_steps=400, seed=seed) for seed in range(14)
]
if __name__ == "__main__":
    train_zoo(recipes, sys.argv[1], n_jobs=1, progress=False)
"""
RECIPES = [
    Recipe("iris", 60, 0.0, "mlp", 1, "relu", 4, 0.0, n_steps=400, seed=seed) for seed in range(14)
]


@pytest.mark.slow
def test_killed_build_resumes(tmp_path):
    script = tmp_path / "build.py"
    script.write_text(SCRIPT)
    folder = tmp_path / "zoo"
    process = subprocess.Popen([sys.executable, str(script), str(folder)])
    store = ZooStore(folder)
    deadline = time.monotonic() + 120
    while len(store.finished_ids()) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {
        path.name: (path.stat().st_mtime_ns, path.read_bytes())
        for path in (folder / "networks").glob("*.safetensors")
    }
    assert 3 <= len(before) < len(RECIPES), "the build was not interrupted midway"
    for recipe_id in store.finished_ids():
        store.load_case(recipe_id)  # every file that counts is whole

    # What a kill in the middle of writing leaves behind does not count as a network.
    stray = folder / "networks" / f".{RECIPES[-1].id}.safetensors.{process.pid}"
    stray.write_bytes(b"half a fi")
    assert len(store.finished_ids()) == len(before)

    trained = []
    import hessdiag.zoo._builder as builder

    real = builder.train_recipe
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "train_recipe", lambda r, *_: trained.append(r.id) or real(r))
        train_zoo(RECIPES, folder, n_jobs=1, progress=False)
    assert store.finished_ids() == {recipe.id for recipe in RECIPES}
    assert sorted(trained) == sorted({r.id for r in RECIPES} - {name[:16] for name in before})
    for name, (modified, content) in before.items():
        path = folder / "networks" / name
        assert path.stat().st_mtime_ns == modified
        assert path.read_bytes() == content


@pytest.mark.slow
def test_resumed_network_equals_the_uninterrupted_one(small_zoo, small_recipes):
    recipe = small_recipes[3]
    net, record = train_recipe(recipe)
    case = small_zoo.store.load_case(recipe.id)
    assert small_zoo.store.load_record(recipe.id) == (recipe, record)
    for left, right in zip(net.module_.parameters(), case.net.module_.parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.slow
def test_two_workers_train_the_same_networks(small_recipes, small_zoo, tmp_path):
    store = train_zoo(small_recipes[:2], tmp_path, n_jobs=2, progress=False)
    for recipe in small_recipes[:2]:
        assert store.load_record(recipe.id) == small_zoo.store.load_record(recipe.id)
        digests = [zoo.load_case(recipe.id).digest() for zoo in (store, small_zoo.store)]
        assert digests[0] == digests[1]


def test_cases_of_a_zoo_hold_training_samples_alone(small_zoo, small_recipes):
    from hessdiag.zoo._training import recipe_split

    recipe = small_recipes[0]
    case, split = small_zoo.store.load_case(recipe.id), recipe_split(recipe)
    np.testing.assert_array_equal(case.X, split.X_train)
    np.testing.assert_array_equal(case.y, split.y_train)
    assert case.name == recipe.id


def test_records_frame(small_zoo, small_recipes):
    frame = small_zoo.store.records_frame()
    assert len(frame) == len(small_recipes)
    assert set(frame["id"]) == {recipe.id for recipe in small_recipes}
    by_id = frame.set_index("id")
    for recipe in small_recipes[:5]:
        assert by_id.loc[recipe.id, "width"] == recipe.width
        assert by_id.loc[recipe.id, "grid"] == recipe.grid


def test_empty_zoo_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="hessdiag zoo build"):
        ZooStore(tmp_path).records_frame()


def test_summary_and_second_build(small_zoo, small_recipes, tmp_path):
    from hessdiag.zoo._pipeline import build_zoo

    assert f"{len(small_recipes)} networks trained" in small_zoo.summary
    folder = tmp_path / "copy"
    shutil.copytree(small_zoo.folder, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hessdiag.zoo._builder.train_recipe", None)
        patch.setattr("hessdiag.zoo._examination.layer_table", None)
        table = folder / "again.npz"
        build_zoo(small_recipes, folder, table, {"command": "test"}, n_jobs=1, progress=False)
    with np.load(table) as again, np.load(small_zoo.table) as first:
        assert set(again) == set(first)
        for name in first:
            np.testing.assert_array_equal(again[name], first[name])


@pytest.mark.slow
def test_longer_runs_are_measured_beside_what_is_there(small_zoo, small_recipes, tmp_path):
    grid = small_recipes[:12]
    wanted = narrower_ids(grid)
    assert wanted == {recipe.id for recipe in grid if recipe.width < 16}
    kept = grid[0]
    shutil.copytree(small_zoo.folder / "networks", tmp_path / "networks")
    store = ZooStore(tmp_path)
    before = {recipe.id: store.load_record(recipe.id)[1] for recipe in grid}
    parameters = store.load_case(kept.id).net.module_.state_dict()
    assert all(record.longer_losses == () for record in before.values())
    # One of a machine that rounds otherwise, and one whose network is another one.
    off = replace(before[kept.id], test_losses=(*before[kept.id].test_losses[:-1], 0.77))
    store.replace_record(kept.id, off)
    with pytest.warns(UserWarning, match=f"1 of 8 networks another held-out loss.*{kept.id}"):
        train_zoo(grid, tmp_path, n_jobs=1, progress=False, longer=wanted)
    for recipe in grid:
        record = store.load_record(recipe.id)[1]
        measured = recipe.id in wanted and recipe != kept
        assert len(record.longer_losses) == (2 if measured else 0)
        expected = off if recipe == kept else before[recipe.id]
        assert replace(record, longer_losses=()) == expected
    after = store.load_case(kept.id).net.module_.state_dict()
    assert all(torch.equal(parameters[name], after[name]) for name in parameters)
    store.replace_record(kept.id, before[kept.id])
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")}
    train_zoo(grid, tmp_path, n_jobs=1, progress=False, longer=wanted)
    changed = [path.stem for path, time_ in files.items() if path.stat().st_mtime_ns != time_]
    assert changed == [kept.id]
    fresh = train_zoo([kept], tmp_path / "new", n_jobs=1, progress=False, longer=wanted)
    assert fresh.load_record(kept.id) == store.load_record(kept.id)


def test_records_from_before_longer_runs_load(small_zoo, small_recipes, tmp_path):
    from safetensors.numpy import load_file, save_file

    recipe = small_recipes[0]
    path = small_zoo.store.network_path(recipe.id)
    found, record = small_zoo.store.load_record(recipe.id)
    header = {"recipe": asdict(found), "record": asdict(record)}
    for name in ("schedule", "augmentation", "pretraining"):
        del header["recipe"][name]
    del header["record"]["longer_losses"]
    old = tmp_path / "networks" / path.name
    old.parent.mkdir()
    save_file(load_file(path), old, {name: json.dumps(part) for name, part in header.items()})
    assert ZooStore(tmp_path).load_record(recipe.id) == (recipe, record)
    del header["record"]["train_losses"]
    save_file(load_file(path), old, {name: json.dumps(part) for name, part in header.items()})
    assert ZooStore(tmp_path).load_record(recipe.id)[1] == replace(record, train_losses=())
    assert np.isnan(ZooStore(tmp_path).records_frame()["train_loss_earlier"]).all()


def test_other_settings_in_the_same_folder_warn(small_zoo, small_recipes, tmp_path):
    from hessdiag.zoo._builder import save_settings

    store = ZooStore(tmp_path)
    save_settings(store, {"recipes": [1]})
    save_settings(store, {"recipes": [1]})
    with pytest.warns(UserWarning, match="recipes"):
        save_settings(store, {"recipes": [2]})
