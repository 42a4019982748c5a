"""Tasks of letters, graphs and handwritten digits: those of recipes of practice."""

from __future__ import annotations

import numpy as np

from hessdiag.zoo.sources import draw_letters, read_graphs
from hessdiag.zoo.tasks._dataset import (
    Task,
    make_classification_dataset,
    make_regression_dataset,
    task_seed,
)
from hessdiag.zoo.tasks._real import read_samples

#: Size of a letter's image, and sizes of the fonts.
SIDE = 14
SIZES = (11, 12, 13)

#: Most nodes of a graph.
N_NODES = 7


def make_letters(name, parent, letters, question, noise):
    """Return images of letters in many fonts and sizes, moved by up to a pixel, in noise.

    Which letter, family, weight or slant it is, whether it is a small one, or whether it is
    mirrored.
    """
    rng = np.random.default_rng(task_seed(name))
    drawn, what = draw_letters(letters, SIDE, SIZES)
    images = np.stack(
        [np.roll(image, rng.integers(-1, 2, 2), axis=(0, 1)) for image in drawn] * 2
        if len(drawn) < 1000
        else [np.roll(image, rng.integers(-1, 2, 2), axis=(0, 1)) for image in drawn]
    )
    what = what * (len(images) // len(what))
    place = ("letter", "family", "weight", "slant").index(question) if question in (
        "letter", "family", "weight", "slant") else None
    if question == "mirrored":
        labels = rng.integers(0, 2, len(images))
        images = np.where(labels[:, None, None], images[:, :, ::-1], images)
    elif question == "small":
        labels = [letter.islower() for letter, *_ in what]
    else:
        labels = [item[place] for item in what]
    images = images + noise * rng.standard_normal(images.shape)
    return _image_classes(name, parent, images, labels)


def make_graphs(name, parent, question):
    """Return graphs as matrices, nodes in random order: triangles, connected, two-colorable.

    Nodes that a smaller graph lacks are joined to none.
    """
    rng = np.random.default_rng(task_seed(name))
    matrices, answers = [], []
    for joined in read_graphs():
        n_nodes = len(joined)
        matrix = np.zeros((N_NODES, N_NODES))
        order = rng.permutation(N_NODES)[:n_nodes]
        matrix[np.ix_(order, order)] = joined
        matrices.append(matrix)
        walks = joined.astype(float)
        if question == "triangles":
            answers.append(np.trace(walks @ walks @ walks) / 6)
        elif question == "apart":
            eigenvalues = np.linalg.eigvalsh(np.diag(walks.sum(axis=0)) - walks)
            answers.append(eigenvalues[1])
        else:
            answers.append(np.linalg.eigvalsh(walks)[-1])
    shape = (1, N_NODES, N_NODES)
    flat = np.stack(matrices).reshape(len(matrices), -1)
    return make_regression_dataset(name, parent, flat, answers, shape=shape)


def make_digits_pairs(name, parent, question):
    """Return two handwritten digits, no image in two pairs: their sum, or whether both are one."""
    frame, labels = read_samples(parent)
    rng = np.random.default_rng(task_seed(name))
    order = rng.permutation(len(labels))
    digits = labels.astype(int)
    first, second = order[: len(order) // 2], order[len(order) // 2 : len(order) // 2 * 2]
    if question == "same":
        # Of half of the pairs, the second is taken from those of the first one's digit.
        first, second = _half_the_same(digits, order, rng)
    pixels = frame.to_numpy(float)
    pairs = np.concatenate([pixels[first], pixels[second]], axis=1)
    shape = (2, 8, 8)
    if question == "sum":
        return make_regression_dataset(
            name, parent, pairs, digits[first] + digits[second], shape=shape
        )
    answer = {"same": digits[first] == digits[second], "larger": digits[first] > digits[second]}
    return make_classification_dataset(name, parent, pairs, answer[question], shape=shape)


def make_digits_turned(name, parent):
    """Return handwritten digits, each turned by some quarters of a circle: by how many."""
    pixels = read_samples(parent)[0].to_numpy(float).reshape(-1, 8, 8)
    quarters = np.random.default_rng(task_seed(name)).integers(0, 4, len(pixels))
    turned = np.stack([np.rot90(image, count) for image, count in zip(pixels, quarters)])
    return _image_classes(name, parent, turned, quarters)


def make_digits_halved(name, parent):
    """Return the upper halves of handwritten digits, and the ink in each quarter of the lower."""
    pixels = read_samples(parent)[0].to_numpy(float).reshape(-1, 8, 8)
    ink = pixels[:, 4:].reshape(-1, 2, 2, 2, 4).mean(axis=(2, 4)).reshape(-1, 4)
    return make_regression_dataset(
        name, parent, pixels[:, :4].reshape(-1, 32), ink, shape=(1, 4, 8)
    )


def make_backwards(name, parent, shape):
    """Return real series, half of them backwards: whether one is."""
    series = read_samples(parent)[0].to_numpy(float).reshape(-1, *shape)
    labels = np.random.default_rng(task_seed(name)).integers(0, 2, len(series))
    turned = np.where(labels[:, None, None], series[:, :, ::-1], series)
    return make_classification_dataset(
        name, parent, turned.reshape(len(turned), -1), labels, shape=shape
    )


def _half_the_same(digits, order, rng):
    """Return two lists of samples, none twice, that agree in about half of all pairs."""
    first, second, waiting = [], [], {}
    apart = []
    for index in order:
        if rng.random() < 0.5:
            apart.append(index)
        elif digits[index] in waiting:
            first.append(waiting.pop(digits[index]))
            second.append(index)
        else:
            waiting[digits[index]] = index
    half = len(apart) // 2
    return first + apart[:half], second + apart[half : 2 * half]


def _image_classes(name, parent, images, labels):
    """Return a classification task of images (n_images, height, width)."""
    return make_classification_dataset(
        name, parent, images.reshape(len(images), -1), labels, shape=(1, *images.shape[1:])
    )


def _task(make, parent, **arguments):
    """Return a task of recipes of practice."""
    return Task(parent, make, arguments, plain=False)


DRAWN_TASKS = {
    "glyphs": _task(
        make_letters, "glyphs", letters="aceghmnrsuv", question="letter", noise=60.0
    ),
    "glyphs-family": _task(
        make_letters, "glyphs", letters="abdefgkmnpqrstuw", question="family", noise=20.0
    ),
    "glyphs-slant": _task(
        make_letters, "glyphs", letters="bdfhiklmnpqrtuHIKLMNTU", question="slant", noise=30.0
    ),
    "glyphs-weight": _task(
        make_letters, "glyphs", letters="ABCDEHKMRSUXabdehkmns", question="weight", noise=60.0
    ),
    "glyphs-mirrored": _task(
        make_letters, "glyphs", letters="BCDEFGJKLNPQRSZabcdefg", question="mirrored", noise=30.0
    ),
    "graphs": _task(make_graphs, "graphs", question="triangles"),
    "graphs-apart": _task(make_graphs, "graphs", question="apart"),
    "graphs-radius": _task(make_graphs, "graphs", question="radius"),
    "optdigits-sum": _task(make_digits_pairs, "optdigits", question="sum"),
    "optdigits-larger": _task(make_digits_pairs, "optdigits", question="larger"),
    "optdigits-same": _task(make_digits_pairs, "optdigits", question="same"),
    "optdigits-turned": _task(make_digits_turned, "optdigits"),
    "optdigits-halved": _task(make_digits_halved, "optdigits"),
    "penbased-backwards": _task(make_backwards, "penbased", shape=(2, 8)),
    "mnist1d-backwards": _task(make_backwards, "mnist1d", shape=(1, 40)),
}
