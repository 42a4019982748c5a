"""The demo does what the recommendation says, whatever that is; no network is trained here."""

from types import SimpleNamespace

import pytest

import hessdiag.demo as demo
from hessdiag.diagnosis import Recommendation

BIG = "too big, noisy labels"


@pytest.fixture
def trained(monkeypatch):
    """Recipes that were asked to be trained; the held-out loss is always 0.5."""
    recipes = []

    def train(recipe):
        recipes.append(recipe)
        return None, SimpleNamespace(test_losses=[1.0, 0.5])

    monkeypatch.setattr(demo, "train_recipe", train)
    return recipes


@pytest.mark.parametrize(
    ("name", "action", "change", "words", "field", "value"),
    [
        ("too small", "widen", {"width_factor": 4}, "width 2 -> 8", "width", 8),
        (BIG, "constrain", {"width_factor": 0.25}, "width 256 -> 64", "width", 64),
        (BIG, "constrain", {"stop_earlier": True}, "steps 1500 -> 300", "n_steps", 300),
        (
            BIG,
            "constrain",
            {"weight_decay": "increase"},
            "weight decay 0 -> 1",
            "weight_decay",
            1.0,
        ),
    ],
)
def test_does_what_is_recommended(trained, name, action, change, words, field, value):
    advice = Recommendation(action, ("hidden",), "In words.", change)
    done = demo._treat(SimpleNamespace(name=name, recommendation=advice), 2.0)
    assert done == demo.Treatment(name, action, words, 2.0, 0.5)
    (recipe,) = trained
    assert getattr(recipe, field) == value
    before = demo.DEMO_RECIPES[name]
    assert {f for f in vars(before) if getattr(before, f) != getattr(recipe, f)} == {field}


@pytest.mark.parametrize(
    ("name", "action", "change"),
    [("sound", "keep", {}), ("too small", "constrain", {"width_factor": 0.25})],
)
def test_nothing_is_trained_where_nothing_can_be_changed(trained, name, action, change):
    advice = Recommendation(action, (), "In words.", change)
    assert demo._treat(SimpleNamespace(name=name, recommendation=advice), 2.0) is None
    assert trained == []
