"""Layers of kinds that the reference has not met put a network outside, and are named."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import hessdiag as hd
from hessdiag.diagnosis import kinds_of, with_unfamiliar_kinds


@pytest.fixture(scope="module")
def diagnoser(nine_cases):
    return hd.FitDiagnoser().fit(*nine_cases)


def case_of(*layers):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 4)).astype(np.float32)
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        nn.Sequential(*layers), criterion=nn.CrossEntropyLoss, max_epochs=1, train_split=None
    )
    net.set_params(verbose=0)
    y = np.arange(24) % 3
    return hd.NetworkCase(net.fit(X, y), X, y)


def test_score_is_at_least_one_and_the_share():
    known = kinds_of([("Linear", "Conv2d"), ("Linear", "BatchNorm2d")])
    assert known == {"Linear", "Conv2d", "BatchNorm2d"}
    kinds = [("Linear",), ("GRU", "Linear"), ("GRU", "GRU"), ("GRU", "Linear"), ("Conv2d", "GRU")]
    scores = np.array([0.3, 0.3, 0.3, 7.0, np.nan])
    found = with_unfamiliar_kinds(scores, kinds, known)
    np.testing.assert_array_equal(found, [0.3, 1.5, 2.0, 7.0, np.nan])


def test_a_kind_that_was_never_met_is_named(diagnoser):
    assert diagnoser.known_kinds_ == {"Linear"}
    plain = case_of(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    strange = case_of(nn.Linear(4, 6), nn.PReLU(), nn.Linear(6, 3), nn.LayerNorm(3))
    scores = diagnoser.domain_score([plain, strange])
    assert scores[1] >= 1.5
    report = diagnoser.explain(strange)
    assert report.domain_score == pytest.approx(scores[1])
    (note,) = [note for note in report.notes if "of the kind" in note]
    assert "kinds PReLU, LayerNorm, as 2 of 4 here are" in note
    assert "outside the reference" in note
    assert not any("of the kind" in note for note in diagnoser.explain(plain).notes)
    assert diagnoser.explain(plain).domain_score == pytest.approx(scores[0])
    # Answers are as they were: a diagnosis by what was measured.
    assert np.isfinite(diagnoser.predict_proba([strange])).all()


def test_what_torch_adds_to_a_name_is_no_other_kind(diagnoser):
    plain = case_of(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    normed = case_of(weight_norm(nn.Linear(4, 6)), nn.ReLU(), nn.Linear(6, 3))
    for case in (plain, normed):
        assert not any("of the kind" in note for note in diagnoser.explain(case).notes)
    assert kinds_of([("ParametrizedConv1d", "NonDynamicallyQuantizableLinear")]) == {
        "Conv1d",
        "Linear",
    }
