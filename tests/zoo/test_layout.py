"""The layout of a zoo is what labels need, and covers what it should."""

from collections import Counter
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from hessdiag.zoo import DEMO_DATASET, list_datasets, list_tasks, load_dataset, make_recipes
from hessdiag.zoo._layout import _draw_grid, choose_tasks


def test_layout_crosses_widths_decays_and_seeds():
    recipes = make_recipes(["iris", "wine"], n_grids=2, n_seeds=2)
    assert len({recipe.id for recipe in recipes}) == len(recipes)
    grids = {}
    for recipe in recipes:
        grids.setdefault(recipe.grid, []).append(recipe)
    assert len(grids) == 4
    for members in grids.values():
        cells = {(r.width, r.weight_decay, r.seed) for r in members}
        widths, decays, seeds = (sorted({cell[i] for cell in cells}) for i in range(3))
        assert len(cells) == len(members) == len(widths) * len(decays) * len(seeds)
        assert seeds == [0, 1]
    assert [r.dataset for r in recipes[:: len(recipes) // 4]] == ["iris", "wine"] * 2


def test_more_groups_and_more_sets_keep_the_earlier_ones():
    ids = {recipe.id for recipe in make_recipes(["iris"], n_grids=1)}
    assert ids < {recipe.id for recipe in make_recipes(["iris"], n_grids=3)}
    assert ids < {recipe.id for recipe in make_recipes(["wine", "iris"], n_grids=1)}
    assert not ids & {recipe.id for recipe in make_recipes(["iris"], 1, random_state=1)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tasks": [DEMO_DATASET]}, "kept aside"),
        ({"tasks": ["iris"], "n_seeds": 1}, "n_seeds"),
        ({"tasks": ["iris"], "n_grids": 0}, "n_grids"),
        ({"tasks": ["no-such-task"]}, "no-such-task"),
    ],
)
def test_bad_layouts(arguments, words):
    with pytest.raises(ValueError, match=words):
        make_recipes(**arguments)


def test_default_covers_all_tasks_real_ones_first():
    recipes = make_recipes()
    order = list(dict.fromkeys(recipe.dataset for recipe in recipes))
    assert sorted(order) == list_tasks()
    real = set(list_datasets())
    assert set(order[: len(real)]) == real
    parents = [load_dataset(name).parent for name in order]
    assert DEMO_DATASET not in parents
    ranks = [(name not in real) + (parent not in real) for name, parent in zip(order, parents)]
    assert ranks == sorted(ranks)
    for recipe in recipes:
        assert recipe.family != "cnn1d" or load_dataset(recipe.dataset).form == "series"
        assert recipe.family != "cnn2d" or load_dataset(recipe.dataset).form == "image"


@pytest.mark.parametrize("form", ["tabular", "series", "image"])
def test_shares(form):
    tasks = [SimpleNamespace(name=f"{i}", form=form, kind="classification") for i in range(1000)]
    grids = [_draw_grid(task, 0, 0) for task in tasks]
    families = Counter(grid.family for grid in grids)
    main = {"tabular": "mlp", "series": "cnn1d", "image": "cnn2d"}[form]
    assert 550 <= families[main] <= 700
    assert sum(grid.family == "attention" for grid in grids) > 50
    assert 760 <= sum(grid.dropout == 0 for grid in grids) <= 840
    assert 250 <= sum(grid.optimizer == "sgd" for grid in grids) <= 350
    others = [grid for grid in grids if grid.family != "attention"]
    assert 0.65 <= sum(grid.normalization == "none" for grid in others) / len(others) <= 0.75
    for grid in grids:
        assert grid.learning_rate in {"adamw": (3e-3, 1e-3), "sgd": (0.03, 0.1)}[grid.optimizer]
    # Fields are drawn apart from one another.
    both = sum(grid.dropout > 0 and grid.optimizer == "sgd" for grid in grids)
    assert 30 <= both <= 90


def test_draw_of_a_field_does_not_depend_on_the_others(monkeypatch):
    task = SimpleNamespace(name="iris", form="tabular", kind="classification")
    before = asdict(_draw_grid(task, 0, 0))
    monkeypatch.setattr("hessdiag.zoo._layout.LABEL_NOISE", {"classification": (0.5,)})
    after = asdict(_draw_grid(task, 0, 0))
    assert {name for name in before if before[name] != after[name]} == {"label_noise"}


def test_choose_tasks():
    assert choose_tasks() is None
    assert choose_tasks(["wine", "iris"]) == ["wine", "iris"]
    children = choose_tasks(["wine"], ["wine", "iris"])
    assert children[0] == "wine"
    assert len(set(children)) == len(children) > 2
    assert {load_dataset(name).parent for name in children} == {"wine", "iris"}
    with pytest.raises(ValueError, match="no-such-set"):
        choose_tasks(None, ["no-such-set"])
