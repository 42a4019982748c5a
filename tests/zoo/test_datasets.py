"""Splits keep held-out samples out, and noise is what was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.zoo import (
    DEMO_DATASET,
    Dataset,
    flip_labels,
    list_datasets,
    load_dataset,
    split_dataset,
)

pd = pytest.importorskip("pandas")


def numbered_dataset(n_samples, n_classes=3, seed=0):
    """A set whose first column is the sample's number, and whose second is a string."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"x0": np.arange(n_samples, dtype=float), "x1": rng.choice(["red", "green"], n_samples)}
    )
    return Dataset("numbered", "numbered", frame, np.arange(n_samples) % n_classes, n_classes)


@settings(max_examples=25, deadline=None)
@given(
    n_samples=st.integers(60, 300),
    n_train=st.integers(12, 200),
    seed=st.integers(0, 50),
    noise=st.sampled_from([0.0, 0.1, 0.33]),
)
def test_parts_are_disjoint_and_labels_true(n_samples, n_train, seed, noise):
    dataset = numbered_dataset(n_samples)
    split = split_dataset(dataset, n_train, noise, seed)
    # The scaler maps sample numbers affinely: undo it with two samples of known order.
    everything = np.concatenate([split.X_train, split.X_valid, split.X_test])[:, 0]
    gaps = np.diff(np.sort(everything))
    assert gaps.min() > 1e-4 * np.ptp(everything), "a sample is in two parts"
    assert len(split.X_train) == min(n_train, n_samples // 2)
    assert len(split.X_valid) == max(len(split.X_train) // 4, 6)
    assert len(everything) == n_samples
    rank = np.argsort(np.argsort(everything))
    clean = rank % 3
    n_kept = len(split.y_train)
    held_out = np.concatenate([split.y_valid, split.y_test])
    np.testing.assert_array_equal(held_out, clean[n_kept:])
    assert (split.y_train != clean[:n_kept]).sum() == round(noise * n_kept)


def test_scaler_and_encoder_saw_training_samples_alone():
    split = split_dataset(numbered_dataset(200), 80, random_state=3)
    np.testing.assert_allclose(split.X_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(split.X_train.std(axis=0), 1, atol=1e-5)
    assert np.abs(split.X_test.mean(axis=0)).max() > 1e-3


def test_held_out_samples_do_not_move_the_training_part():
    dataset = numbered_dataset(120)
    split = split_dataset(dataset, 40)
    train = np.isin(np.arange(120), numbers_of_training(dataset, split))
    changed = dataset.frame.copy()
    changed.loc[~train, "x0"] *= -1000
    changed.loc[~train, "x1"] = "never seen"
    other = split_dataset(Dataset("n", "n", changed, dataset.target, 3), 40)
    np.testing.assert_array_equal(split.X_train, other.X_train)
    np.testing.assert_array_equal(split.y_train, other.y_train)


def numbers_of_training(dataset, split):
    """Sample numbers of the training part, from their ranks among all parts."""
    everything = np.concatenate([split.X_train, split.X_valid, split.X_test])[:, 0]
    return np.argsort(np.argsort(everything))[: len(split.X_train)]


@pytest.mark.parametrize("name", ["iris", "crx", "letter"])
def test_real_sets(name):
    dataset = load_dataset(name)
    split = split_dataset(dataset, 100, random_state=1)
    assert dataset.n_classes <= 11
    assert set(np.unique(split.y_train)) == set(range(dataset.n_classes))
    for part in (split.X_train, split.X_valid, split.X_test):
        assert part.dtype == np.float32
        assert np.isfinite(part).all()
    assert len(split.X_test) <= 2000


def test_demo_set_is_kept_aside():
    assert DEMO_DATASET not in list_datasets()
    assert DEMO_DATASET in list_datasets(include_demo=True)
    with pytest.raises(ValueError, match="list_datasets"):
        load_dataset("no such set")


@given(
    y=st.lists(st.integers(0, 4), min_size=1, max_size=80),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_flipped_labels_are_counted_exactly(y, share, seed):
    y = np.array(y)
    noisy = flip_labels(y, 5, share, seed)
    assert (noisy != y).sum() == round(share * len(y))
    assert noisy.min() >= 0
    assert noisy.max() < 5
    np.testing.assert_array_equal(noisy, flip_labels(y, 5, share, seed))


def test_flipped_labels_are_uniform_over_the_other_classes():
    noisy = flip_labels(np.zeros(30_000, dtype=int), 4, 1.0)
    np.testing.assert_allclose(np.bincount(noisy) / 30_000, [0, 1 / 3, 1 / 3, 1 / 3], atol=0.01)
