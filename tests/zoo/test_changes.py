"""Changes do to a recipe what they say."""

from dataclasses import replace

import pytest

from hessdiag.zoo import Recipe, change_recipe
from hessdiag.zoo._layout import narrowest_width
from hessdiag.zoo.networks import FAMILIES

PLAIN = Recipe("iris", 100, 0.1, "mlp", 2, "relu", 8, 0.1, n_steps=300)


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"train_longer": 4}, {"n_steps": 1200}),
        ({"stop_earlier": True}, {"n_steps": 60}),
        ({"weight_decay": "more"}, {"weight_decay": 1.0}),
        ({"width_factor": 4}, {"width": 32}),
        ({"width_factor": 0.25}, {"width": 2}),
    ],
)
def test_one_field_is_changed(change, fields):
    assert change_recipe(PLAIN, change) == replace(PLAIN, **fields)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_narrower_than_the_narrowest(family):
    least = narrowest_width(family)
    wide = replace(PLAIN, family=family, width=least + 1)
    assert change_recipe(wide, {"width_factor": 0.25}).width == least
    assert change_recipe(replace(wide, width=least), {"width_factor": 0.25}) is None
