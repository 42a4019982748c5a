"""FitDiagnoser chains the stages, with any classifier, and refuses what it cannot learn from."""

import copy

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import hessdiag as hd
from hessdiag.diagnosis import NOT_EXAMINED, TableClassifier
from hessdiag.features import SkippedCase, SkippedCaseWarning, layer_table
from hessdiag.zoo import read_reference


def imputed(estimator):
    return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), estimator)


@pytest.mark.parametrize(
    "estimator",
    [
        TableClassifier(n_estimators=20, random_state=0),
        RandomForestClassifier(10, random_state=0),
        HistGradientBoostingClassifier(max_iter=3, random_state=0),
        DummyClassifier(),
        imputed(LogisticRegression()),
        imputed(GaussianNB()),
        imputed(KNeighborsClassifier(1)),
        imputed(LinearSVC()),
    ],
    ids=lambda estimator: type(getattr(estimator, "steps", [[0, estimator]])[-1][1]).__name__,
)
def test_any_classifier(estimator, nine_cases):
    cases, y = nine_cases
    diagnoser = hd.FitDiagnoser(estimator).fit(cases, y)
    table = diagnoser.features_.transform(diagnoser.spectra_.transform(cases))
    assert diagnoser.predict(cases).tolist() == diagnoser.estimator_.predict(table).tolist()
    assert hasattr(diagnoser, "predict_proba") == hasattr(estimator, "predict_proba")
    if hasattr(diagnoser, "predict_proba"):
        expected = diagnoser.estimator_.predict_proba(table)
        np.testing.assert_array_equal(diagnoser.predict_proba(cases), expected)
        assert diagnoser.explain(cases[0]).diagnosis in diagnoser.classes_
    else:
        with pytest.raises(AttributeError, match="predict_proba"):
            diagnoser.explain(cases[0])


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["overfitting"] * 9, "only"),
        (["overfitting", "sound"] + ["well-fit"] * 7, "sound"),
        ([0, 1, 2] * 3, "'0'"),
        (["overfitting", "well-fit"], "9 networks, found 2"),
        (None, "None"),
    ],
)
def test_bad_diagnoses(y, words, nine_cases):
    with pytest.raises(ValueError, match=words):
        hd.FitDiagnoser().fit(nine_cases[0], y)


def sick(case):
    case = copy.deepcopy(case)
    with torch.no_grad():
        case.net.module_.head.weight[0, 0] = float("inf")
    return case


def test_skipped_cases(nine_cases):
    cases, y = nine_cases
    diagnoser = hd.FitDiagnoser(
        TableClassifier(20, random_state=0), spectra=hd.LayerSpectra(on_error="warn")
    ).fit(cases, y)
    with pytest.warns(SkippedCaseWarning):
        predicted = diagnoser.predict([cases[0], sick(cases[1]), cases[2]])
    assert predicted[1] == NOT_EXAMINED
    assert all(isinstance(word, str) for word in predicted)
    np.testing.assert_array_equal(predicted[[0, 2]], diagnoser.predict([cases[0], cases[2]]))
    with pytest.warns(SkippedCaseWarning):
        probabilities = diagnoser.predict_proba([sick(cases[1]), cases[2]])
    assert np.isnan(probabilities[0]).all()
    np.testing.assert_array_equal(probabilities[1:], diagnoser.predict_proba(cases[2:3]))
    with pytest.warns(SkippedCaseWarning):
        assert diagnoser.predict([sick(cases[1])]).tolist() == [NOT_EXAMINED]
    with pytest.warns(SkippedCaseWarning), pytest.raises(ValueError, match="nothing to explain"):
        diagnoser.explain(sick(cases[1]))
    with pytest.raises(ValueError, match="None of the networks"):
        hd.FitDiagnoser().fit([SkippedCase("a", "x"), SkippedCase("b", "x")], y[:2])


def test_tables_stand_for_networks(nine_cases):
    cases, y = nine_cases
    model = TableClassifier(20, random_state=0)
    tables = [layer_table(x) for x in hd.LayerSpectra().transform(cases)]
    from_cases = hd.FitDiagnoser(model).fit(cases, y)
    from_tables = hd.FitDiagnoser(model).fit(tables, y)
    expected = from_cases.predict_proba(cases)
    np.testing.assert_array_equal(from_tables.predict_proba(cases), expected)
    np.testing.assert_array_equal(from_cases.predict_proba(tables), expected)
    np.testing.assert_array_equal(from_tables.diagnose_tables(tables), expected)


def test_stages_are_used_as_given(nine_cases):
    cases, y = nine_cases
    spectra = hd.LayerSpectra(layers=["head"])
    features = hd.SpectralFeatures(families=("loo",), pooling=("last",), include_network=False)
    diagnoser = hd.FitDiagnoser(TableClassifier(5), spectra, features).fit(cases, y)
    assert diagnoser.feature_names_.tolist() == features.get_feature_names_out().tolist()
    assert diagnoser.explain(cases[0]).examination.layer_names == ("head",)
    assert not hasattr(features, "n_features_out_")


def test_fits_on_a_zoo_table(small_zoo):
    tables, columns, _ = read_reference(small_zoo.table)
    diagnoser = hd.FitDiagnoser(TableClassifier(50, random_state=0))
    diagnoser.fit(tables, columns["diagnosis"])
    assert diagnoser.score(tables, columns["diagnosis"]) > 0.5


def test_explanation_needs_probabilities(nine_cases):
    cases, y = nine_cases
    diagnoser = hd.FitDiagnoser(imputed(LinearSVC())).fit(cases, y)
    with pytest.raises(AttributeError, match="CalibratedClassifierCV"):
        diagnoser.explain(cases[0])
