"""Figures of the evaluation, against twins that count one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from hessdiag.evaluation._scores import (
    balanced_accuracy,
    bootstrap_interval,
    bootstrap_mean,
    expected_calibration_error,
    rank_errors,
    score_row,
)

DIAGNOSES = np.array(["overfitting", "underparameterized", "well-fit"])


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1, exclude_min=True)), min_size=1, max_size=60)
)
def test_calibration_error_naive_twin(pairs):
    right = np.array([pair[0] for pair in pairs])
    confidence = np.array([pair[1] for pair in pairs])
    total = 0.0
    for low in range(10):
        inside = [
            (r, c) for r, c in pairs if int(c * 10) == low or (low == 9 and int(c * 10) == 10)
        ]
        if inside:
            share = sum(r for r, _ in inside) / len(inside)
            mean = sum(c for _, c in inside) / len(inside)
            total += len(inside) / len(pairs) * abs(mean - share)
    assert expected_calibration_error(right, confidence) == pytest.approx(total, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n_networks=st.integers(1, 60))
def test_bootstrap_naive_twin(seed, n_networks):
    rng = np.random.default_rng(seed)
    target, predicted = DIAGNOSES[rng.integers(0, 3, (2, n_networks))]
    groups = rng.integers(0, 6, n_networks)
    found = bootstrap_interval(target, predicted, groups, random_state=seed, n_bootstrap=40)

    twin_rng = np.random.default_rng(seed)
    names = np.unique(groups)
    draws = twin_rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=40)
    scores = []
    for draw in draws:
        rows = np.concatenate(
            [np.tile(np.flatnonzero(groups == g), k) for g, k in zip(names, draw, strict=True)]
        ).astype(int)
        # Few resamples of a small set hold every diagnosis: those that are there count.
        recalls = [
            (predicted[rows][target[rows] == c] == c).mean() for c in np.unique(target[rows])
        ]
        scores.append(np.mean(recalls))
    np.testing.assert_allclose(found, np.quantile(scores, [0.025, 0.975]))


def test_bootstrap_of_one_diagnosis_and_of_one_data_set():
    target = np.array(["well-fit"] * 4)
    assert bootstrap_interval(target, target, np.arange(4)) == [1, 1]
    half = np.array(["well-fit", "well-fit", "overfitting", "overfitting"])
    assert bootstrap_interval(target, half, np.zeros(4)) == [0.5, 0.5]


@given(st.integers(0, 1000))
def test_balanced_accuracy_is_sklearns(seed):
    rng = np.random.default_rng(seed)
    target = DIAGNOSES[np.append(rng.integers(0, 3, 30), [0, 1, 2])]
    predicted = DIAGNOSES[rng.integers(0, 3, 33)]
    expected = balanced_accuracy_score(target, predicted)
    assert balanced_accuracy(target, predicted) == pytest.approx(expected)


def test_surest_are_the_most_confident():
    target = DIAGNOSES[[0, 1, 2, 0, 1, 2, 0, 1, 2, 0]]
    # Right for the six surest, then wrong; confidence falls from 0.95.
    probabilities = np.zeros((10, 3))
    for index, (name, confidence) in enumerate(
        zip(target, np.linspace(0.95, 0.5, 10), strict=True)
    ):
        own = np.searchsorted(DIAGNOSES, name)
        named = own if index < 6 else (own + 1) % 3
        probabilities[index] = (1 - confidence) / 2
        probabilities[index, named] = confidence
    scores = score_row(target, probabilities, DIAGNOSES, np.arange(10), sure=np.arange(10) < 6)
    assert scores["surer_half"] == 1
    assert scores["coverage"]["0.6"] == 1
    assert scores["coverage"]["1.0"] == pytest.approx((2 / 4 + 2 / 3 + 2 / 3) / 3)
    assert scores["coverage"]["1.0"] == scores["balanced_accuracy"]
    assert scores["sure_labels"] == 1
    assert scores["n_networks"] == 10


def test_diagnosis_that_does_not_occur_has_no_recall():
    target = DIAGNOSES[[0, 0, 2, 2]]
    probabilities = np.eye(3)[[0, 1, 2, 2]]
    scores = score_row(target, probabilities, DIAGNOSES, np.arange(4))
    recall = {"overfitting": 0.5, "underparameterized": None, "well-fit": 1.0}
    assert scores["recall"] == recall
    assert scores["balanced_accuracy"] == 0.75
    assert "sure_labels" not in scores


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), n_networks=st.integers(1, 40))
def test_errors_ranked_naive_twin(seed, n_networks):
    rng = np.random.default_rng(seed)
    target = DIAGNOSES[rng.integers(0, 3, n_networks)]
    probabilities = rng.dirichlet(np.ones(3), n_networks).round(2)
    domain = rng.random(n_networks).round(1) * 2
    found = rank_errors(target, probabilities, DIAGNOSES, domain)
    predicted = DIAGNOSES[probabilities.argmax(axis=1)]
    wrong = predicted != target
    assert found["wrong"] == pytest.approx(wrong.mean())
    assert found["outside"] == pytest.approx(np.mean([score > 1 for score in domain]))
    doubt = 1 - probabilities.max(axis=1)
    assert found["doubt"] == pytest.approx(doubt.mean())
    for name, score in (("probability", doubt), ("domain", domain)):
        pairs = [(a > b) + (a == b) / 2 for a in score[wrong] for b in score[~wrong]]
        expected = pytest.approx(np.mean(pairs)) if pairs else None
        assert found[name]["auroc"] == expected
        least = sorted(score)[int(np.ceil(n_networks / 2 - 1e-9)) - 1]
        kept = score <= least  # with ties, all that are as sure
        recalls = [(predicted[kept & (target == c)] == c).mean() for c in set(target[kept])]
        assert found[name]["coverage"]["0.5"] == pytest.approx(np.mean(recalls))


def test_errors_without_distances():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3]])
    found = rank_errors(DIAGNOSES[[0, 2]], probabilities, DIAGNOSES, np.array([0.5, np.nan]))
    assert found["domain"] == {"auroc": None, "coverage": None}
    assert found["outside"] is None
    assert found["probability"]["auroc"] == 1


def test_mean_over_data_sets_naive_twin():
    rng = np.random.default_rng(0)
    values, groups = rng.random(30), rng.integers(0, 5, 30)
    names = np.unique(groups)
    draws = np.random.default_rng(7).multinomial(len(names), np.full(len(names), 0.2), size=50)
    means = [
        np.mean(np.concatenate([np.tile(values[groups == g], k) for g, k in zip(names, draw)]))
        for draw in draws
    ]
    found = bootstrap_mean(values, groups, 7, n_bootstrap=50)
    np.testing.assert_allclose(found, np.quantile(means, [0.025, 0.975]))
