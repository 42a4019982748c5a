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
from hessdiag.diagnosis import NOT_EXAMINED, UNDECIDED, TableClassifier, TableDiagnoser
from hessdiag.features import SkippedCase, SkippedCaseWarning, forget_examinations, layer_table
from hessdiag.labels import label_gains
from hessdiag.zoo import read_reference


def imputed(estimator):
    return make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), estimator)


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    [
        TableDiagnoser(),
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
        with pytest.raises(TypeError, match=r"one case, found a list of 2.*predict"):
            diagnoser.explain(cases[:2])
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


BOUNDS = {"max_samples": 20, "batch_size": 7, "tolerance": 0.1, "max_memory": 1e9}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_of_an_examination_are_those_of_the_first_stage(name, nine_cases, monkeypatch):
    cases, y = nine_cases
    made = dict(zip([case.name for case in cases], hd.LayerSpectra().transform(cases), strict=True))
    given = []

    def examine(net, X, y, name=None, **settings):
        given.append(settings)
        return made[name]

    monkeypatch.setattr("hessdiag.features._layer_spectra.examine", examine)
    forget_examinations()
    bounded = hd.LayerSpectra(**{name: BOUNDS[name]})
    diagnoser = hd.FitDiagnoser(DummyClassifier(), spectra=bounded).fit(cases, y)
    assert [settings[name] for settings in given] == 9 * [BOUNDS[name]]
    # As for the reference diagnoser, which is fitted already.
    diagnoser.spectra_.set_params(**{name: 2 * BOUNDS[name]})
    diagnoser.predict(cases[:1])
    assert given[-1][name] == 2 * BOUNDS[name]
    assert len(given) == 10
    nested = hd.FitDiagnoser(spectra=hd.LayerSpectra()).set_params(
        **{f"spectra__{name}": BOUNDS[name]}
    )
    assert getattr(nested.spectra, name) == BOUNDS[name]
    forget_examinations()


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
    with (
        pytest.warns(SkippedCaseWarning),
        pytest.raises(ValueError, match="Expected a case that can"),
    ):
        diagnoser.explain(sick(cases[1]))
    with pytest.raises(ValueError, match="Expected networks that can be examined"):
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


@pytest.mark.slow
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


#: Gains of the nine cases, which come in turns: what overfitting, widening and neither would mean.
GAINS_OF = {"overfitting": (-0.1, 0.4), "underparameterized": (0.3, 0.0), "well-fit": (0.0, 0.01)}


def gains_of(y):
    jitter = 0.001 * np.arange(len(y))
    return np.array([GAINS_OF[name] for name in y]) + jitter[:, None]


@pytest.mark.parametrize("estimator", [None, TableClassifier(20, random_state=0)])
def test_gains(estimator, nine_cases):
    cases, y = nine_cases
    spectra = hd.LayerSpectra(on_error="warn")
    diagnoser = hd.FitDiagnoser(estimator, spectra=spectra)
    diagnoser.fit(cases, y, gains=gains_of(y), groups=np.arange(9) // 2)
    assert isinstance(diagnoser.table_diagnoser_, TableDiagnoser)
    gains, intervals = diagnoser.predict_gains(cases, return_interval=True)
    assert (label_gains(*gains.T) == diagnoser.predict(cases)).all()
    assert (intervals[:, :, 0] <= gains).all()
    assert (intervals[:, :, 1] >= gains).all()
    columns = diagnoser.features_.transform(diagnoser.spectra_.transform(cases))
    named = diagnoser.estimator_.predict(columns)
    expected = diagnoser.table_diagnoser_.predict_gains(columns, diagnoses=named)
    np.testing.assert_array_equal(gains, expected)
    np.testing.assert_array_equal(diagnoser.predict_gains(cases), gains)
    with pytest.warns(SkippedCaseWarning):
        some = diagnoser.predict_gains([sick(cases[0]), cases[1]])
    assert np.isnan(some[0]).all()
    np.testing.assert_allclose(some[1], gains[1])
    with pytest.warns(SkippedCaseWarning):
        scores = diagnoser.domain_score([sick(cases[0]), cases[1]])
    assert np.isnan(scores[0])
    assert scores[1] < 1e-6


def test_gains_of_skipped_networks_are_left_out(nine_cases):
    cases, y = nine_cases
    diagnoser = hd.FitDiagnoser(spectra=hd.LayerSpectra(on_error="warn"))
    given = gains_of(y)
    broken = [sick(cases[0]), *cases[1:]]
    with pytest.warns(SkippedCaseWarning):
        diagnoser.fit(broken, y, gains=given, groups=np.arange(9))
    other = hd.FitDiagnoser().fit(cases[1:], y[1:], gains=given[1:], groups=np.arange(8))
    np.testing.assert_allclose(diagnoser.predict_gains(cases), other.predict_gains(cases))


def test_gains_need_gains(nine_cases):
    cases, y = nine_cases
    with pytest.raises(ValueError, match="Pass gains"):
        hd.FitDiagnoser().fit(cases, y).predict_gains(cases)
    with pytest.raises(ValueError, match=r"shape \(9, 2\)"):
        hd.FitDiagnoser().fit(cases, y, gains=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="inconsistent"):
        hd.FitDiagnoser().fit(cases, y, groups=[1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [None, TableClassifier(20, random_state=0)])
def test_abstention(estimator, nine_cases):
    cases, y = nine_cases
    sure = hd.FitDiagnoser(estimator).fit(cases, y)
    probabilities = sure.predict_proba(cases)
    confidence = probabilities.max(axis=1)
    # Between two networks' confidences: one of them by itself may be rounded in another way.
    between = float(np.sort(confidence)[3:5].mean())
    for floor in (None, 0.0, between, 1.0):
        diagnoser = hd.FitDiagnoser(estimator, min_confidence=floor).fit(cases, y)
        expected = [
            UNDECIDED if p < (floor or 0) else name
            for p, name in zip(confidence, sure.predict(cases), strict=True)
        ]
        assert diagnoser.predict(cases).tolist() == expected
        np.testing.assert_array_equal(diagnoser.predict_proba(cases), probabilities)
        assert [diagnoser.explain(case).answer for case in cases[::3]] == expected[::3]


@pytest.mark.parametrize("floor", [-0.1, 1.5, "high"])
def test_bad_min_confidence(floor, nine_cases):
    with pytest.raises(ValueError, match="min_confidence"):
        hd.FitDiagnoser(min_confidence=floor).fit(*nine_cases)


def test_abstention_needs_probabilities(nine_cases):
    with pytest.raises(ValueError, match="CalibratedClassifierCV"):
        hd.FitDiagnoser(imputed(LinearSVC()), min_confidence=0.5).fit(*nine_cases)


class WithoutFamilies(hd.SpectralFeatures):
    """Features that do not tell their families."""

    @property
    def get_feature_families_out(self):
        raise AttributeError


def test_what_is_asked_between_samples_leads(nine_cases):
    cases, y = nine_cases
    diagnoser = hd.FitDiagnoser().fit(cases, y)
    families = diagnoser.features_.get_feature_families_out()
    columns = diagnoser.features_.transform(diagnoser.spectra_.transform(cases))
    expected = TableDiagnoser().fit(columns, y, leading=families == "between")
    assert diagnoser.table_diagnoser_.leading_share_ == expected.leading_share_ is not None
    np.testing.assert_array_equal(diagnoser.predict_proba(cases), expected.predict_proba(columns))
    # Features whose families nobody knows count alike.
    blind = hd.FitDiagnoser(features=WithoutFamilies())
    assert blind.fit(cases, y).table_diagnoser_.leading_share_ is None
