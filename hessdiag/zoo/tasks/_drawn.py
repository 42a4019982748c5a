"""Tasks of letters, graphs and handwritten digits: those of recipes of practice."""

from __future__ import annotations

import numpy as np

from hessdiag.zoo.sources import draw_letters, read_graphs
from hessdiag.zoo.tasks._dataset import (
    make_classification_dataset,
    make_image_dataset,
    make_regression_dataset,
    practice_task,
    task_seed,
)
from hessdiag.zoo.tasks._real import read_samples

#: Size of a letter's image, and sizes of the fonts.
SIDE = 14
SIZES = (9, 10, 11, 12, 13)

#: Most nodes of a graph.
N_NODES = 7


def make_letters(name, parent, letters, question, noise):
    """Return images of letters in many fonts and sizes, moved by up to a pixel, in noise.

    Which letter, weight or slant it is, or whether it is mirrored.
    """
    rng = np.random.default_rng(task_seed(name))
    drawn, what = draw_letters(letters, SIDE, SIZES)
    moves = rng.integers(-1, 2, (len(drawn), 2))
    images = np.stack([np.roll(image, move, axis=(0, 1)) for image, move in zip(drawn, moves)])
    if question == "mirrored":
        labels = rng.integers(0, 2, len(images))
        images = np.where(labels[:, None, None], images[:, :, ::-1], images)
    else:
        place = {"letter": 0, "weight": 2, "slant": 3}[question]
        labels = [item[place] for item in what]
    images = images + noise * rng.standard_normal(images.shape)
    return make_image_dataset(name, parent, images, labels)


def make_graphs(name, parent, question):
    """Return graphs as matrices, nodes in random order, and a number that the order leaves alone.

    How many triangles there are, how hard it is to cut the graph in two (the second eigenvalue of
    its Laplacian), or its spectral radius. Nodes that a smaller graph lacks are joined to none.
    """
    rng = np.random.default_rng(task_seed(name))
    matrices, answers = [], []
    for joined in read_graphs():
        matrix = np.zeros((N_NODES, N_NODES))
        order = rng.permutation(N_NODES)[: len(joined)]
        matrix[np.ix_(order, order)] = joined
        matrices.append(matrix.ravel())
        steps = joined.astype(float)
        if question == "triangles":
            answers.append(np.trace(steps @ steps @ steps) / 6)
        elif question == "cut":
            answers.append(np.linalg.eigvalsh(np.diag(steps.sum(axis=0)) - steps)[1])
        else:
            answers.append(np.linalg.eigvalsh(steps)[-1])
    shape = (1, N_NODES, N_NODES)
    return make_regression_dataset(name, parent, np.stack(matrices), answers, shape=shape)


def make_digit_pairs(name, parent, question):
    """Return pairs of handwritten digits, no digit in two of them.

    Their sum, whether the first one is larger, or whether both are the same.
    """
    frame, labels = read_samples(parent)
    rng = np.random.default_rng(task_seed(name))
    digits, pixels = labels.astype(int), frame.to_numpy(float)
    order = rng.permutation(len(digits))
    if question == "same":
        first, second = _half_the_same(digits, order, rng)
    else:
        half = len(order) // 2
        first, second = order[:half], order[half : 2 * half]
    pairs = np.concatenate([pixels[first], pixels[second]], axis=1)
    one, other = digits[first], digits[second]
    if question == "sum":
        return make_regression_dataset(name, parent, pairs, one + other, shape=(2, 8, 8))
    answer = one == other if question == "same" else one > other
    return make_classification_dataset(name, parent, pairs, answer, shape=(2, 8, 8))


def make_turned_digits(name, parent):
    """Return handwritten digits, each turned by some quarters of a circle: by how many."""
    pixels = read_samples(parent)[0].to_numpy(float).reshape(-1, 8, 8)
    quarters = np.random.default_rng(task_seed(name)).integers(0, 4, len(pixels))
    turned = np.stack([np.rot90(image, count) for image, count in zip(pixels, quarters)])
    return make_image_dataset(name, parent, turned, quarters)


def make_halved_digits(name, parent):
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
    first, second, apart, waiting = [], [], [], {}
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


DRAWN_TASKS = {
    "glyphs": practice_task(
        make_letters, "glyphs", letters="aceghmnrsuv", question="letter", noise=30.0
    ),
    "glyphs-slant": practice_task(
        make_letters, "glyphs", letters="bdfhiklmnpqrtuHIKLMNTU", question="slant", noise=30.0
    ),
    "glyphs-weight": practice_task(
        make_letters, "glyphs", letters="ABCDEHKMRSUXabdehkmns", question="weight", noise=60.0
    ),
    "glyphs-mirrored": practice_task(
        make_letters, "glyphs", letters="BCDEFGJKLNPQRSZabcdefg", question="mirrored", noise=30.0
    ),
    "graphs": practice_task(make_graphs, "graphs", question="triangles"),
    "graphs-cut": practice_task(make_graphs, "graphs", question="cut"),
    "graphs-radius": practice_task(make_graphs, "graphs", question="radius"),
    "optdigits-sum": practice_task(make_digit_pairs, "optdigits", question="sum"),
    "optdigits-larger": practice_task(make_digit_pairs, "optdigits", question="larger"),
    "optdigits-same": practice_task(make_digit_pairs, "optdigits", question="same"),
    "optdigits-turned": practice_task(make_turned_digits, "optdigits"),
    "optdigits-halved": practice_task(make_halved_digits, "optdigits"),
    "penbased-backwards": practice_task(make_backwards, "penbased", shape=(2, 8)),
}
