"""A recipe determines its id and its network; the layout is what labels need."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from hessdiag.zoo import DEMO_DATASET, Recipe, make_recipes, train_recipe

PLAIN = Recipe("iris", 100, 0.1, "mlp", 2, "relu", 8, 0.1)
OTHER = Recipe("wine", 300, 0.0, "mlp", 1, "gelu", 216, 0.0, 0.01, 300, 16, 1, 2)


@pytest.mark.parametrize(
    ("recipe", "expected"), [(PLAIN, "4f8443e919c54a51"), (OTHER, "2db97606b788bb4f")]
)
def test_id_is_the_hash_of_canonical_json(recipe, expected):
    # By hand: BLAKE2b with 8 bytes of
    # {"activation":"relu","batch_size":32,"dataset":"iris","depth":2,"family":"mlp",
    #  "label_noise":0.1,"learning_rate":0.003,"n_steps":1000,"n_train":100,"seed":0,
    #  "split_seed":0,"weight_decay":0.1,"width":8}   without spaces and line breaks.
    assert recipe.id == expected


def test_every_field_counts():
    other = {"dataset": "wine", "family": "cnn", "activation": "tanh"}
    for field in fields(Recipe):
        value = other.get(field.name, getattr(PLAIN, field.name) or 0)
        changed = replace(PLAIN, **{field.name: value if field.name in other else value + 1})
        assert changed.id != PLAIN.id
        assert (changed.group == PLAIN.group) == (field.name in ("width", "weight_decay", "seed"))
        assert (changed.config == PLAIN.config) == (field.name == "seed")


def test_layout_crosses_widths_decays_and_seeds():
    recipes = make_recipes(["iris", "wine"], n_groups=2, n_seeds=2)
    assert len({recipe.id for recipe in recipes}) == len(recipes)
    groups = {}
    for recipe in recipes:
        groups.setdefault(recipe.group, []).append(recipe)
    assert len(groups) == 4
    for members in groups.values():
        cells = {(r.width, r.weight_decay, r.seed) for r in members}
        widths, decays, seeds = (sorted({cell[i] for cell in cells}) for i in range(3))
        assert len(cells) == len(members) == len(widths) * len(decays) * len(seeds)
        assert seeds == [0, 1]
    assert [r.dataset for r in recipes[:: len(recipes) // 4]] == ["iris", "wine"] * 2


def test_more_groups_and_more_sets_keep_the_earlier_ones():
    ids = {recipe.id for recipe in make_recipes(["iris"], n_groups=1)}
    assert ids < {recipe.id for recipe in make_recipes(["iris"], n_groups=3)}
    assert ids < {recipe.id for recipe in make_recipes(["wine", "iris"], n_groups=1)}
    assert not ids & {recipe.id for recipe in make_recipes(["iris"], 1, random_state=1)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"datasets": [DEMO_DATASET]}, "kept aside"),
        ({"datasets": ["iris"], "n_seeds": 1}, "n_seeds"),
        ({"datasets": ["iris"], "n_groups": 0}, "n_groups"),
    ],
)
def test_bad_layouts(arguments, words):
    with pytest.raises(ValueError, match=words):
        make_recipes(**arguments)


def test_demo_set_is_in_no_default_recipe():
    assert DEMO_DATASET not in {recipe.dataset for recipe in make_recipes(n_groups=1)}


def test_same_recipe_same_network(small_recipes):
    recipe = small_recipes[0]
    state = torch.get_rng_state()
    first, record = train_recipe(recipe)
    torch.rand(3)
    np.random.default_rng().random()
    second, again = train_recipe(recipe)
    assert record == again
    for left, right in zip(first.module_.parameters(), second.module_.parameters(), strict=True):
        assert torch.equal(left, right)
    torch.set_rng_state(state)
    train_recipe(recipe)
    assert torch.equal(state, torch.get_rng_state())


def test_record_is_what_the_network_does(small_recipes):
    from hessdiag.zoo._training import recipe_split

    recipe = small_recipes[-1]
    net, record = train_recipe(recipe)
    split = recipe_split(recipe)
    for part, loss, error in [
        ("train", record.train_loss, record.train_error),
        ("valid", record.valid_loss, record.valid_error),
        ("test", record.test_losses[-1], record.test_error),
    ]:
        X, y = getattr(split, f"X_{part}"), getattr(split, f"y_{part}")
        logits = net.module_(torch.as_tensor(X)).detach().double().numpy()
        log_sum = np.log(np.exp(logits).sum(axis=1))
        expected = (log_sum - logits[np.arange(len(y)), y]).mean()
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
        np.testing.assert_allclose(error, (logits.argmax(axis=1) != y).mean())
    np.testing.assert_allclose(record.null_loss, np.log(split.n_classes))
    assert len(record.test_losses) == 7
