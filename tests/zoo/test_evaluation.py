"""The evaluation is fair: no data set on both sides, no row that knows more than its name says."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import balanced_accuracy_score
from sklearn.tree import DecisionTreeClassifier

from hessdiag.features import LAYER_MEASURES, LayerTable, SpectralFeatures
from hessdiag.features._measures import CONTEXT_MEASURES
from hessdiag.zoo import evaluate_zoo, format_evaluation
from hessdiag.zoo._evaluation import (
    balanced_accuracy,
    bootstrap_interval,
    evaluation_rows,
    expected_calibration_error,
)

DIAGNOSES = np.array(["overfitting", "underparameterized", "well-fit"])


def make_zoo(n_networks=63, n_datasets=9, seed=0):
    """A zoo of random numbers."""
    rng = np.random.default_rng(seed)
    tables = [
        LayerTable(
            name=str(index),
            layers=("a", "b"),
            kinds=("Linear", "Linear"),
            measures={name: rng.normal(size=2) for name in LAYER_MEASURES},
            network={name: rng.normal() for name in LAYER_MEASURES},
            context={name: rng.normal() for name in CONTEXT_MEASURES},
        )
        for index in range(n_networks)
    ]
    names = ("train_loss", "train_error", "valid_loss", "valid_error")
    columns = {name: rng.random(n_networks) for name in names}
    columns["null_loss"] = np.full(n_networks, 1.1)
    return SimpleNamespace(
        tables=tables,
        data=SpectralFeatures().fit_transform(tables),
        target=rng.permutation(np.resize(DIAGNOSES, n_networks)).astype(object),
        groups=np.array([f"set-{index % n_datasets}" for index in range(n_networks)]),
        columns=columns,
        provenance={"label_reliability": 0.8, "command": "test"},
    )


class GroupWatcher(ClassifierMixin, BaseEstimator):
    """Takes the first column for the data set, and insists never to have met it."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.met_ = set(X[:, 0].tolist())
        return self

    def predict_proba(self, X):
        asked = set(X[:, 0].tolist())
        assert not asked & self.met_, "a data set is on both sides"
        assert len(self.met_ | asked) == 9
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def test_no_data_set_on_both_sides():
    zoo = make_zoo()
    index = np.unique(zoo.groups, return_inverse=True)[1]
    zoo.data = zoo.data.copy()
    zoo.data[:, 0] = index
    for table, number in zip(zoo.tables, index, strict=True):
        table.context[next(iter(CONTEXT_MEASURES))] = float(number)
    evaluate_zoo(zoo, GroupWatcher(), n_folds=3)


def test_row_that_knows_the_label_scores_one_and_dummy_a_third():
    zoo = make_zoo()
    zoo.data = (zoo.target[:, None] == DIAGNOSES).astype(float)
    result = evaluate_zoo(zoo, DecisionTreeClassifier(random_state=0), n_folds=3)
    rows = result["protocols"]["leave_datasets_out"]["rows"]
    assert rows["hessdiag"]["balanced_accuracy"] == 1
    assert rows["hessdiag"]["interval"] == [1, 1]
    assert rows["hessdiag"]["log_loss"] < 1e-6
    assert rows["hessdiag"]["confusion"] == [[21, 0, 0], [0, 21, 0], [0, 0, 21]]
    # One diagnosis for each fold: on average a third, exactly so where folds are balanced.
    zoo.target = np.resize(DIAGNOSES, 63).astype(object)[np.argsort(np.arange(63) % 9)]
    dummy = evaluate_zoo(zoo, DecisionTreeClassifier(random_state=0), n_folds=3)
    scores = dummy["protocols"]["leave_datasets_out"]["rows"]["dummy"]
    assert scores["balanced_accuracy"] == pytest.approx(1 / 3, abs=0.05)


