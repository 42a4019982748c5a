"""Checks that an estimator works inside sklearn's own machinery."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.pipeline import FeatureUnion, make_pipeline

from hessdiag.features import LayerSpectra, SpectralFeatures, counted_examinations
from hessdiag.testing._case_check import (
    answers,
    assert_same_answers,
    case_check,
    classifier,
    fitted,
    list_transformer,
    table_transformer,
    takes_cases,
)


@case_check(list_transformer)
def check_pipeline_to_table(estimator, trial):
    """Before SpectralFeatures it gives a table, the same as step by step."""
    X = trial.X
    pipeline = make_pipeline(clone(estimator), SpectralFeatures()).fit(X)
    by_hand = SpectralFeatures().fit_transform(fitted(estimator, X, trial.y).transform(X))
    np.testing.assert_array_equal(pipeline.transform(X), by_hand)


@case_check(table_transformer)
def check_pipeline_from_networks(estimator, trial):
    """After LayerSpectra it takes networks, and gives the same as step by step."""
    first = [] if trial.takes == "cases" else [LayerSpectra()]
    pipeline = make_pipeline(*first, clone(estimator)).fit(trial.cases, trial.y)
    by_hand = fitted(estimator, trial.X, trial.y).transform(trial.X)
    np.testing.assert_array_equal(pipeline.transform(trial.cases), by_hand)


@case_check(table_transformer)
def check_feature_union(estimator, trial):
    """Twice in a union it gives both tables side by side."""
    union = FeatureUnion([("one", clone(estimator)), ("two", clone(estimator))])
    table = fitted(estimator, trial.X, trial.y).transform(trial.X)
    both = union.fit(trial.X, trial.y).transform(trial.X)
    np.testing.assert_array_equal(both, np.hstack([table, table]))
    assert len(union.get_feature_names_out()) == both.shape[1]


@case_check(table_transformer)
def check_pipeline_classifier(estimator, trial):
    """Any classifier can follow, and the whole can be cross-validated."""
    pipeline = make_pipeline(clone(estimator), DummyClassifier(strategy="prior"))
    folds = StratifiedKFold(3)
    scores = cross_validate(pipeline, trial.X, trial.y, cv=folds, error_score="raise")
    np.testing.assert_allclose(scores["test_score"], 1 / 3)


@case_check(classifier)
def check_classifier_in_pipeline(estimator, trial):
    """As the last step of a pipeline it answers as alone."""
    pipeline = make_pipeline("passthrough", estimator)
    alone = fitted(estimator, trial.X, trial.y)
    message = "In a pipeline it gives another answer."
    inside = fitted(pipeline, trial.X, trial.y)
    assert_same_answers(answers(alone, trial.X), _same_methods(inside, alone, trial.X), message)
    assert list(inside.classes_) == list(alone.classes_)


@case_check(classifier)
def check_cross_validation(estimator, trial):
    """cross_validate with groups never shows a group to fit and score at once, and scores."""
    groups = np.arange(len(trial.X)) // 3
    folds = StratifiedGroupKFold(3)
    result = cross_validate(
        estimator,
        trial.X,
        trial.y,
        groups=groups,
        cv=folds,
        scoring=["accuracy", "balanced_accuracy"],
        error_score="raise",
    )
    assert len(result["test_accuracy"]) == 3
    assert np.isfinite(result["test_balanced_accuracy"]).all()
    predicted = cross_val_predict(estimator, trial.X, trial.y, cv=folds, groups=groups)
    assert predicted.shape == (len(trial.X),)


@case_check(classifier)
def check_grid_search(estimator, trial):
    """GridSearchCV clones, splits lists of networks, scores, refits and answers."""
    search = GridSearchCV(estimator, {}, cv=StratifiedKFold(3), error_score="raise")
    search.fit(trial.X, trial.y)
    assert 0 <= search.best_score_ <= 1
    alone = answers(fitted(estimator, trial.X, trial.y), trial.X)
    found = _same_methods(search.best_estimator_, fitted(estimator, trial.X, trial.y), trial.X)
    assert {name: len(a) for name, a in found.items()} == {n: len(a) for n, a in alone.items()}


@case_check(takes_cases)
def check_search_examines_once(estimator, trial):
    """A grid search over folds examines each network once."""
    last = [] if classifier(estimator, trial.takes) is None else [_Constant()]
    search = GridSearchCV(
        make_pipeline(clone(estimator), *last), {}, cv=StratifiedKFold(3), error_score="raise"
    )
    with counted_examinations() as calls:
        search.fit(trial.cases, trial.y)
    twice = sorted({name for name in calls if calls.count(name) > 1})
    assert not twice, f"Cross-validation examined {twice} more than once."


class _Constant(DummyClassifier):
    """A classifier that looks at the number of networks alone."""

    def fit(self, X, y):
        """Learn the classes."""
        return super().fit(np.zeros((len(X), 1)), y)

    def predict(self, X):
        """Name the most frequent class."""
        return super().predict(np.zeros((len(X), 1)))

    def score(self, X, y):
        """Share of right answers."""
        return super().score(np.zeros((len(X), 1)), y)


def _same_methods(estimator, model, X):
    """Answers of an estimator, from the methods that a model has."""
    return {name: getattr(estimator, name)(X) for name in answers(model, X)}
