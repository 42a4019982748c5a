"""Probabilities where diagnoses are not as common as in what was learned from."""

import copy

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import LinearSVC

import hessdiag as hd
from hessdiag.diagnosis._class_prior import at_prior, prior_of_fit
from hessdiag.testing import make_case

EXPECTED = {"overfitting": 0.05, "underparameterized": 0.15, "well-fit": 0.8}


@pytest.fixture(scope="module")
def case():
    return make_case()


@pytest.fixture
def diagnoser(reference_diagnoser):
    """The shipped one, whose own parameters may be set."""
    return copy.copy(reference_diagnoser)


def test_bayes_rule_at_either_prior():
    """Two classes of known densities: posteriors at one prior become those at another."""
    x = np.linspace(-3, 3, 7)
    densities = np.stack([norm.pdf(x, -1), norm.pdf(x, 1)], axis=1)

    def posterior(prior):
        joint = densities * prior
        return joint / joint.sum(axis=1, keepdims=True)

    even, skew = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    np.testing.assert_allclose(at_prior(posterior(even), skew, even), posterior(skew), rtol=1e-12)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [("balanced", [0.5, 0.5]), (None, [0.75, 0.25]), ({"a": 1, "b": 9}, [0.25, 0.75])],
)
def test_prior_that_a_classifier_is_fitted_with(weights, expected):
    y, classes = np.array(["a", "a", "a", "b"]), np.array(["a", "b"])
    estimator = RandomForestClassifier(class_weight=weights)
    np.testing.assert_allclose(prior_of_fit(estimator, y, classes), expected)


def test_what_is_expected_moves_all_that_follows(diagnoser, case):
    np.testing.assert_allclose(diagnoser.fitted_class_prior_, 1 / 3)
    before = diagnoser.predict_proba([case])[0]
    equal = dict.fromkeys(EXPECTED, 1)
    np.testing.assert_allclose(
        diagnoser.set_params(class_prior=equal).predict_proba([case])[0], before, rtol=1e-12
    )
    diagnoser.set_params(class_prior=EXPECTED)
    after = diagnoser.predict_proba([case])[0]
    expected = before * np.array(list(EXPECTED.values()))
    np.testing.assert_allclose(after, expected / expected.sum(), rtol=1e-12)
    # Hardly any network overfits here, and then all do.
    diagnoser.set_params(class_prior=EXPECTED | {"overfitting": 1e9})
    assert diagnoser.predict([case]).tolist() == ["overfitting"]
    report = diagnoser.explain(case)
    assert report.diagnosis == "overfitting"
    assert report.recommendation.action == "constrain"
    gains = diagnoser.predict_gains([case])[0]
    assert gains[1] >= max(gains[0], hd.labels.DELTA)
    assert list(report.fitted_probabilities.values()) == pytest.approx(before.tolist())
    (note,) = [note for note in report.notes if "class_prior" in note]
    assert f"well-fit {before[2]:.0%}" in note
    assert not diagnoser.set_params(class_prior=None).explain(case).fitted_probabilities


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({"overfitting": 1.0}, "Expected a share for each of"),
        (EXPECTED | {"sick": 1.0}, "Expected a share for each of"),
        (EXPECTED | {"well-fit": 0.0}, "Expected positive numbers in class_prior, found 0.0"),
        (EXPECTED | {"well-fit": np.inf}, "Expected positive numbers"),
        (EXPECTED | {"well-fit": True}, "Expected positive numbers"),
        (EXPECTED | {"well-fit": "most"}, "Expected positive numbers"),
    ],
)
def test_other_priors_are_refused(diagnoser, case, prior, message):
    with pytest.raises(ValueError, match=message):
        diagnoser.set_params(class_prior=prior).predict_proba([case])
    zoo = hd.load_reference_zoo()
    some = np.arange(0, len(zoo.tables), 20)
    with pytest.raises(ValueError, match=message):
        hd.FitDiagnoser(class_prior=prior).fit([zoo.tables[i] for i in some], zoo.target[some])


def test_it_needs_probabilities_and_is_cloned():
    zoo = hd.load_reference_zoo()
    tables, y = zoo.tables[:60], zoo.target[:60]
    with pytest.raises(ValueError, match="predict_proba where class_prior is given"):
        hd.FitDiagnoser(LinearSVC(), class_prior=EXPECTED).fit(tables, y)
    assert clone(hd.FitDiagnoser(class_prior=EXPECTED)).class_prior == EXPECTED
    with pytest.raises(ValueError, match="class_prior"):
        hd.FitDiagnoser(class_prior=[0.1, 0.2, 0.7]).fit(tables, y)
