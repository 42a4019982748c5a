"""sklearn's own suite, in full, on the classifier that takes numeric tables."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from hessdiag.diagnosis import TableClassifier


@parametrize_with_checks([TableClassifier(n_estimators=10)])
def test_sklearn_suite(estimator, check):
    check(estimator)


def test_suite_is_run_in_full():
    names = [check.func.__name__ for _, check in estimator_checks_generator(TableClassifier())]
    assert len(names) > 45
    for name in ("check_classifiers_train", "check_n_features_in", "check_estimators_pickle"):
        assert name in names


def test_gaps_are_welcome():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = np.where(X[:, 0] > 0, "well-fit", "overfitting")
    X[rng.random(X.shape) < 0.2] = np.nan
    model = TableClassifier(random_state=0).fit(X, y)
    assert model.score(X, y) > 0.7
    assert np.isfinite(model.predict_proba(np.full((1, 4), np.nan))).all()
    with pytest.raises(ValueError, match="infinity"):
        model.predict(np.full((1, 4), np.inf))


def test_is_balanced_trees():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    trees = ExtraTreesClassifier(
        30, min_samples_leaf=2, max_features=0.5, class_weight="balanced", random_state=1
    ).fit(X, y)
    model = TableClassifier(30, min_samples_leaf=2, max_features=0.5, random_state=1).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), trees.predict_proba(X))
