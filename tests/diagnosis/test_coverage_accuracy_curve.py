"""The curve, threshold by threshold."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from hessdiag.diagnosis import coverage_accuracy_curve
from hessdiag.labels import DIAGNOSES


@pytest.mark.parametrize("by", ["probability", "other"])
@pytest.mark.parametrize("seed", range(3))
def test_by_brute_force(seed, by):
    rng = np.random.default_rng(seed)
    y = rng.choice(DIAGNOSES, 60)
    probabilities = rng.dirichlet(np.ones(3), 60).round(1 + seed)
    confidence, given = probabilities.max(axis=1), {}
    if by == "other":
        confidence = -rng.random(60).round(1 + seed)
        given = {"confidence": confidence}
    coverage, accuracy, threshold = coverage_accuracy_curve(y, probabilities, DIAGNOSES, **given)
    predicted = np.array(DIAGNOSES)[probabilities.argmax(axis=1)]
    assert (np.diff(threshold) < 0).all()
    assert set(threshold) == set(confidence)
    assert coverage[-1] == 1
    for share, score, least in zip(coverage, accuracy, threshold, strict=True):
        answered = confidence >= least
        assert share == pytest.approx(answered.mean())
        recalls = [(predicted[answered & (y == name)] == name).mean() for name in set(y[answered])]
        assert score == pytest.approx(np.mean(recalls))
    assert accuracy[-1] == pytest.approx(balanced_accuracy_score(y, predicted))


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        coverage_accuracy_curve(["a", "b"], np.zeros((2, 2)), ["a", "b", "c"])
    with pytest.raises(ValueError, match="inconsistent"):
        coverage_accuracy_curve(["a"], np.zeros((2, 2)), ["a", "b"])
    with pytest.raises(ValueError, match="one or more"):
        coverage_accuracy_curve([], np.zeros((0, 2)), ["a", "b"])
    for confidence in ([0.1], [0.1, np.nan]):
        with pytest.raises(ValueError, match="confidence for each of 2"):
            coverage_accuracy_curve(["a", "b"], np.zeros((2, 2)), ["a", "b"], confidence)
