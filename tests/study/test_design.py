"""The design: data sets, checkpoints and recipes, as the study announces them."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from hessdiag.study import StudyDesign
from hessdiag.study._design import ACTIVATIONS, DATA_SETS, QUICK_DATA_SETS, TEACHERS
from hessdiag.zoo import list_datasets, load_dataset

DESIGN = StudyDesign()


@pytest.fixture(scope="module")
def tasks():
    return {name: load_dataset(task) for name, task in DATA_SETS.items()}


def test_the_37_largest_real_data_sets_once_each(tasks):
    assert len(DATA_SETS) == len(DESIGN.data_sets) == 37
    assert list(DATA_SETS) == sorted(DATA_SETS)
    assert {name: task.parent for name, task in tasks.items()} == {n: n for n in DATA_SETS}
    real = {name: len(load_dataset(name).frame) for name in list_datasets(recipes="plain")}
    largest = sorted(real, key=real.get, reverse=True)[:37]
    assert set(largest) == set(DATA_SETS)


def test_all_kinds_and_forms_are_met(tasks):
    for these in (tasks, {name: tasks[name] for name in QUICK_DATA_SETS}):
        assert {task.kind for task in these.values()} == {"classification", "regression"}
    assert {task.form for task in tasks.values()} == {"tabular", "series", "image"}
    activations = Counter(DESIGN.recipe(name).activation for name in DATA_SETS)
    assert set(activations) == set(ACTIVATIONS)
    assert max(activations.values()) - min(activations.values()) <= 1


@pytest.mark.parametrize("n_steps", [256, 1000, 1024, 2048])
def test_checkpoints_are_even_in_log_steps(n_steps):
    steps = replace(DESIGN, n_steps=n_steps).checkpoints
    assert steps[:3] == (0, 1, 2)
    assert steps[-1] == n_steps
    assert list(steps) == sorted(set(steps))
    late = np.array([step for step in steps if step >= 32])
    np.testing.assert_allclose(np.diff(np.log2(late)), 0.5, atol=0.03)
    if n_steps >= 1000:
        assert len(steps) >= 20


def test_recipes_suit_their_data(tasks):
    for name, task in tasks.items():
        recipe = DESIGN.recipe(name)
        assert recipe.dataset == task.name
        assert recipe.family == {"tabular": "mlp", "series": "cnn1d", "image": "cnn2d"}[task.form]
        assert recipe.label_noise == {"classification": 0.1, "regression": 0.25}[task.kind]
        assert (recipe.depth, recipe.optimizer, recipe.n_steps) == (2, "sgd", 1024)


def test_the_pilot_tries_every_combination_once_and_never_seed_0():
    for name in ("banana", "optdigits"):
        pilot = DESIGN.pilot(name)
        widths = DESIGN.widths(DATA_SETS[name])
        assert 0.0 in DESIGN.weight_decays
        expected = {(w, d, s) for w in widths for d in DESIGN.weight_decays for s in (1, 2)}
        assert {(r.width, r.weight_decay, r.seed) for r in pilot} == expected
        assert len(pilot) == len(expected) == len({recipe.id for recipe in pilot})
        same = {replace(r, width=0, weight_decay=0.0, seed=0) for r in pilot}
        assert same == {DESIGN.recipe(name)}
    assert DESIGN.widths("banana") == DESIGN.mlp_widths != DESIGN.widths("optdigits")


def test_students_stand_at_the_ratios_asked_for():
    students = DESIGN.students()
    assert len({recipe.id for recipe in students}) == len(students)
    found = {}
    for recipe in students:
        needed = load_dataset(recipe.dataset).teacher_width
        assert recipe.dataset.split("-")[1:3] == [str(needed), recipe.activation]
        assert (recipe.depth, recipe.label_noise) == (1, 0.0)
        found.setdefault((recipe.dataset, needed), set()).add((recipe.width / needed, recipe.seed))
    assert {teacher for teacher, _ in found} == set(TEACHERS)
    assert sorted(needed for _, needed in found) == [2, 2, 4, 4, 8, 8, 16, 16]
    for (_, needed), pairs in found.items():
        ratios = [ratio for ratio in DESIGN.ratios if ratio * needed >= 1]
        assert pairs == {(ratio, seed) for ratio in ratios for seed in (0, 1)}


def test_quick_is_a_small_study_of_the_same_kind():
    quick = StudyDesign.quick()
    assert len(quick.data_sets) == 3
    assert {quick.recipe(name).family for name in quick.data_sets} >= {"mlp", "cnn2d"}
    for name in quick.data_sets:
        assert len(quick.widths(DATA_SETS[name])) >= 3
    assert len(quick.students()) < 10
    assert len(quick.teachers) >= 2
