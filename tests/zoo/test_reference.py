"""The table keeps what was measured, and refuses another version's."""

import time
from dataclasses import replace

import numpy as np
import pytest

import hessdiag as hd
from hessdiag.features import LAYER_MEASURES
from hessdiag.zoo import (
    ZooStore,
    load_layer_table,
    measure_longer,
    read_reference,
    train_recipe,
    write_reference,
)
from hessdiag.zoo._examination import REFERENCE_SPECTRA, load_weight_statistics
from hessdiag.zoo._longer import recipe_of
from hessdiag.zoo._reference import COLUMNS, REFERENCE_PATH, read_rivals
from hessdiag.zoo._training import CHECKPOINTS
from hessdiag.zoo._weight_statistics import RIVAL_NAMES, weight_statistics

pd = pytest.importorskip("pandas")


def test_round_trip(small_zoo, tmp_path):
    tables, columns, provenance = read_reference(small_zoo.table)
    assert provenance["command"] == "test"
    assert set(columns) == set(COLUMNS)
    for index, recipe_id in enumerate(columns["id"]):
        kept = load_layer_table(small_zoo.store, str(recipe_id))
        assert tables[index].layers == kept.layers
        assert tables[index].kinds == kept.kinds
        for name in LAYER_MEASURES:
            np.testing.assert_allclose(tables[index].measures[name], kept.measures[name], 1e-6)
            np.testing.assert_allclose(tables[index].network[name], kept.network[name], 1e-6)
        for name, value in kept.context.items():
            np.testing.assert_allclose(tables[index].context[name], value, rtol=1e-6)

    rivals = read_rivals(small_zoo.table)
    again = tmp_path / "again.npz"
    write_reference(
        pd.DataFrame(columns),
        tables,
        provenance,
        again,
        rivals=np.column_stack(list(rivals.values())),
    )
    with np.load(again) as left, np.load(small_zoo.table) as right:
        assert set(left) == set(right)
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])


def test_rivals_are_read_from_the_networks(small_zoo):
    _, columns, _ = read_reference(small_zoo.table)
    rivals = read_rivals(small_zoo.table)
    assert tuple(rivals) == RIVAL_NAMES
    for index in (0, 5):
        recipe_id = str(columns["id"][index])
        module = small_zoo.store.load_case(recipe_id).net.module_
        row = [values[index] for values in rivals.values()]
        np.testing.assert_allclose(row, weight_statistics(module), rtol=1e-5, atol=1e-30)
    with pytest.raises(FileNotFoundError, match="build the zoo again"):
        load_weight_statistics(small_zoo.store, "no such network")


def test_tables_from_before_longer_runs_are_read(small_zoo, tmp_path):
    later = ["schedule", "augmentation", "pretraining", "gain_longer", "se_longer"]
    later.append("train_loss_earlier")
    with np.load(small_zoo.table) as archive:
        arrays = {name: values for name, values in archive.items() if name[7:] not in later}
    path = tmp_path / "old.npz"
    np.savez(path, **arrays)
    _, columns, _ = read_reference(path)
    _, expected, _ = read_reference(small_zoo.table)
    assert list(columns) == list(expected)
    assert np.isnan(columns.pop("train_loss_earlier")).all()
    for index, loss in enumerate(expected.pop("train_loss_earlier")):
        record = small_zoo.store.load_record(str(columns["id"][index]))[1]
        assert loss == record.train_losses[CHECKPOINTS.index(0.6)]
    for name, values in expected.items():
        np.testing.assert_array_equal(columns[name], values)
        assert columns[name].dtype.kind == values.dtype.kind
    assert np.isnan(columns["gain_longer"]).all()


@pytest.mark.slow
def test_longer_runs_of_a_table(small_zoo, small_recipes, tmp_path):
    table, folder = tmp_path / "table.npz", tmp_path / "zoo"
    summary = measure_longer(
        folder, table, small_zoo.table, n_seeds=2, max_steps=100, n_jobs=1, progress=False
    )
    assert "measured for 8 of 12 networks; 0 that" in summary
    _, columns, _ = read_reference(table)
    with np.load(table) as new, np.load(small_zoo.table) as old:
        assert set(new) == set(old)
        for name in set(old) - {"column_gain_longer", "column_se_longer"}:
            np.testing.assert_array_equal(new[name], old[name])
    store = ZooStore(folder)
    for index, n_steps in enumerate(columns["n_steps"]):
        if n_steps > 100:
            assert np.isnan(columns["gain_longer"][index])
            continue
        recipe = recipe_of(columns, index)
        records = [store.load_record(replace(recipe, seed=seed).id)[1] for seed in (0, 1)]
        own = np.array([record.test_losses[-1] for record in records])
        later = np.array([record.longer_losses for record in records])
        best = later[:, later.mean(axis=0).argmin()]
        gains = (own - best) / records[0].null_loss
        np.testing.assert_allclose(columns["gain_longer"][index], gains.mean())
        np.testing.assert_allclose(columns["se_longer"][index], abs(np.diff(gains)[0]) / 2)
        again = train_recipe(replace(recipe, n_steps=4 * recipe.n_steps))[1]
        member = records[recipe.seed]
        assert member.longer_losses[1] == pytest.approx(again.test_losses[-1], rel=1e-6)


