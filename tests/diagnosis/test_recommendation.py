"""Advice that follows from a diagnosis, its evidence and what is known without curvature."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skorch import NeuralNetRegressor
from torch import nn

import hessdiag as hd
from hessdiag.diagnosis import LayerFinding, recommend


@pytest.fixture(scope="module")
def table():
    return hd.load_reference_zoo().tables[0]


def findings_of(table):
    return [
        LayerFinding(name, kind, 0, 0.0, ())
        for name, kind in zip(table.layers, table.kinds, strict=True)
    ]


@pytest.mark.parametrize(
    ("diagnosis", "ratio", "action"),
    [
        ("underparameterized", 0.99, "widen"),
        ("underparameterized", 1.0, "train"),
        ("underparameterized", 7.0, "train"),
        ("underparameterized", np.nan, "widen"),
        ("overfitting", 1.2, "constrain"),
        ("well-fit", 1.2, "keep"),
    ],
)
def test_what_is_worse_than_a_constant_is_told_to_train(table, diagnosis, ratio, action):
    table = replace(table, context=table.context | {"loss_over_null_loss": ratio})
    advice = recommend(diagnosis, table, findings_of(table))
    assert advice.action == action
    if action == "train":
        assert advice.change == {"train_longer": 4}
        assert f"{ratio:.3g} times that of the best constant" in advice.text
        assert "widen" not in advice.text.lower()


def test_a_network_that_was_hardly_trained_is_told_to_train(reference_diagnoser):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5)).astype(np.float32)
    y = (3 + X[:, :1] * X[:, 1:2]).astype(np.float32)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))
    net = NeuralNetRegressor(module, max_epochs=1, lr=1e-4, train_split=None, verbose=0)
    report = reference_diagnoser.explain(hd.NetworkCase(net.fit(X, y), X, y))
    assert report.examination.context["loss"] > report.examination.context["null_loss"]
    assert report.diagnosis == "underparameterized"
    assert report.recommendation.action == "train"
    assert "Train it first" in str(report)
    assert "Train it first" in report._repr_html_()
