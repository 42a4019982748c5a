"""Pictures: pixel for pixel what other readers of the same files see."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from hessdiag.zoo.sources import (
    PICTURES,
    read_colors,
    read_disparity,
    read_faces,
    read_picture,
)

pytest.importorskip("PIL")


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    pytest.importorskip(PICTURES[name][0])
    picture = read_picture(name)
    assert picture.ndim == 2
    assert min(picture.shape) >= 90
    assert np.isfinite(picture).all()
    assert np.unique(picture).size > 50
    if PICTURES[name][1].endswith(".npz"):
        return
    pyplot = pytest.importorskip("matplotlib.image")
    folder = Path(importlib.util.find_spec(PICTURES[name][0]).origin).parent
    pixels = pyplot.imread(folder / PICTURES[name][1]).astype(float)
    # That reader has PNG from 0 to 1, and keeps what is transparent in a fourth channel.
    pixels *= 255 if pixels.max() <= 1 else 1
    grey = pixels if pixels.ndim == 2 else pixels[:, :, :3].mean(axis=2)
    np.testing.assert_allclose(picture, grey, atol=0.01)


def test_colors_come_in_the_order_of_the_photograph():
    np.testing.assert_array_equal(read_colors("china"), load_sample_image("china.jpg"))


def test_arrays_are_the_ones_meant():
    pywt = pytest.importorskip("pywt")
    np.testing.assert_array_equal(read_picture("aero"), pywt.data.aero())
    np.testing.assert_array_equal(read_picture("ascent"), pywt.data.ascent())
    cbook = pytest.importorskip("matplotlib.cbook")
    relief = cbook.get_sample_data("jacksboro_fault_dem.npz")
    np.testing.assert_array_equal(read_picture("jacksboro"), relief["elevation"])


def test_disparity_and_faces_are_what_scikit_image_loads():
    data = pytest.importorskip("skimage.data")
    left, right, disparity = data.stereo_motorcycle()
    np.testing.assert_array_equal(read_disparity(), disparity)
    np.testing.assert_array_equal(read_colors("motorcycle_left"), left)
    np.testing.assert_array_equal(read_colors("motorcycle_right"), right)
    np.testing.assert_array_equal(read_faces(), data.lfw_subset())
