"""The stages inside sklearn's own machinery, as a user would put them together."""

import subprocess
import sys

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hessdiag as hd
from hessdiag.diagnosis import TableClassifier
from hessdiag.features import counted_examinations, forget_examinations


def whole_path(**spectra):
    return make_pipeline(
        hd.LayerSpectra(**spectra),
        hd.SpectralFeatures(families=("shape", "loo", "context"), pooling=("first", "last")),
        SimpleImputer(keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(C=0.1),
    )


def test_fit_and_answer(nine_cases):
    cases, y = nine_cases
    pipeline = whole_path().fit(cases, y)
    assert set(pipeline.predict(cases)) <= set(y)
    np.testing.assert_allclose(pipeline.predict_proba(cases).sum(axis=1), 1)
    by_hand = cases
    for _, step in pipeline.steps[:-1]:
        by_hand = step.transform(by_hand)
    assert pipeline.predict(cases).tolist() == pipeline[-1].predict(by_hand).tolist()
    names = pipeline[:-1].get_feature_names_out()
    assert len(names) == by_hand.shape[1]
    assert "last__stable_rank_fraction" in names


@pytest.mark.slow
def test_cross_validation_with_groups(nine_cases):
    cases, y = nine_cases
    groups = np.arange(9) // 3
    folds = StratifiedGroupKFold(3)
    with counted_examinations() as calls:
        result = cross_validate(
            whole_path(),
            cases,
            y,
            groups=groups,
            cv=folds,
            scoring=("balanced_accuracy", "neg_log_loss"),
            error_score="raise",
            return_estimator=True,
            return_indices=True,
        )
    assert len(calls) == 9
    for train, test in zip(*result["indices"].values(), strict=True):
        assert not set(groups[train]) & set(groups[test])
    for model, test, score in zip(
        result["estimator"],
        result["indices"]["test"],
        result["test_balanced_accuracy"],
        strict=True,
    ):
        predicted = model.predict([cases[i] for i in test])
        recalls = [(predicted[y[test] == c] == c).mean() for c in np.unique(y[test])]
        assert score == pytest.approx(np.mean(recalls))
    predicted = cross_val_predict(whole_path(), cases, y, groups=groups, cv=folds)
    assert len(predicted) == 9


@pytest.mark.slow
def test_grid_over_every_step(nine_cases):
    cases, y = nine_cases
    grid = {
        "layerspectra__curvature": ["hessian", "ggn"],
        "spectralfeatures__families": [("shape",), ("loo", "context")],
        "simpleimputer__strategy": ["mean", "median"],
        "logisticregression__C": [0.1, 1.0],
    }
    search = GridSearchCV(whole_path(), grid, cv=StratifiedKFold(3), error_score="raise")
    with counted_examinations() as calls:
        search.fit(cases, y)
    assert len(search.cv_results_["params"]) == 16
    assert len(calls) == 2 * 9  # once for each network and each setting of the spectra
    assert set(search.predict(cases)) <= set(y)


def test_clone_is_unfitted_and_equal(nine_cases):
    cases, y = nine_cases
    pipeline = whole_path(n_probes=2).fit(cases, y)
    copy = clone(pipeline)
    assert repr(copy) == repr(pipeline)
    assert not hasattr(copy[-1], "coef_")
    np.testing.assert_array_equal(copy.fit(cases, y)[-1].coef_, pipeline[-1].coef_)


def test_pandas_output(nine_cases):
    pd = pytest.importorskip("pandas")
    cases, y = nine_cases
    pipeline = whole_path().set_output(transform="pandas").fit(cases, y)
    frame = pipeline[:-1].transform(cases)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == pipeline[:-1].get_feature_names_out().tolist()
    assert pipeline[-1].feature_names_in_.tolist() == list(frame.columns)
    plain = whole_path().fit(cases, y)
    np.testing.assert_allclose(pipeline.predict_proba(cases), plain.predict_proba(cases))


@pytest.mark.slow
def test_n_jobs(nine_cases):
    cases, y = nine_cases
    expected = whole_path().fit(cases, y).predict_proba(cases)
    forget_examinations()
    pipeline = whole_path(n_jobs=2).fit(cases, y)
    np.testing.assert_allclose(pipeline.predict_proba(cases), expected, rtol=1e-6)
    forget_examinations()
    result = cross_validate(whole_path(), cases, y, cv=StratifiedKFold(2), n_jobs=2)
    assert np.isfinite(result["test_score"]).all()
    with parallel_config("threading", n_jobs=2):
        forget_examinations()
        np.testing.assert_allclose(pipeline.predict_proba(cases), expected, rtol=1e-6)


@pytest.mark.slow
def test_diagnoser_in_a_search(nine_cases):
    cases, y = nine_cases
    diagnoser = hd.FitDiagnoser(
        TableClassifier(10, random_state=0), hd.LayerSpectra(), hd.SpectralFeatures()
    )
    grid = {
        "features__families": [("shape",), ("loo",)],
        "estimator": [TableClassifier(10, random_state=0), TableClassifier(5, random_state=0)],
        "spectra__max_gram_size": [50, 60],
    }
    search = GridSearchCV(diagnoser, grid, cv=StratifiedKFold(3), error_score="raise")
    with counted_examinations() as calls:
        search.fit(cases, y)
    assert len(calls) == 2 * 9
    report = search.best_estimator_.explain(cases[0])
    assert report.diagnosis == search.predict(cases[:1])[0]


SCRIPT = """
import numpy as np
import torch
from sklearn.model_selection import cross_validate
from skorch import NeuralNetClassifier
import hessdiag as hd
from hessdiag.diagnosis import TableClassifier
from hessdiag.features import layer_table

class Mine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one = torch.nn.Linear(4, 5)
        self.two = torch.nn.Linear(5, 3)

    def forward(self, X):
        return self.two(torch.relu(self.one(X)))

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 4)).astype("float32"), rng.integers(0, 3, 20)
    cases = []
    for seed in range(3):
        torch.manual_seed(seed)
        net = NeuralNetClassifier(Mine, criterion=torch.nn.CrossEntropyLoss, max_epochs=2,
                                  train_split=None, verbose=0).fit(X, y)
        cases.append(hd.NetworkCase(net, X, y))
    examinations = hd.LayerSpectra(n_jobs=2).transform(cases)
    hd.features.forget_examinations()
    for left, right in zip(examinations, hd.LayerSpectra().transform(cases)):
        left, right = layer_table(left), layer_table(right)
        for name in left.measures:
            np.testing.assert_allclose(left.measures[name], right.measures[name], 1e-6, 1e-9)
    print("examined", len(examinations))
    diagnoser = hd.FitDiagnoser(TableClassifier(5))
    y = ["well-fit", "overfitting", "well-fit", "overfitting"]
    scores = cross_validate(diagnoser, [*cases, cases[0]], y, cv=2, n_jobs=2, error_score="raise")
    print("searched", len(scores["test_score"]) == 2)
"""


@pytest.mark.slow
def test_classes_of_a_script_with_two_workers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["examined", "3", "searched", "True"]
