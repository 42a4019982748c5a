"""Generated tables of our own: mixtures, spirals, parities, boards, sparse linear rules."""

from __future__ import annotations

import numpy as np

from hessdiag.zoo.tasks._dataset import (
    Task,
    make_classification_dataset,
    make_regression_dataset,
    task_seed,
)

N_SAMPLES = 6000


def make_mixture(name, parent, n_features, n_classes, n_components, spread):
    """Return classes that are mixtures of Gaussians, with centers of variance 1 in each column.

    The components of a class lie anywhere, and have standard deviation ``spread``.
    """
    rng = np.random.default_rng(task_seed(name))
    centers = rng.standard_normal((n_classes * n_components, n_features))
    component = rng.integers(0, len(centers), N_SAMPLES)
    X = centers[component] + spread * rng.standard_normal((N_SAMPLES, n_features))
    return make_classification_dataset(name, parent, X, component % n_classes)


def make_spirals(name, parent, n_arms, turns, noise):
    """Return points along intertwined spirals: which arm is the question."""
    rng = np.random.default_rng(task_seed(name))
    arm = rng.integers(0, n_arms, N_SAMPLES)
    position = np.sqrt(rng.random(N_SAMPLES))
    angle = 2 * np.pi * (turns * position + arm / n_arms)
    X = position[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return make_classification_dataset(name, parent, X + noise * rng.standard_normal(X.shape), arm)


def make_parity(name, parent, n_bits, n_relevant, flip):
    """Return bits, and the parity of the first of them; a share of the labels is flipped."""
    rng = np.random.default_rng(task_seed(name))
    bits = rng.integers(0, 2, (N_SAMPLES, n_bits))
    parity = (bits[:, :n_relevant].sum(axis=1) + (rng.random(N_SAMPLES) < flip)) % 2
    return make_classification_dataset(name, parent, bits.astype(float), parity)


def make_board(name, parent, n_features, n_fields, flip):
    """Return points of a cube that is cut into fields of alternating color, some colors flipped."""
    rng = np.random.default_rng(task_seed(name))
    X = rng.uniform(0, n_fields, (N_SAMPLES, n_features))
    color = (np.floor(X).sum(axis=1).astype(int) + (rng.random(N_SAMPLES) < flip)) % 2
    return make_classification_dataset(name, parent, X, color)


def make_sparse_logistic(name, parent, n_features, n_relevant, n_classes, steepness):
    """Return labels drawn from the softmax of linear scores in the first few columns."""
    rng = np.random.default_rng(task_seed(name))
    X = rng.standard_normal((N_SAMPLES, n_features))
    weight = steepness * rng.standard_normal((n_relevant, n_classes)) / np.sqrt(n_relevant)
    scores = X[:, :n_relevant] @ weight + rng.gumbel(size=(N_SAMPLES, n_classes))
    return make_classification_dataset(name, parent, X, scores.argmax(axis=1))


def make_waves(name, parent, n_features, frequency, noise):
    """Return Gaussian inputs, and a sine of their projection on one direction plus noise.

    ``noise`` is the variance of the noise; that of the sine is about a half.
    """
    rng = np.random.default_rng(task_seed(name))
    X = rng.standard_normal((N_SAMPLES, n_features))
    direction = rng.standard_normal(n_features)
    direction /= np.linalg.norm(direction)
    values = np.sin(frequency * (X @ direction)) + np.sqrt(noise) * rng.standard_normal(N_SAMPLES)
    return make_regression_dataset(name, parent, X, values)


def _task(make, parent, **arguments):
    """Return a task of a generated family."""
    return Task(parent, make, arguments, real=False)


SYNTHETIC_TASKS = {
    "mixture-2": _task(
        make_mixture, "mixture", n_features=2, n_classes=4, n_components=3, spread=0.25
    ),
    "mixture-5": _task(
        make_mixture, "mixture", n_features=5, n_classes=3, n_components=4, spread=0.6
    ),
    "mixture-10": _task(
        make_mixture, "mixture", n_features=10, n_classes=6, n_components=3, spread=1.0
    ),
    "mixture-25": _task(
        make_mixture, "mixture", n_features=25, n_classes=10, n_components=2, spread=2.0
    ),
    "spirals-2": _task(make_spirals, "spirals", n_arms=2, turns=1.25, noise=0.03),
    "spirals-3": _task(make_spirals, "spirals", n_arms=3, turns=0.75, noise=0.06),
    "spirals-5": _task(make_spirals, "spirals", n_arms=5, turns=0.5, noise=0.04),
    "parity-2-of-16": _task(make_parity, "parity", n_bits=16, n_relevant=2, flip=0.05),
    "parity-3-of-20": _task(make_parity, "parity", n_bits=20, n_relevant=3, flip=0.0),
    "board-2": _task(make_board, "board", n_features=2, n_fields=3, flip=0.05),
    "board-2-fine": _task(make_board, "board", n_features=2, n_fields=5, flip=0.0),
    "board-3": _task(make_board, "board", n_features=3, n_fields=2, flip=0.1),
    "logistic-20": _task(
        make_sparse_logistic, "logistic", n_features=20, n_relevant=3, n_classes=2, steepness=2.0
    ),
    "logistic-40": _task(
        make_sparse_logistic, "logistic", n_features=40, n_relevant=6, n_classes=4, steepness=3.0
    ),
    "logistic-60": _task(
        make_sparse_logistic, "logistic", n_features=60, n_relevant=5, n_classes=3, steepness=5.0
    ),
    "waves-3": _task(make_waves, "waves", n_features=3, frequency=3.0, noise=0.05),
    "waves-10": _task(make_waves, "waves", n_features=10, frequency=1.5, noise=0.2),
}