def test_dummy_is_a_third_where_one_class_prevails():
    zoo = make_zoo()
    zoo.target = np.array(["well-fit"] * 45 + ["overfitting"] * 9 + ["underparameterized"] * 9)
    zoo.groups = np.array([f"set-{index % 9}" for index in range(63)])
    result = evaluate_zoo(zoo, DecisionTreeClassifier(random_state=0), n_folds=3)
    scores = result["protocols"]["leave_datasets_out"]["rows"]["dummy"]
    assert scores["balanced_accuracy"] == pytest.approx(1 / 3)


def test_only_named_rows_look_at_validation():
    zoo, scrambled = make_zoo(), make_zoo()
    rng = np.random.default_rng(1)
    for name in ("valid_loss", "valid_error"):
        scrambled.columns[name] = rng.permutation(scrambled.columns[name])
    before, after = evaluation_rows(zoo), evaluation_rows(scrambled)
    for name in ("dummy", "train_loss_sizes", "hessdiag"):
        np.testing.assert_array_equal(before[name], after[name])
    for name in ("validation", "hessdiag_validation"):
        assert (before[name] != after[name]).any()
    # Columns that no row may read at all are not even needed.
    assert not {"gain_widening", "test_error"} & set(zoo.columns)


def test_evaluation_is_reproducible_and_printed():
    zoo = make_zoo()
    tree = DecisionTreeClassifier(random_state=0)
    first, second = evaluate_zoo(zoo, tree, n_folds=3), evaluate_zoo(zoo, tree, n_folds=3)
    assert first == second
    assert first["n_networks"] == 63
    assert first["n_datasets"] == 9
    text = format_evaluation(first)
    for words in ("dummy", "training loss + sizes", "validation set", "hessdiag", "0.800"):
        assert words in text


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


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_bootstrap_naive_twin(seed):
    rng = np.random.default_rng(seed)
    target, predicted = DIAGNOSES[rng.integers(0, 3, (2, 60))]
    groups = rng.integers(0, 6, 60)
    found = bootstrap_interval(target, predicted, groups, random_state=seed, n_bootstrap=40)

    twin_rng = np.random.default_rng(seed)
    names = np.unique(groups)
    draws = twin_rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=40)
    scores = []
    for draw in draws:
        rows = np.concatenate(
            [np.tile(np.flatnonzero(groups == g), k) for g, k in zip(names, draw, strict=True)]
        ).astype(int)
        if len(set(target[rows])) == len(set(target)):
            recalls = [(predicted[rows][target[rows] == c] == c).mean() for c in np.unique(target)]
            scores.append(np.mean(recalls))
    np.testing.assert_allclose(found, np.quantile(scores, [0.025, 0.975]))


@given(st.integers(0, 1000))
def test_balanced_accuracy_is_sklearns(seed):
    rng = np.random.default_rng(seed)
    target = DIAGNOSES[np.append(rng.integers(0, 3, 30), [0, 1, 2])]
    predicted = DIAGNOSES[rng.integers(0, 3, 33)]
    expected = balanced_accuracy_score(target, predicted)
    assert balanced_accuracy(target, predicted) == pytest.approx(expected)


def test_diagnosis_missing_from_a_fold_gets_no_probability():
    zoo = make_zoo()
    zoo.target = np.where(zoo.groups == "set-0", "well-fit", zoo.target).astype(object)
    zoo.target[(zoo.groups != "set-0") & (zoo.target == "well-fit")] = "overfitting"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # sklearn's, of rare classes
        result = evaluate_zoo(zoo, DecisionTreeClassifier(random_state=0), n_folds=9)
    scores = result["protocols"]["leave_datasets_out"]["rows"]["hessdiag"]
    assert scores["recall"]["well-fit"] == 0


@pytest.mark.parametrize("n_folds", [1, 10])
def test_more_folds_than_data_sets(n_folds):
    with pytest.raises(ValueError, match=r"data sets \(9\)"):
        evaluate_zoo(make_zoo(), n_folds=n_folds)