@pytest.mark.slow
def test_a_table_of_other_networks_stays_unmeasured(small_zoo, tmp_path):
    with np.load(small_zoo.table) as archive:
        arrays = dict(archive)
    arrays["column_test_loss"] = arrays["column_test_loss"] + 0.3
    other = tmp_path / "other.npz"
    np.savez(other, **arrays)
    summary = measure_longer(
        tmp_path, tmp_path / "new.npz", other, n_seeds=2, max_steps=100, n_jobs=1, progress=False
    )
    assert "measured for 0 of 12 networks; 8 that were trained again have another" in summary


def test_several_tables_are_taken_together(small_zoo, tmp_path):
    tables, columns, provenance = read_reference(small_zoo.table)
    frame, rivals = pd.DataFrame(columns), np.stack(list(read_rivals(small_zoo.table).values()), 1)
    parts = [tmp_path / "first.npz", tmp_path / "second.npz"]
    for path, part in zip(parts, (slice(5), slice(5, None)), strict=True):
        write_reference(frame[part], tables[part], provenance, path, rivals[part])
    both, found, made = read_reference(parts)
    assert [table.name for table in both] == [table.name for table in tables]
    for name in COLUMNS:
        np.testing.assert_array_equal(found[name], columns[name])
    for name, values in read_rivals(parts).items():
        np.testing.assert_array_equal(values, read_rivals(small_zoo.table)[name])
    assert made["parts"] == [provenance, provenance]
    assert made["command"] == provenance["command"]
    assert len(hd.load_reference_zoo(path=parts).target) == len(tables)
    with pytest.raises(ValueError, match=f"found {len(tables)} networks in two"):
        read_reference([small_zoo.table, *parts])


def test_task_columns_are_looked_up(small_zoo, tmp_path):
    tables, columns, provenance = read_reference(small_zoo.table)
    frame = pd.DataFrame(columns)
    path = tmp_path / "again.npz"
    known = frame.drop(columns=["parent", "kind", "form", "teacher_width"])
    write_reference(known, tables, provenance, path)
    _, again, _ = read_reference(path)
    for name in ("parent", "kind", "form", "teacher_width"):
        np.testing.assert_array_equal(again[name], columns[name])
    assert set(again["teacher_width"]) == {-1}
    assert np.isnan(list(read_rivals(path).values())).all()
    write_reference(frame.assign(teacher_width=[None, 8] * 6), tables, provenance, path)
    np.testing.assert_array_equal(read_reference(path)[1]["teacher_width"], [-1, 8] * 6)


def test_table_holds_no_objects(small_zoo):
    with np.load(small_zoo.table, allow_pickle=False) as archive:
        assert all(archive[name].dtype.kind in "UbifS" for name in archive)


