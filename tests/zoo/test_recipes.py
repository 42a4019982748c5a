"""A recipe's id follows from what it says, and stays when fields are added."""

from dataclasses import fields, replace

import pytest

from hessdiag.zoo import Recipe

PLAIN = Recipe("iris", 100, 0.1, "mlp", 2, "relu", 8, 0.1)
OTHER = Recipe("wine", 300, 0.0, "mlp", 1, "gelu", 216, 0.0, 0.01, 300, 16, 1, 2)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (PLAIN, "56a6ffc3d9828252"),
        # This one was given its id when recipes had neither optimizer nor normalization.
        (OTHER, "2db97606b788bb4f"),
        (replace(PLAIN, optimizer="adamw", seed=0, n_steps=1000), "56a6ffc3d9828252"),
    ],
)
def test_id_is_the_hash_of_canonical_json(recipe, expected):
    # By hand: BLAKE2b with 8 bytes of
    # {"activation":"relu","dataset":"iris","depth":2,"family":"mlp","label_noise":0.1,
    #  "n_train":100,"weight_decay":0.1,"width":8}   without spaces and line breaks.
    assert recipe.id == expected


def test_every_field_counts():
    other = {"dataset": "wine", "family": "cnn1d", "activation": "tanh"}
    other |= {"optimizer": "sgd", "normalization": "batch"}
    other |= {"schedule": "cosine", "augmentation": "jitter", "pretraining": "tuned"}
    for field in fields(Recipe):
        value = other.get(field.name) or getattr(PLAIN, field.name) + 1
        changed = replace(PLAIN, **{field.name: value})
        assert changed.id != PLAIN.id
        assert (changed.grid == PLAIN.grid) == (field.name in ("width", "weight_decay", "seed"))
        assert (changed.config == PLAIN.config) == (field.name == "seed")
