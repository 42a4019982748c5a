"""Advice that follows from a diagnosis, its evidence and what is known without curvature."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skorch import NeuralNetRegressor
from torch import nn

import hessdiag as hd
from hessdiag.diagnosis import LayerFinding, choose_actions, recommend
from hessdiag.labels import DELTA, label_gains


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


def naive_action(diagnosis, ratio, gains):
    """The rule in words."""
    if diagnosis == "underparameterized" and ratio >= 1:
        return "train"
    if gains is not None:
        best = max(range(3), key=lambda k: gains[k])
        if best == 2 and gains[2] >= DELTA:
            return "train"
    return {"underparameterized": "widen", "overfitting": "constrain", "well-fit": "keep"}[
        diagnosis
    ]


@pytest.mark.parametrize("known", [True, False])
def test_one_of_four_is_advised(known):
    rng = np.random.default_rng(0)
    gains = 0.1 * rng.normal(size=(500, 3))
    diagnoses = label_gains(*gains[:, :2].T)
    ratios = rng.choice([0.2, 0.999, 1.0, 3.0, np.nan], 500)
    found = choose_actions(diagnoses, ratios, gains if known else None)
    own = gains if known else [None] * 500
    assert found.tolist() == [
        naive_action(*row) for row in zip(diagnoses, ratios, own, strict=True)
    ]
    assert set(found) == {"widen", "constrain", "keep", "train"}
    # Without a network worse than a constant, the action is that of the largest gain.
    if known:
        plain = choose_actions(diagnoses, np.full(500, 0.5), gains)
        best = np.where(gains.max(axis=1) < DELTA, 3, gains.argmax(axis=1))
        named = np.array(["widen", "constrain", "train", "keep"])[best]
        np.testing.assert_array_equal(plain, named)


GAINS = {"widening": 0.2, "constraining": -0.1}


@pytest.mark.parametrize(
    ("diagnosis", "longer", "action"),
    [
        ("underparameterized", 0.19, "widen"),
        ("underparameterized", 0.21, "train"),
        ("overfitting", 0.3, "train"),
        ("well-fit", 0.3, "train"),
        ("well-fit", 0.04, "keep"),
    ],
)
def test_what_training_longer_should_gain_decides(table, diagnosis, longer, action):
    table = replace(table, context=table.context | {"loss_over_null_loss": 0.5})
    gains = GAINS if diagnosis == "underparameterized" else {"widening": 0.03, "constraining": 0.04}
    findings = findings_of(table)
    advice = recommend(diagnosis, table, findings, {}, gains | {"longer": longer})
    assert advice.action == action
    assert advice.change == {"widen": {"width_factor": 4}, "train": {"train_longer": 4}}.get(
        action, {}
    )
    if action != "keep":
        assert f"{100 * longer:.0f} % of the loss of a constant guess" in advice.text
        assert ("not trained to the end" in advice.text) == (action == "train")
    else:
        assert "nor training longer" in advice.text
    # Where nothing is known of it, not a word.
    before = recommend(diagnosis, table, findings, {})
    assert before == recommend(diagnosis, table, findings, {}, gains)
    assert "longer" not in before.text