def test_examinations_of_the_table_are_those_of_the_networks(small_zoo):
    from hessdiag.features import layer_table
    from hessdiag.zoo._examination import REFERENCE_SPECTRA

    tables, columns, _ = read_reference(small_zoo.table)
    case = small_zoo.store.load_case(str(columns["id"][0]))
    fresh = layer_table(REFERENCE_SPECTRA.transform([case])[0])
    for name, values in fresh.measures.items():
        np.testing.assert_allclose(tables[0].measures[name], values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("what", ["measures", "columns"])
def test_tables_of_another_version_are_refused(what, small_zoo, tmp_path):
    with np.load(small_zoo.table) as archive:
        arrays = dict(archive)
    if what == "measures":
        arrays["measure_names"] = arrays["measure_names"].copy()
        arrays["measure_names"][0] = "other"
    else:
        del arrays["column_gain_fourfold"]
    path = tmp_path / "old.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="hessdiag zoo build"):
        read_reference(path)


def test_measures_are_read_in_whatever_order(small_zoo, tmp_path):
    with np.load(small_zoo.table) as archive:
        arrays = dict(archive)
    arrays["measure_names"] = arrays["measure_names"][::-1]
    arrays["measures"] = arrays["measures"][:, ::-1]
    path = tmp_path / "other.npz"
    np.savez(path, **arrays)
    for table, expected in zip(read_reference(path)[0], read_reference(small_zoo.table)[0]):
        for name, values in expected.measures.items():
            np.testing.assert_array_equal(table.measures[name], values)


def test_loader_forms(small_zoo):
    zoo = hd.load_reference_zoo(path=small_zoo.table)
    assert zoo.data.shape == (len(zoo.target), len(zoo.feature_names))
    assert set(zoo.groups) == {"iris", "wine", "crx"}
    assert "12 networks" in zoo.DESCR
    X, y = hd.load_reference_zoo(return_X_y=True, path=small_zoo.table)
    np.testing.assert_array_equal(X, zoo.data)
    np.testing.assert_array_equal(y, zoo.target)
    X, y = hd.load_reference_zoo(return_X_y=True, as_frame=True, path=small_zoo.table)
    assert list(X.columns) == zoo.feature_names
    assert y.name == "diagnosis"
    frame = hd.load_reference_zoo(as_frame=True, path=small_zoo.table).frame
    assert frame.shape == (12, len(zoo.feature_names) + 1)


def test_no_feature_knows_the_test_set(small_zoo):
    names = hd.load_reference_zoo(path=small_zoo.table).feature_names
    measured = ("test", "valid", *(name for name in COLUMNS if name.startswith("gain")))
    assert len(measured) == 9
    assert not [n for n in names if any(word in n for word in measured)]
    # Kept to measure what gains leave to be told; no row of the evaluation takes it.
    assert [name for name in COLUMNS if name.startswith("test")] == ["test_loss"]


needs_reference = pytest.mark.skipif(
    not REFERENCE_PATH.is_file(), reason="the reference table is not built yet"
)


@needs_reference
def test_shipped_table(reference_zoo):
    zoo = reference_zoo
    assert len(zoo.target) >= 400
    assert len(set(zoo.groups)) >= 12
    assert "texture" not in set(zoo.groups)
    assert zoo.target_names == ["overfitting", "underparameterized", "well-fit"]
    assert not np.isinf(zoo.data).any()
    assert len(set(zoo.columns["config"].tolist())) == len(zoo.target)


@pytest.fixture(scope="module")
def shipped():
    """The shipped diagnoser, and the seconds that it took to be ready."""
    start = time.process_time()  # of this process alone, whatever else runs
    diagnoser = hd.load_reference_diagnoser()
    return diagnoser, time.process_time() - start


@pytest.mark.slow
@needs_reference
def test_shipped_diagnoser(shipped, reference_diagnoser, nine_cases):
    diagnoser, seconds = shipped
    assert seconds < 15
    cases, _ = nine_cases
    assert set(diagnoser.predict(cases)) <= set(diagnoser.classes_)
    again = reference_diagnoser.predict_proba(cases)
    np.testing.assert_array_equal(diagnoser.predict_proba(cases), again)


@pytest.mark.slow
@needs_reference
def test_shipped_diagnoser_without_some_data_sets(reference_diagnoser, reference_zoo):
    zoo = reference_zoo
    kept = ~np.isin(zoo.groups, ["wine", "parity"])
    tables = [table for table, keep in zip(zoo.tables, kept, strict=True) if keep]
    known = {name: values[kept] for name, values in zoo.columns.items()}
    expected = hd.FitDiagnoser(spectra=REFERENCE_SPECTRA).fit(
        tables, zoo.target[kept], gains=known, groups=zoo.groups[kept]
    )
    asked = [table for table, keep in zip(zoo.tables, kept, strict=True) if not keep]
    without = hd.load_reference_diagnoser(without=["wine", "parity"]).predict_proba(asked)
    np.testing.assert_array_equal(without, expected.predict_proba(asked))
    everything = reference_diagnoser.predict_proba(asked)
    assert np.abs(without - everything).max() > 0.01


@needs_reference
def test_one_name_needs_no_list(reference_zoo, monkeypatch):
    zoo = reference_zoo
    learned_from = []

    def fit(self, X, y, gains=None, groups=None):
        learned_from.append(groups)

    monkeypatch.setattr(hd.FitDiagnoser, "fit", fit)
    hd.load_reference_diagnoser("wine")
    hd.load_reference_diagnoser(without=("wine",))
    np.testing.assert_array_equal(*learned_from)
    np.testing.assert_array_equal(learned_from[0], zoo.groups[zoo.groups != "wine"])


@needs_reference
@pytest.mark.parametrize(
    ("without", "message"),
    [(["wine", "vine"], r"found \['vine'\]"), ("everything", "leaves no network")],
)
def test_what_cannot_be_left_out_is_said(without, message, reference_zoo):
    if without == "everything":
        without = set(reference_zoo.groups.tolist())
    with pytest.raises(ValueError, match=message):
        hd.load_reference_diagnoser(without=without)
