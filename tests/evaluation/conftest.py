"""A zoo of random numbers with every column that the evaluation reads."""

from types import SimpleNamespace

import numpy as np
import pytest

from hessdiag.features import (
    CONTEXT_MEASURES,
    LAYER_MEASURES,
    NETWORK_MEASURES,
    LayerTable,
    SpectralFeatures,
)
from hessdiag.labels import DIAGNOSES

# Some of the rivals' columns, for speed.
RIVALS = [
    f"{family}__{place}__{name}"
    for family, name in (("weights", "weights_mean"), ("weightwatcher", "alpha"))
    for place in ("first", "last", "mean", "min", "max")
]


def make_columns(n_networks, n_parents, rng):
    """Columns of a reference table; real parents, generated ones and teachers in turn."""
    parent = np.arange(n_networks) % n_parents
    null_loss = np.full(n_networks, 1.1)
    form = np.array(["tabular", "tabular", "tokens", "series", "image"])[parent % 5]
    return {
        "dataset": np.array(
            [
                "banana-rare" if i % 7 == 3 else f"task-{i % (2 * n_parents)}"
                for i in range(n_networks)
            ]
        ),
        "parent": np.array([f"set-{i}" for i in parent]),
        "family": rng.choice(["mlp", "residual_mlp", "cnn2d", "gru"], n_networks),
        "activation": rng.choice(["relu", "tanh"], n_networks),
        "depth": rng.integers(1, 5, n_networks),
        "width": rng.choice([2, 8, 32, 128], n_networks),
        "label_noise": rng.choice([0.0, 0.1], n_networks),
        "form": form,
        "kind": np.where(parent % 4 == 1, "regression", "classification"),
        "teacher_width": np.where(parent % 6 == 5, 8, -1),
        "unsure": rng.random(n_networks) < 0.3,
        "null_loss": null_loss,
        "test_loss": rng.random(n_networks),
        "optimizer": rng.choice(["adamw", "sgd"], n_networks),
        **{name: rng.random(n_networks) for name in ("weight_decay", "learning_rate", "dropout")},
        "n_steps": rng.choice([40, 60, 300], n_networks),
        "gain_widening": rng.normal(size=n_networks),
        "gain_constraining": rng.normal(size=n_networks),
        **{
            f"{part}_{name}": rng.random(n_networks)
            for part in ("train", "valid")
            for name in ("loss", "error")
        },
    }


def make_made_up_zoo(n_networks=63, n_parents=9, seed=0):
    """A zoo of random numbers: nothing in it tells anything."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_networks, 2, len(LAYER_MEASURES)))
    names = (*LAYER_MEASURES, *NETWORK_MEASURES)
    whole = rng.normal(size=(n_networks, len(names)))
    context = rng.normal(size=(n_networks, len(CONTEXT_MEASURES)))
    tables = [
        LayerTable(
            name=str(index),
            layers=("a", "b"),
            kinds=("Linear", "Linear"),
            measures=dict(zip(LAYER_MEASURES, values[index].T, strict=True)),
            network=dict(zip(names, whole[index], strict=True)),
            context=dict(zip(CONTEXT_MEASURES, context[index], strict=True)),
        )
        for index in range(n_networks)
    ]
    columns = make_columns(n_networks, n_parents, rng)
    return SimpleNamespace(
        tables=tables,
        data=SpectralFeatures().fit_transform(tables),
        target=rng.permutation(np.resize(DIAGNOSES, n_networks)).astype(object),
        groups=columns["parent"],
        columns=columns,
        rivals={name: rng.normal(size=n_networks) for name in RIVALS},
        provenance={"label_reliability": 0.8, "command": "test"},
    )


@pytest.fixture(scope="session")
def made_up_columns():
    """The function that makes columns alone."""
    return make_columns


@pytest.fixture(scope="session")
def made_up_zoo():
    """The function that makes a zoo of random numbers."""
    return make_made_up_zoo
