"""From what workers saved to tables; and that a diagnosis can be made without a data set."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from hessdiag.study import Experiment, StudyDesign, correlate
from hessdiag.study import _gather as gather
from hessdiag.study._design import DATA_SETS
from hessdiag.study.tables import REGIMES, StudyTables
from hessdiag.zoo import read_reference

NAMES = ("satimage", "vehicle", "wisconsin")
STEPS = (0, 8, 16)
PLACES = ("first", "middle", "last", "network")
BLOWN_UP = "vehicle-lavish"
DESIGN = StudyDesign(n_steps=16)
CLASSES = ("overfitting", "underparameterized", "well-fit")


def measured(experiment, step, index, place):
    """Made-up rows of a run; one has blown up before its end."""
    row = {"layer": f"net.{place}", "place": place, "exact": place != "first"}
    size = 1.0 + REGIMES.index(experiment.regime) + 0.1 * index
    row |= {"train_loss": 1 / (1 + step) / size, "train_error": 0.5, "held_out_error": 0.6}
    # Held-out loss is lowest in the middle of training.
    row |= {"held_out_loss": size + abs(step - 8), "gradient_norm": 0.2, "trace": step * size}
    row |= {"sharpness": 0.1 if place == "network" else None, "never_known": None}
    if experiment.name == BLOWN_UP and step == 16:
        row = dict.fromkeys(row) | {k: row[k] for k in ("layer", "place")}
    return {"step": step, "share": step / 16} | row


@pytest.fixture(scope="module")
def reference():
    return read_reference()


@pytest.fixture(scope="module")
def work(reference):
    """Experiments, what workers saved of them, and the measures of their networks."""
    experiments, results, tables = [], [], []
    for index, name in enumerate(NAMES):
        for regime in REGIMES:
            recipe = DESIGN.recipe(name, width=4 * (1 + REGIMES.index(regime)))
            contrast = 0.01 if (regime == "sound") != (name == "wisconsin") else 0.3
            experiment = Experiment(name, regime, recipe, contrast)
            table = dataclasses.replace(reference[0][7 * len(tables)], name=str(len(tables)))
            tables.append(table)
            pair = {"layer_a": "a", "layer_b": "b", "distance": 1, "coupling": 0.5, "phi": None}
            results.append(
                {
                    "kind": "regression" if name == "vehicle" else "classification",
                    "form": "tabular",
                    "n_train": 300,
                    "n_features": 9,
                    "n_outputs": 2,
                    "n_params": 77 + index,
                    "null_loss": 1.5,
                    "evolution": [
                        measured(experiment, step, index, place)
                        for step in STEPS
                        for place in PLACES
                    ],
                    "coupling": [{"step": step, "share": step / 16} | pair for step in STEPS],
                    "reference_table": None if experiment.name == BLOWN_UP else table.to_json(),
                }
            )
            experiments.append(experiment)
    # As they come back from disk.
    return experiments, json.loads(json.dumps(results)), tables


class SpiedDiagnoser:
    """Stands in for the diagnoser: its answer tells what it was fitted on."""

    fits = ()
    classes_ = np.array(CLASSES)

    def __init__(self, spectra):
        self.spectra = spectra

    def fit(self, tables, target, gains, groups):
        assert len(tables) == len(target) == len(groups)
        known = {id(table): index for index, table in enumerate(SpiedDiagnoser.reference[0])}
        rows = [known[id(table)] for table in tables]
        columns = SpiedDiagnoser.reference[1]
        np.testing.assert_array_equal(target, columns["diagnosis"][rows])
        np.testing.assert_array_equal(groups, columns["parent"][rows])
        for name in ("gain_widening", "se_widening", "gain_constraining", "se_constraining"):
            np.testing.assert_array_equal(gains[name], columns[name][rows])
        self.left_out_ = sorted(set(columns["parent"]) - set(groups))
        assert len(rows) == (~np.isin(columns["parent"], self.left_out_)).sum()
        SpiedDiagnoser.fits += (tuple(self.left_out_),)
        return self

    def predict(self, tables):
        return np.array([f"{table.name} without {', '.join(self.left_out_)}" for table in tables])

    def predict_proba(self, tables):
        assert self.left_out_ == []
        return np.array([np.roll([0.6, 0.3, 0.1], int(table.name)) for table in tables])


@pytest.fixture(scope="module")
def experiments_table(work, reference):
    with pytest.MonkeyPatch.context() as patch:
        SpiedDiagnoser.reference, SpiedDiagnoser.fits = reference, ()
        patch.setattr("hessdiag.zoo._reference.read_reference", lambda: reference)
        patch.setattr("hessdiag.zoo._reference.FitDiagnoser", SpiedDiagnoser)
        yield gather.experiments_table(*work[:2])


def test_experiments(work, experiments_table):
    experiments, results, _ = work
    assert len(experiments_table) == 9
    for row, experiment, found in zip(
        experiments_table.to_dict("records"), experiments, results, strict=True
    ):
        recipe = experiment.recipe
        assert row["experiment"] == f"{row['dataset']}-{row['regime']}" == experiment.name
        assert (row["task"], row["recipe"]) == (DATA_SETS[row["dataset"]], recipe.id)
        for name in ("family", "activation", "width", "weight_decay", "n_steps", "seed"):
            assert row[name] == getattr(recipe, name)
        for name in ("kind", "form", "n_train", "n_outputs", "n_params", "null_loss"):
            assert row[name] == found[name]
        size = 1.0 + REGIMES.index(row["regime"]) + 0.1 * NAMES.index(row["dataset"])
        assert (row["best_step"], row["best_held_out_loss"]) == (8, pytest.approx(size))
        assert row["regime_sure"] == (row["dataset"] != "wisconsin")
        if experiment.name == BLOWN_UP:
            names = ("train_loss", "train_error", "held_out_loss", "held_out_error", "gap")
            assert np.isnan([row[name] for name in names]).all()
        else:
            assert row["held_out_loss"] == pytest.approx(size + 8)
            assert row["train_loss"] == pytest.approx(1 / 17 / size)
            assert row["gap"] == pytest.approx(size + 8 - 1 / 17 / size)


def test_diagnoses_with_and_without_the_data_set(work, experiments_table):
    assert SpiedDiagnoser.fits == ((), *((name,) for name in NAMES))
    for index, row in enumerate(experiments_table.to_dict("records")):
        probabilities = [row["p_" + name.replace("-", "_")] for name in CLASSES]
        if row["experiment"] == BLOWN_UP:
            # What blew up is not diagnosed.
            assert pd.isna([row["diagnosis"], row["diagnosis_unseen"], *probabilities]).all()
            continue
        expected = np.roll([0.6, 0.3, 0.1], index)
        np.testing.assert_array_equal(probabilities, expected)
        assert row["diagnosis"] == CLASSES[expected.argmax()]
        assert row["diagnosis_unseen"] == f"{index} without {row['dataset']}"


@pytest.mark.parametrize("name", ["evolution", "coupling"])
def test_rows_of_runs(work, name):
    experiments, results, _ = work
    frame = getattr(gather, f"{name}_table")(experiments, results)
    expected = [
        {"experiment": e.name, "dataset": e.dataset, "regime": e.regime} | row
        for e, found in zip(experiments, results, strict=True)
        for row in found[name]
    ]
    assert len(frame) == len(expected) == 9 * 3 * (4 if name == "evolution" else 1)
    for row, other in zip(frame.to_dict("records"), expected, strict=True):
        assert list(row) == list(other)
        if other.get("gradient_norm") is not None and other["place"] != "network":
            # In null losses, like that of the whole net.
            other["gradient_norm"] /= 1.5
        for key, value in other.items():
            assert pd.isna(row[key]) if value is None else row[key] == value, key
    words = {"experiment", "dataset", "regime", "layer", "place", "exact", "layer_a", "layer_b"}
    numbers = frame.drop(columns=words & set(frame))
    # Missing numbers, even where there are no others, are not words.
    assert {dtype.kind for dtype in numbers.dtypes} <= {"f", "i"}


def test_tables_with_a_run_that_blew_up_can_be_used_and_kept(work, experiments_table, tmp_path):
    experiments, results, _ = work
    evolution = gather.evolution_table(experiments, results)
    coupling = gather.coupling_table(experiments, results)
    found = correlate(experiments_table, evolution)
    rows = found[(found["measure"] == "gradient_norm") & (found["time"] == 1.0)]
    assert (rows["n_data_sets"] == 2).all()
    nothing = pd.DataFrame({"nothing": []})
    tables = StudyTables(
        experiments=experiments_table,
        evolution=evolution,
        regularities=nothing,
        correlations=found,
        coupling=coupling,
        students=nothing,
        expressivity=nothing,
        claims=nothing,
        about={"quick": True},
    )
    tables.save(tmp_path)
    back = StudyTables.load(tmp_path)
    for name in ("experiments", "evolution", "correlations", "coupling"):
        was, now = getattr(tables, name), getattr(back, name)
        assert list(was) == list(now)
        for column in was:
            missing = was[column].isna()
            assert (missing == now[column].isna()).all()
            if was[column].dtype.kind == "f":
                np.testing.assert_allclose(was[column], now[column], rtol=1e-5)
            else:
                assert (was[column][~missing] == now[column][~missing]).all()
    # Packed or not, the last ones saved are those that are read, and the same bytes each time.
    newer = dataclasses.replace(tables, experiments=experiments_table.iloc[:2])
    packed = newer.save(tmp_path, compress=True)
    assert len(StudyTables.load(tmp_path).experiments) == 2
    content = [path.read_bytes() for path in packed]
    assert [path.read_bytes() for path in newer.save(tmp_path, compress=True)] == content
    tables.save(tmp_path)
    assert len(StudyTables.load(tmp_path).experiments) == 9


def test_students():
    recipes = StudyDesign.quick().students()
    widths = [int(recipe.dataset.split("-")[1]) for recipe in recipes]
    results = [
        {
            "teacher_width": width,
            "null_loss": 0.5,
            "rows": [
                {"place": p, "trace": 1.5 * i, "gradient_norm": 2.0} for p in ("last", "network")
            ],
        }
        for i, width in enumerate(widths)
    ]
    frame = gather.students_table(recipes, results)
    assert len(frame) == 2 * len(recipes)
    for index, row in enumerate(frame.to_dict("records")):
        recipe, width = recipes[index // 2], widths[index // 2]
        assert row == {
            "teacher": recipe.dataset,
            "teacher_width": width,
            "width": recipe.width,
            "ratio": recipe.width / width,
            "seed": recipe.seed,
            "place": ("last", "network")[index % 2],
            "trace": 1.5 * (index // 2),
            "gradient_norm": (4.0, 2.0)[index % 2],
        }
