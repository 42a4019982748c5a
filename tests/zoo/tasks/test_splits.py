"""Splits keep held-out samples out, and noise is what was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.zoo import Dataset, flip_labels, split_dataset

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


def numbered_regression(n_samples):
    """A regression whose two targets are affine in the sample's number, the only column."""
    numbers = np.arange(n_samples, dtype=float)
    target = np.stack([5 + 3 * numbers, -numbers], axis=1).astype(np.float32)
    frame = pd.DataFrame({"x0": numbers})
    return Dataset("numbered", "numbered", frame, target, 2, kind="regression")


@settings(max_examples=15, deadline=None)
@given(n_samples=st.integers(40, 300), n_train=st.integers(8, 200), seed=st.integers(0, 50))
def test_regression_targets_are_in_training_deviations(n_samples, n_train, seed):
    split = split_dataset(numbered_regression(n_samples), n_train, random_state=seed)
    assert split.kind == "regression"
    assert split.n_outputs == split.n_classes == 2
    assert split.null_loss == 1.0
    np.testing.assert_allclose(split.y_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(split.y_train.var(axis=0), 1, atol=1e-5)
    everything = np.concatenate([split.X_train, split.X_valid, split.X_test])
    assert len(np.unique(everything)) == len(everything) == n_samples
    # Features and targets are the same number, both standardized by the training part.
    targets = np.concatenate([split.y_train, split.y_valid, split.y_test])
    assert targets.dtype == np.float32
    np.testing.assert_allclose(targets, everything * [1, -1], atol=1e-4)


def test_regression_noise_is_gaussian_of_the_variance_asked_for_and_in_training_alone():
    dataset = numbered_regression(8000)
    clean, noisy = (split_dataset(dataset, 4000, noise, 3) for noise in (0.0, 0.25))
    noise = (noisy.y_train - clean.y_train) / 0.5
    # Four standard errors of mean, variance and fourth moment of 4,000 normal values.
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(noise.var(axis=0), 1, atol=4 * np.sqrt(2 / 4000))
    np.testing.assert_allclose((noise**4).mean(axis=0), 3, atol=4 * np.sqrt(96 / 4000))
    assert abs(np.corrcoef(noise.T)[0, 1]) < 4 / np.sqrt(4000)
    for part in ("X_train", "X_valid", "y_valid", "X_test", "y_test"):
        np.testing.assert_array_equal(getattr(clean, part), getattr(noisy, part))


def test_null_loss_of_classification_is_that_of_the_uniform_guess():
    assert split_dataset(numbered_dataset(60), 20).null_loss == pytest.approx(np.log(3))


def test_negative_noise_is_refused():
    with pytest.raises(ValueError, match=r"label_noise >= 0, found -0\.1"):
        split_dataset(numbered_dataset(60), 20, label_noise=-0.1)


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
