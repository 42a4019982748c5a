"""Every family learns from each form it takes, and is examined as dense autograd would."""

import math

import numpy as np
import pytest
import torch
from dense_oracle import dense_hessians

import hessdiag as hd
from hessdiag.zoo import Recipe, Split, loss_and_error, make_net
from hessdiag.zoo.networks import FAMILIES, FORMS_OF_FAMILIES, SHAPED_FAMILIES

SHAPES = {"tabular": None, "series": (2, 9), "image": (1, 6, 6), "tokens": (5, 8)}
TAKEN = [(family, form) for family, forms in FORMS_OF_FAMILIES.items() for form in forms]


def small_split(form):
    rng = np.random.default_rng(0)
    shape = SHAPES[form]
    y = np.arange(24) % 3
    if form == "tokens":
        X = rng.integers(0, shape[0], (24, shape[1]))
        X[np.arange(24), y] = 4  # a class is where the last symbol first is
    else:
        X = rng.normal(size=(24, 9 if shape is None else math.prod(shape)))
        X[np.arange(24), y] += 4.0
    X = X.astype(np.float32)
    return Split(X, y, X, y, X, y, n_classes=3, kind="classification", form=form, shape=shape)


def train(family, form):
    gated = family in ("gru", "lstm")
    recipe = Recipe(
        dataset="small",
        n_train=24,
        label_noise=0.0,
        family=family,
        depth=1,
        activation="tanh" if gated else "gelu",
        width=4,
        weight_decay=0.0,
        learning_rate=0.02,
        n_steps=20,
        batch_size=12,
        normalization={"resnet": "batch", "cnn1d": "batch", "resnet1d": "batch"}.get(
            family, "none" if gated or family == "mlp" else "layer"
        ),
        dropout=0.1,
    )
    split = small_split(form)
    torch.manual_seed(0)
    net = make_net(recipe, split).initialize()
    before = loss_and_error(net, split.X_train, split.y_train)[0]
    net.partial_fit(split.X_train, split.y_train)
    after = loss_and_error(net, split.X_train, split.y_train)[0]
    return net, split, before, after


def test_the_table_is_whole():
    assert list(FORMS_OF_FAMILIES) == list(FAMILIES)
    assert {family for family, form in TAKEN if form != "tabular"} - {"mlp", "residual_mlp"} == set(
        SHAPED_FAMILIES
    )


@pytest.mark.parametrize(("family", "form"), TAKEN)
def test_learns_and_is_examined_exactly(family, form):
    net, split, before, after = train(family, form)
    assert after < before
    found = hd.examine(net, split.X_train, split.y_train)
    assert "statistics_missing" not in found.context
    expected = dense_hessians(net, split.X_train, split.y_train)
    assert {layer.name for layer in found.layers} == set(expected)
    for layer in found.layers:
        values = np.linalg.eigvalsh(expected[layer.name])
        assert layer.spectrum.exact
        np.testing.assert_allclose(
            layer.spectrum.eigenvalues(), values, atol=1e-7 * np.abs(values).max()
        )
