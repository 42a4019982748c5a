"""Generated series and images: oscillations, autoregressions, bumps, gratings, shapes."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from hessdiag.zoo.tasks._dataset import (
    Task,
    make_classification_dataset,
    make_regression_dataset,
    task_seed,
)

N_SAMPLES = 6000
LENGTH = 32
SIDE = 10

#: Coefficients of the autoregressive processes to be told apart; all are stationary.
PROCESSES = [(0.0, 0.0), (0.5, 0.0), (0.9, -0.4), (-0.4, 0.3), (1.2, -0.6)]


def make_oscillations(name, parent, noise, n_classes=None):
    """Return sines of random phase in noise; their frequency, or its class, is the question."""
    rng = np.random.default_rng(task_seed(name))
    cycles = rng.uniform(1.0, 6.0, N_SAMPLES)
    if n_classes:
        labels = rng.integers(0, n_classes, N_SAMPLES)
        cycles = 1.0 + labels + rng.uniform(-0.35, 0.35, N_SAMPLES)
    time = np.arange(LENGTH) / LENGTH
    phase = 2 * np.pi * rng.random((N_SAMPLES, 1))
    X = np.sin(2 * np.pi * cycles[:, None] * time + phase)
    X += noise * rng.standard_normal(X.shape)
    return _dataset(name, parent, X, labels if n_classes else cycles, n_classes, (1, LENGTH))


def make_autoregressions(name, parent, classes):
    """Return autoregressive series; which process, or what coefficient, is the question."""
    rng = np.random.default_rng(task_seed(name))
    innovations = rng.standard_normal((N_SAMPLES, 100 + LENGTH))
    labels = rng.integers(0, len(PROCESSES), N_SAMPLES)
    coefficients = rng.uniform(-0.95, 0.95, N_SAMPLES)
    X = np.empty((N_SAMPLES, LENGTH))
    for index, row in enumerate(innovations):
        past = PROCESSES[labels[index]] if classes else (coefficients[index],)
        # The first hundred steps are left to forget the start.
        X[index] = lfilter([1.0], [1.0, *(-value for value in past)], row)[100:]
    return _dataset(name, parent, X, labels if classes else coefficients, classes, (1, LENGTH))


def make_bumps(name, parent, noise, classes):
    """Return one bump in noise, in either of two channels.

    Its profile (bell, dip, step or sawtooth) is the question, or its position and its width.
    """
    rng = np.random.default_rng(task_seed(name))
    center = rng.uniform(6, LENGTH - 6, N_SAMPLES)
    width = rng.uniform(1.0, 4.0, N_SAMPLES)
    labels = rng.integers(0, 4, N_SAMPLES) if classes else np.zeros(N_SAMPLES, dtype=int)
    offset = (np.arange(LENGTH) - center[:, None]) / width[:, None]
    bell = np.exp(-0.5 * offset**2)
    inside = np.abs(offset) < 2
    profiles = np.stack([bell, -bell, inside * 1.0, inside * offset / 2])
    X = noise * rng.standard_normal((N_SAMPLES, 2, LENGTH))
    rows = np.arange(N_SAMPLES)
    X[rows, rng.integers(0, 2, N_SAMPLES)] += profiles[labels, rows]
    answer = labels if classes else np.stack([center, width], axis=1)
    return _dataset(name, parent, X.reshape(N_SAMPLES, -1), answer, classes, (2, LENGTH))


def make_gratings(name, parent, noise, n_classes=None):
    """Return gratings of random phase and pitch in noise; their orientation is the question.

    As a regression it is given by the cosine and the sine of twice the angle.
    """
    rng = np.random.default_rng(task_seed(name))
    angle = np.pi * rng.random(N_SAMPLES)
    if n_classes:
        labels = rng.integers(0, n_classes, N_SAMPLES)
        angle = np.pi * (labels + rng.uniform(-0.3, 0.3, N_SAMPLES)) / n_classes
    cycles, phase = rng.uniform(1.5, 3.0, N_SAMPLES), rng.random(N_SAMPLES)
    across, down = np.meshgrid(np.arange(SIDE) / SIDE, np.arange(SIDE) / SIDE)
    along = np.multiply.outer(np.cos(angle), across) + np.multiply.outer(np.sin(angle), down)
    X = np.sin(2 * np.pi * (cycles[:, None, None] * along + phase[:, None, None]))
    X = (X + noise * rng.standard_normal(X.shape)).reshape(N_SAMPLES, -1)
    answer = labels if n_classes else np.stack([np.cos(2 * angle), np.sin(2 * angle)], axis=1)
    return _dataset(name, parent, X, answer, n_classes, (1, SIDE, SIDE))


def make_shapes(name, parent, noise, classes):
    """Return a disc, square, ring, cross or bar in noise; what it is, or its size, is the question.

    Each pixel inside has a brightness that varies from image to image.
    """
    rng = np.random.default_rng(task_seed(name))
    size = rng.uniform(1.5, 4.0, (N_SAMPLES, 1, 1))
    center = rng.uniform(3.0, SIDE - 4.0, (2, N_SAMPLES, 1, 1))
    grid = np.arange(SIDE)
    across = np.abs(grid[None, None, :] - center[0])
    down = np.abs(grid[None, :, None] - center[1])
    radius = np.hypot(across, down)
    square = np.maximum(across, down) <= 0.85 * size
    drawings = np.stack(
        [
            radius <= size,
            square,
            np.abs(radius - size) <= 0.6,
            (np.minimum(across, down) <= 0.6) & (np.maximum(across, down) <= size),
            (down <= 0.6) & (across <= size),
        ]
    )
    labels = rng.integers(0, len(drawings), N_SAMPLES)
    X = drawings[labels, np.arange(N_SAMPLES)] * rng.uniform(0.6, 1.4, (N_SAMPLES, 1, 1))
    X = (X + noise * rng.standard_normal(X.shape)).reshape(N_SAMPLES, -1)
    return _dataset(name, parent, X, labels if classes else size, classes, (1, SIDE, SIDE))


def _dataset(name, parent, X, answer, classes, shape):
    """Return the data set of a question with classes, or with numbers, for an answer."""
    make = make_classification_dataset if classes else make_regression_dataset
    return make(name, parent, X, answer, shape=shape)


def _task(make, parent, **arguments):
    """Return a task of a generated family."""
    return Task(parent, make, arguments, real=False)


SIGNAL_TASKS = {
    "oscillation-class": _task(make_oscillations, "oscillation", noise=0.5, n_classes=4),
    "oscillation-class-noisy": _task(make_oscillations, "oscillation", noise=1.0, n_classes=6),
    "oscillation-frequency": _task(make_oscillations, "oscillation", noise=0.3),
    "autoregression-class": _task(make_autoregressions, "autoregression", classes=True),
    "autoregression-coefficient": _task(make_autoregressions, "autoregression", classes=False),
    "bump-class": _task(make_bumps, "bump", noise=0.3, classes=True),
    "bump-place": _task(make_bumps, "bump", noise=0.2, classes=False),
    "grating-class": _task(make_gratings, "grating", noise=0.7, n_classes=4),
    "grating-class-fine": _task(make_gratings, "grating", noise=0.4, n_classes=8),
    "grating-angle": _task(make_gratings, "grating", noise=0.4),
    "shape-class": _task(make_shapes, "shape", noise=0.3, classes=True),
    "shape-size": _task(make_shapes, "shape", noise=0.4, classes=False),
}
