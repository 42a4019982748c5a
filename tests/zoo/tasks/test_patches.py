"""Patches of pictures: each is where it says, and the answer follows from the picture."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hessdiag.zoo import load_dataset
from hessdiag.zoo.sources import read_colors, read_disparity, read_faces, read_picture
from hessdiag.zoo.tasks._patches import cut_patches
from hessdiag.zoo.tasks._pictures import BLURS, PICTURE_TASKS, SURFACES

for package in ("PIL", "skimage", "pywt", "matplotlib"):
    pytest.importorskip(package)


def of(make):
    """Names of the tasks of one kind."""
    return [name for name, task in PICTURE_TASKS.items() if task.make.__name__ == make]


def images(name):
    dataset = load_dataset(name)
    return dataset.frame.to_numpy().reshape(-1, *dataset.shape), dataset.target


def patch(picture, index, height, width):
    """The index-th patch, found by counting."""
    columns = picture.shape[1] // width
    row, column = height * (index // columns), width * (index % columns)
    return picture[row : row + height, column : column + width]


def standard(image):
    return (image - image.mean()) / (image.std() + 1)


def test_which_picture_a_patch_is_of():
    X, y = images("surfaces")
    n_each = (512 // 8) ** 2
    assert np.bincount(y).tolist() == [n_each] * 3
    for index in range(0, len(X), 731):
        picture = read_picture(SURFACES[index // n_each])
        np.testing.assert_array_equal(X[index, 0], patch(picture, index % n_each, 8, 8))


@pytest.mark.parametrize("name", of("make_turned"))
def test_turned(name):
    X, y = images(name)
    (picture,) = map(read_picture, PICTURE_TASKS[name].arguments["pictures"])
    side = X.shape[-1]
    for index in range(0, len(X), 59):
        upright = X[index, 0]
        for _ in range(y[index]):
            upright = upright[:, ::-1].T  # back by a quarter, clockwise
            upright = upright[::-1, ::-1]
        expected = standard(patch(picture, index, side, side))
        np.testing.assert_allclose(upright, expected, atol=1e-9)
    counts = np.bincount(y)
    assert counts.min() > 0.7 * counts.max()


@pytest.mark.parametrize("name", of("make_blurred"))
def test_blurred(name):
    X, y = images(name)
    picture = read_picture(PICTURE_TASKS[name].arguments["pictures"][0])
    blurred = [gaussian_filter(picture, width) for width in BLURS]
    side = X.shape[-1]
    n_first = len(cut_patches(picture, side))
    for index in range(0, n_first, 97):
        expected = standard(patch(blurred[y[index]], index, side, side))
        np.testing.assert_allclose(X[index, 0], expected, atol=1e-9)


@pytest.mark.parametrize("name", of("make_enlarged"))
def test_distance(name):
    X, y = images(name)
    picture = read_picture(PICTURE_TASKS[name].arguments["pictures"][0])
    side = X.shape[-1]
    for index in range(0, min(len(X), 60), 7):
        factor = y[index] + 1
        block = patch(picture, index, 3 * side, 3 * side)
        errors = [
            np.abs(
                standard(
                    np.array(
                        [
                            [
                                block[
                                    top + factor * i : top + factor * (i + 1),
                                    left + factor * j : left + factor * (j + 1),
                                ].mean()
                                for j in range(side)
                            ]
                            for i in range(side)
                        ]
                    )
                )
                - X[index, 0]
            ).max()
            for top in range(3 * side - factor * side + 1)
            for left in range(3 * side - factor * side + 1)
        ]
        assert min(errors) < 1e-9


@pytest.mark.parametrize("name", of("make_beside"))
def test_beside(name):
    X, y = images(name)
    picture = read_picture(PICTURE_TASKS[name].arguments["pictures"][0])
    side = X.shape[-1]
    pairs = [patch(picture, index, side, 2 * side) for index in range(len(X))]
    rights = [pair[:, side:] for pair in pairs]
    for index in range(len(X)):
        np.testing.assert_array_equal(X[index, 0], pairs[index][:, :side])
        assert y[index] or index % 20 or any((right == X[index, 1]).all() for right in rights)
    together = np.array([(X[i, 1] == rights[i]).all() for i in range(len(X))])
    # Two places of one grey look the same wherever they are.
    assert together[y == 1].all()
    assert together[y == 0].mean() < 0.2
    # No patch is in two samples: what is right of some is right of one.
    assert sorted(x.tobytes() for x in X[:, 1]) == sorted(r.copy().tobytes() for r in rights)


@pytest.mark.parametrize("name", of("make_bands"))
def test_bands(name):
    X, y = images(name)
    picture = read_picture(PICTURE_TASKS[name].arguments["pictures"][0])
    side = X.shape[-1]
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    for index in range(0, len(X), 83):
        np.testing.assert_array_equal(X[index, 0], patch(picture, index, side, side))
        height = (index // columns + 0.5) / rows
        assert abs(height - (y[index] + 0.5) / 4) <= 0.125 + 1 / rows


@pytest.mark.parametrize("name", of("make_hidden"))
def test_hidden(name):
    X, y = images(name)
    arguments = PICTURE_TASKS[name].arguments
    picture = read_picture(arguments["pictures"][0])
    side, hole = arguments["side"], arguments["hole"]
    start = (side - hole) // 2
    for index in range(0, len(X), 71):
        seen, full = X[index, 0], patch(picture, index, side, side)
        differs = seen != full
        around = np.ones((side, side), dtype=bool)
        around[start : start + hole, start : start + hole] = False
        assert not differs[around].any()
        rest = full[around]
        np.testing.assert_allclose(seen[~around], rest.mean())
        expected = (full[~around].mean() - rest.mean()) / (rest.std() + 1)
        assert y[index, 0] == np.float32(expected)


@pytest.mark.parametrize("name", of("make_ahead"))
def test_ahead(name):
    X, y = images(name)
    arguments = PICTURE_TASKS[name].arguments
    picture = read_picture(arguments["pictures"][0])
    side, distance = arguments["side"], arguments["distance"]
    for index in range(0, len(X), 71):
        block = patch(picture, index, side + distance, side + distance)
        row = (side + distance) // 2
        last = block[row, side - 1]
        top = distance // 2
        np.testing.assert_array_equal(X[index, 0], block[top : top + side, :side] - last)
        assert y[index, 0] == np.float32(block[row, side - 1 + distance] - last)


@pytest.mark.parametrize("name", of("make_described"))
def test_colors_of_patches(name):
    X, y = images(name)
    arguments = PICTURE_TASKS[name].arguments
    red, green, blue = np.moveaxis(read_colors(arguments["picture"]), 2, 0)
    largest, least = (
        np.maximum(np.maximum(red, green), blue),
        np.minimum(np.minimum(red, green), blue),
    )
    expected = {"_redness": red - blue, "_saturation": largest - least}
    beside = expected[arguments["measure"].__name__]
    side = arguments["side"]
    for index in range(0, len(X), 71):
        grey = (red + green + blue) / 3
        np.testing.assert_allclose(X[index, 0], patch(grey, index, side, side))
        assert y[index, 0] == np.float32(patch(beside, index, side, side).mean())


def test_disparity_of_two_pictures():
    X, y = images("motorcycle")
    disparity = read_disparity()
    known = [
        index
        for index in range((500 // 12) * (741 // 12))
        if np.isfinite(patch(disparity, index, 12, 12)).all()
    ]
    assert len(known) == len(X)
    for place in range(0, len(X), 41):
        for channel, side in enumerate(("left", "right")):
            picture = read_picture(f"motorcycle_{side}")
            np.testing.assert_array_equal(X[place, channel], patch(picture, known[place], 12, 12))
        expected = patch(disparity, known[place], 12, 12).mean()
        np.testing.assert_allclose(y[place, 0], expected, rtol=1e-6)


def test_faces_and_their_quarters():
    faces = read_faces()
    X, y = images("faces")
    assert y.tolist() == [1] * 100 + [0] * 100
    np.testing.assert_allclose(X[7, 0, 3, 5], faces[7, 6:8, 10:12].mean())
    X, y = images("faces-quarters")
    for index in (0, 5, 399):
        face, quarter = divmod(index, 4)
        top, left = 12 * (quarter // 2), 12 * (quarter % 2)
        assert y[index] == quarter
        np.testing.assert_array_equal(X[index, 0], faces[face, top : top + 12, left : left + 12])
