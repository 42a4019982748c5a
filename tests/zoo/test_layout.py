"""The layout of a zoo is what labels need, and covers what it should."""

import hashlib
from collections import Counter
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from hessdiag.zoo import DEMO_DATASET, list_datasets, list_tasks, load_dataset, make_recipes
from hessdiag.zoo._layout import _draw_grid, choose_tasks
from hessdiag.zoo._practice import FAMILY_SHARES, REGIMES, WIDTHS, draw_practice_grid
from hessdiag.zoo.networks import FAMILIES


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
        ({"tasks": ["iris"], "recipes": "best"}, "plain, practice"),
        ({"tasks": ["iris", "camera", "basque"]}, "found camera, basque, .*recipes='practice'"),
    ],
)
def test_bad_layouts(arguments, words):
    with pytest.raises(ValueError, match=words):
        make_recipes(**arguments)


def test_default_covers_all_tasks_real_ones_first():
    recipes = make_recipes()
    order = list(dict.fromkeys(recipe.dataset for recipe in recipes))
    assert sorted(order) == list_tasks(recipes="plain")
    real = set(list_datasets(recipes="plain"))
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


def test_plain_recipes_are_what_they_were():
    ids = [recipe.id for recipe in make_recipes(["iris", "mnist1d", "shape-class"], n_grids=2)]
    digest = hashlib.blake2b("".join(ids).encode(), digest_size=8).hexdigest()
    # Taken before there were any others.
    assert (len(ids), digest) == (324, "117971589d5270d3")


def test_new_tasks_leave_all_recipes_of_the_old_ones_as_they_were():
    def digest(recipes):
        ids = [recipe.id for recipe in recipes]
        return len(ids), hashlib.blake2b("".join(ids).encode(), digest_size=8).hexdigest()

    # Taken before there were tasks of practice alone; their order depends on the other tasks.
    assert digest(make_recipes()) == (11232, "0f5b634936a39e71")
    old = make_recipes(list_tasks(recipes="plain"), recipes="practice")
    assert digest(sorted(old, key=lambda recipe: recipe.id)) == (4992, "e078b7153eb2b2cd")
    assert {recipe.id for recipe in old if load_dataset(recipe.dataset).form != "tabular"} < {
        recipe.id for recipe in make_recipes(recipes="practice")
    }


def test_practice_crosses_four_widths_with_two_decays():
    recipes = make_recipes(["digits", "mnist1d"], n_grids=2, recipes="practice")
    assert len({recipe.id for recipe in recipes}) == len(recipes) == 4 * 24
    for start in range(0, len(recipes), 24):
        members = recipes[start : start + 24]
        assert len({recipe.grid for recipe in members}) == 1
        cells = {(r.width, r.weight_decay, r.seed) for r in members}
        assert [len({cell[i] for cell in cells}) for i in range(3)] == [4, 2, 3]
    assert [r.dataset for r in recipes[::24]] == ["mnist1d", "digits"] * 2
    assert recipes[:24] == make_recipes(["mnist1d"], recipes="practice")


@pytest.mark.parametrize("form", ["tabular", "series", "image", "tokens"])
def test_practice_covers_what_people_train(form):
    if not set(FAMILY_SHARES[form]) & set(FAMILIES):
        pytest.skip(f"no family takes {form}")
    tasks = [
        SimpleNamespace(name=f"{i}", form=form, kind="classification", n_classes=3)
        for i in range(600)
    ]
    grids = [draw_practice_grid(task, 0, 0)[0] for task in tasks]
    assert {grid.family for grid in grids} == set(FAMILY_SHARES[form]) & set(FAMILIES)
    noisy = [grid for grid in grids if grid.n_steps >= 1000]
    assert 0.28 < len(noisy) / len(grids) < 0.42
    for grid in noisy:
        assert 100 <= grid.n_train <= 300
        assert 0.25 <= grid.label_noise <= 0.5
        assert (grid.dropout, grid.augmentation) == (0, "none")
    short = [grid for grid in grids if grid.n_steps <= 60]
    assert 0.12 < len(short) / len(grids) < 0.28
    assert 0.3 < sum(grid.schedule == "cosine" for grid in grids) / len(grids) < 0.7
    for field in ("optimizer", "schedule"):
        assert len({getattr(grid, field) for grid in grids}) == 2
    assert any(grid.augmentation != "none" for grid in grids)
    assert any(grid.dropout > 0 for grid in grids)
    assert len({grid.pretraining for grid in grids}) == (1 if form == "tokens" else 3)


def test_half_of_the_labels_of_two_classes_are_never_flipped():
    tasks = [
        SimpleNamespace(name=f"{i}", form="series", kind="classification", n_classes=2)
        for i in range(100)
    ]
    assert max(draw_practice_grid(task, 0, 0)[0].label_noise for task in tasks) == 0.35


def test_practice_takes_few_tables():
    recipes = make_recipes(recipes="practice")
    forms = Counter(load_dataset(recipe.dataset).form for recipe in recipes[::24])
    assert 0 < forms["tabular"] < forms["series"] + forms["image"] + forms["tokens"]
    # A build that stops after a third has seen all forms.
    third = [load_dataset(recipe.dataset).form for recipe in recipes[: len(recipes) // 3 : 24]]
    assert set(third) == set(forms)


def test_all_families_of_practice_have_what_a_grid_needs():
    assert {name for shares in FAMILY_SHARES.values() for name in shares} == set(WIDTHS)
    assert all(len(widths) == 4 and list(widths) == sorted(widths) for widths in WIDTHS.values())
    assert sum(REGIMES.values()) == pytest.approx(1)
    for shares in FAMILY_SHARES.values():
        assert sum(shares.values()) == pytest.approx(1)


def test_choose_tasks():
    assert choose_tasks() is None
    assert choose_tasks(["wine", "iris"]) == ["wine", "iris"]
    children = choose_tasks(["wine"], ["wine", "iris"])
    assert children[0] == "wine"
    assert len(set(children)) == len(children) > 2
    assert {load_dataset(name).parent for name in children} == {"wine", "iris"}
    with pytest.raises(ValueError, match="no-such-set"):
        choose_tasks(None, ["no-such-set"])
    assert choose_tasks(None, ["splice"], "plain") == [
        name for name in choose_tasks(None, ["splice"]) if not name.startswith("splice-tokens")
    ]
    with pytest.raises(ValueError, match="camera"):
        choose_tasks(None, ["camera"], "plain")
