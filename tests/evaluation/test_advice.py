"""Advice is given by those who never met the data set, followed to the letter, counted honestly."""

import json

import numpy as np
import pytest

from hessdiag.diagnosis import FitDiagnoser
from hessdiag.evaluation import _advice as advice
from hessdiag.evaluation import format_advice, try_advice
from hessdiag.labels import WELL_FIT
from hessdiag.zoo import Recipe, change_recipe, load_reference_zoo, train_recipe

MLP = Recipe("iris", 100, 0.1, "mlp", 2, "relu", 8, 0.1)


@pytest.mark.parametrize(
    ("fields", "change", "expected"),
    [
        ({}, {"width_factor": 4}, {"width": 32}),
        ({}, {"width_factor": 0.25}, {"width": 2}),
        ({"width": 2}, {"width_factor": 0.25}, None),
        ({"width": 1, "family": "cnn1d"}, {"width_factor": 0.25}, None),
        ({}, {"weight_decay": "increase"}, {"weight_decay": 1.0}),
        ({"weight_decay": 0.0}, {"weight_decay": "increase"}, {"weight_decay": 1.0}),
        ({"weight_decay": 1.0}, {"weight_decay": "increase"}, None),
        (
            {"weight_decay": 0.0, "optimizer": "sgd"},
            {"weight_decay": "increase"},
            {"weight_decay": 1e-2},
        ),
        ({}, {"stop_earlier": True}, {"n_steps": 200}),
    ],
)
def test_changes(fields, change, expected):
    recipe = Recipe(**{**MLP.__dict__, **fields})
    changed = change_recipe(recipe, change)
    if expected is None:
        assert changed is None
    else:
        assert changed == Recipe(**{**recipe.__dict__, **expected})


def test_constraint_that_is_used_up_gives_way_to_the_next():
    strongest = Recipe(**{**MLP.__dict__, "weight_decay": 1.0})
    assert advice._first_possible(MLP, ()) == {"weight_decay": "increase"}
    assert advice._first_possible(strongest, ({"weight_decay": "increase"},)) == {
        "stop_earlier": True
    }
    assert advice._first_possible(strongest, ({"width_factor": 0.25},)) == {"width_factor": 0.25}


@pytest.fixture(scope="module")
def zoo(small_zoo):
    return load_reference_zoo(path=small_zoo.table)


@pytest.mark.slow
def test_only_strangers_are_asked(zoo, monkeypatch):
    parent_of = dict(zip(zoo.columns["id"].tolist(), zoo.groups.tolist(), strict=True))

    class Stranger(FitDiagnoser):
        """Insists on data sets that it has never met."""

        def fit(self, X, y, gains=None, groups=None):
            self.met_ = set(groups.tolist())
            return super().fit(X, y, gains=gains, groups=groups)

        def diagnose_tables(self, tables):
            assert not {parent_of[table.name] for table in tables} & self.met_
            return super().diagnose_tables(tables)

    monkeypatch.setattr(advice, "FitDiagnoser", Stranger)
    chosen, answered = advice.choose_advised(zoo, n_networks=12, min_confidence=0.0)
    assert answered == 1
    parents = [network.parent for network in chosen]
    assert max(map(parents.count, parents)) <= advice.MAX_PER_DATASET
    assert len({network.recipe.id for network in chosen}) == len(chosen)
    for network in chosen:
        assert network.diagnosis != WELL_FIT
        assert parent_of[network.recipe.id] == network.parent
        widened = network.advised.get("width_factor", 0) > 1
        assert widened == (network.diagnosis == "underparameterized")
        assert widened != (network.opposite.get("width_factor", 0) > 1)
    surer, answered = advice.choose_advised(zoo, n_networks=12, min_confidence=0.5)
    assert 0 < answered <= 1
    assert all(network.confidence >= network.floor == 0.5 for network in surer)
    with pytest.raises(ValueError, match="Lower the confidence"):
        advice.choose_advised(zoo, min_confidence=1.1)


@pytest.mark.slow
def test_trials_are_what_training_gives_and_resume(zoo, tmp_path, monkeypatch):
    arguments = {"n_networks": 3, "n_seeds": 2, "min_confidence": 0.0}
    arguments |= {"n_jobs": 1, "progress": False}
    result = try_advice(zoo, tmp_path, **arguments)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    chosen, answered = advice.choose_advised(zoo, 3, min_confidence=0.0)
    chosen = {network.recipe.id: network for network in chosen}
    assert result["answered"] == answered == 1
    first = result["networks"][0]
    network = chosen[first["id"]]

    def loss(recipe):
        seeds = [Recipe(**{**recipe.__dict__, "seed": seed}) for seed in (1000, 1001)]
        return np.mean([train_recipe(each)[1].test_losses[-1] for each in seeds])

    null_loss = train_recipe(network.recipe)[1].null_loss
    before = loss(network.recipe)
    assert first["before"] == pytest.approx(before / null_loss)
    for kind, change in (("advised", network.advised), ("opposite", network.opposite)):
        after = loss(change_recipe(network.recipe, change))
        assert first[f"fall_{kind}"] == pytest.approx((before - after) / null_loss)
        falls = [row[f"fall_{kind}"] for row in result["networks"]]
        figures = result["advice"][kind]
        assert figures["lowered"] == np.mean(np.array(falls) > 0)
        assert figures["lowered_by_delta"] == np.mean(np.array(falls) >= 0.05)
        assert figures["mean_fall"] == pytest.approx(np.mean(falls))
        low, high = figures["interval"]
        assert min(falls) - 1e-12 <= low <= figures["mean_fall"] + 1e-12
        assert figures["mean_fall"] - 1e-12 <= high <= max(falls) + 1e-12
        assert sum(own["n"] for own in figures["by_action"].values()) == 3
    text = format_advice(result)
    for words in ("3 networks", "advised", "opposite", "random"):
        assert words in text

    monkeypatch.setattr("hessdiag.zoo._builder.train_recipe", None)  # nothing is left to train
    assert try_advice(zoo, tmp_path, **arguments) == result


def test_diverged_networks_count_as_failures():
    figures = advice._figures(np.array([0.2, -np.inf]), np.array(["a", "b"]), 0.05, 0)
    assert figures["lowered"] == 0.5
    assert figures["n_diverged"] == 1
    assert figures["mean_fall"] == pytest.approx(0.2)
    assert figures["interval"] == [pytest.approx(0.2)] * 2
    nothing = advice._figures(np.array([-np.inf]), np.array(["a"]), 0.05, 0)
    assert nothing["mean_fall"] is None
    assert "all diverged" in advice._line("advised", nothing)
