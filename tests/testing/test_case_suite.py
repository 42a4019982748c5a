"""The check suite runs on every estimator that takes networks, and finds what is wrong."""

from collections import Counter

import pytest

import hessdiag as hd
from hessdiag.diagnosis import TableClassifier
from hessdiag.features import forget_examinations
from hessdiag.testing import (
    check_case_estimator,
    list_case_checks,
    make_case,
    parametrize_with_case_checks,
)
from hessdiag.testing._case_check import CASE_CHECKS, make_trial

FEW_TREES = TableClassifier(n_estimators=5)
TAKE_CASES = [
    hd.LayerSpectra(),
    hd.LayerSpectra(curvature="ggn", method="lanczos", n_lanczos_steps=8, n_probes=1),
    hd.FitDiagnoser(FEW_TREES, spectra=hd.LayerSpectra(max_gram_size=30)),
    hd.FitDiagnoser(),
]
TAKE_EXAMINATIONS = [hd.SpectralFeatures()]


@pytest.mark.slow
@parametrize_with_case_checks(TAKE_CASES)
def test_estimators_of_networks(estimator, check):
    check(estimator)


@parametrize_with_case_checks(TAKE_EXAMINATIONS, takes="examinations")
def test_estimators_of_examinations(estimator, check):
    check(estimator)


def test_number_of_checks():
    names = list_case_checks()
    assert len(names) == len(set(names)) == 73
    applied = [
        (
            type(estimator).__name__,
            sum(check.reason_to_skip(estimator, takes) is None for check in CASE_CHECKS),
        )
        for takes, estimators in (("cases", TAKE_CASES), ("examinations", TAKE_EXAMINATIONS))
        for estimator in estimators
    ]
    # Where its stages are None, a diagnoser has no parameter on_error.
    assert applied == [
        ("LayerSpectra", 49),
        ("LayerSpectra", 49),
        ("FitDiagnoser", 61),
        ("FitDiagnoser", 59),
        ("SpectralFeatures", 41),
    ]


def test_every_check_applies_somewhere():
    idle = [
        check.name
        for check in CASE_CHECKS
        if all(check.reason_to_skip(e, "cases") for e in TAKE_CASES)
        and all(check.reason_to_skip(e, "examinations") for e in TAKE_EXAMINATIONS)
    ]
    assert idle == []


class SetsParameterInFit(hd.LayerSpectra):
    def fit(self, X, y=None):
        self.n_probes = self.n_probes + 1
        return super().fit(X, y)


class ChecksInInit(hd.SpectralFeatures):
    def __init__(self, families=("shape",), pooling=("max",), include_network=True):
        super().__init__(tuple(families), tuple(pooling), include_network)


class LearnsInInit(hd.LayerSpectra):
    def __init__(self):
        super().__init__()
        self.seen_ = 0


class KeepsNetworks(hd.LayerSpectra):
    def fit(self, X, y=None):
        self.X_ = list(X)
        return super().fit(X, y)


class TrainsNetworks(hd.LayerSpectra):
    def transform(self, X):
        for case in X:
            if isinstance(case, hd.NetworkCase):
                case.net.module_.train()
        return super().transform(X)


class ReversesOrder(hd.LayerSpectra):
    def transform(self, X):
        return super().transform(X)[::-1]


class LosesRows(hd.SpectralFeatures):
    def transform(self, X):
        return super().transform(X)[:-1] if len(X) > 1 else super().transform(X)


class WrongNames(hd.SpectralFeatures):
    def get_feature_names_out(self, input_features=None):
        names = super().get_feature_names_out()
        names[1] = names[0]
        return names


class Forgetful(hd.LayerSpectra):
    def transform(self, X):
        forget_examinations()
        return super().transform(X)


class AcceptsAnything(hd.SpectralFeatures):
    def fit(self, X, y=None):
        self.n_features_out_ = 1
        return self

    def transform(self, X):
        return super().transform([item for item in X if hasattr(item, "context")])


class ReturnsNothing(hd.SpectralFeatures):
    def fit(self, X, y=None):
        super().fit(X, y)


class UnsortedClasses(hd.FitDiagnoser):
    def fit(self, X, y):
        super().fit(X, y)
        self.classes_ = self.classes_[::-1]
        return self


class ScoresItself(hd.FitDiagnoser):
    def score(self, X, y):
        return 1.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "takes", "failing"),
    [
        (SetsParameterInFit(), "cases", ["check_fit_sets_no_parameters", "check_clone_and"]),
        (ChecksInInit(), "examinations", ["check_parameters_stored_as_given"]),
        (LearnsInInit(), "cases", ["check_no_attributes_set_in_init"]),
        (KeepsNetworks(), "cases", ["check_fitted_holds_no_networks", "check_network_released"]),
        (TrainsNetworks(), "cases", ["check_answers_do_not_touch_networks"]),
        (ReversesOrder(), "cases", ["check_order_equivariance", "check_subset_invariance"]),
        (LosesRows(), "examinations", ["check_lengths", "check_subset_invariance"]),
        (WrongNames(), "examinations", ["check_feature_names_out_match_width"]),
        (Forgetful(), "cases", ["check_computed_once", "check_search_examines_once"]),
        (
            AcceptsAnything(),
            "examinations",
            [
                "check_rejects_single_network",
                "check_rejects_empty_list",
                "check_rejects_wrong_items",
                "check_rejects_bad_parameters_in_fit_not_init",
            ],
        ),
        (ReturnsNothing(), "examinations", ["check_fit_returns_self"]),
        (UnsortedClasses(FEW_TREES), "cases", ["check_classes_sorted"]),
        (ScoresItself(FEW_TREES), "cases", ["check_score_is_accuracy"]),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "get_params") else "",
)
def test_broken_estimators_fail(estimator, takes, failing):
    for prefix in failing:
        (check,) = [check for check in CASE_CHECKS if check.name.startswith(prefix)]
        assert check.reason_to_skip(estimator, takes) is None
        if prefix == "check_clone_and":
            check(estimator, make_trial(takes))
            continue
        with pytest.raises(Exception):  # noqa: B017 - an assertion, or what the fault raises
            check(estimator, make_trial(takes))


@pytest.mark.slow
def test_report_of_broken_estimator():
    broken = WrongNames(families=("shape", "context"), pooling=("max",))
    results = check_case_estimator(broken, "examinations", on_fail="report")
    assert [result.check for result in results] == list_case_checks()
    failed = {result.check: result.reason for result in results if result.status == "failed"}
    assert set(failed) == {"check_feature_names_out_match_width"}
    assert "repeat" in failed["check_feature_names_out_match_width"]
    counts = Counter(result.status for result in results)
    assert counts == {"passed": 40, "failed": 1, "not applicable": 32}
    assert all(result.reason for result in results if result.status != "passed")


def test_first_failure_is_raised_with_its_name():
    with pytest.raises(AssertionError, match="expected the estimator") as caught:
        check_case_estimator(ReturnsNothing(), "examinations")
    assert any("check_fit_returns_self" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: check_case_estimator(hd.LayerSpectra(), takes="tables"), ValueError, "tables"),
        (lambda: check_case_estimator(hd.LayerSpectra(), on_fail="x"), ValueError, "on_fail"),
        (lambda: parametrize_with_case_checks(hd.LayerSpectra()), TypeError, "list"),
        (lambda: parametrize_with_case_checks([hd.LayerSpectra]), TypeError, r"LayerSpectra\(\)"),
        (lambda: make_case("clusterer"), ValueError, "kind"),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()
