"""Tasks from scikit-learn's generators: each generator is one family, and one parent."""

from __future__ import annotations

import numpy as np
from sklearn import datasets

from hessdiag.zoo.tasks._dataset import (
    Task,
    make_classification_dataset,
    make_regression_dataset,
    task_seed,
)

# Many samples, for held-out losses to be measured well.
N_SAMPLES = 6000


def make_labels(name, parent, flip=0.0, **arguments):
    """Return what a generator of scikit-learn makes for classification.

    ``flip`` is the share of samples whose label is drawn anew at random.
    """
    seed = task_seed(name)
    generate = getattr(datasets, f"make_{parent}")
    X, labels = generate(n_samples=N_SAMPLES, random_state=seed, **arguments)
    rng = np.random.default_rng(seed)
    classes, labels = np.unique(labels, return_inverse=True)
    anew = rng.random(N_SAMPLES) < flip
    labels[anew] = rng.integers(0, len(classes), anew.sum())
    return make_classification_dataset(name, parent, X, labels)


def make_values(name, parent, noise_share=0.0, **arguments):
    """Return what a generator of scikit-learn makes for regression.

    ``noise_share`` is the variance of Gaussian noise added to the target, as a share of the
    variance of what the generator made.
    """
    seed = task_seed(name)
    generate = getattr(datasets, f"make_{parent}")
    X, values = generate(n_samples=N_SAMPLES, random_state=seed, **arguments)
    values = np.asarray(values).reshape(N_SAMPLES, -1)
    deviation = np.sqrt(noise_share) * values.std(axis=0)
    values = values + deviation * np.random.default_rng(seed).standard_normal(values.shape)
    return make_regression_dataset(name, parent, X, values)


def _classes(parent, **arguments):
    """Return a classification task of a family."""
    return Task(parent, make_labels, arguments, real=False)


def _values(parent, **arguments):
    """Return a regression task of a family."""
    return Task(parent, make_values, arguments, real=False)


def _mixed(informative, redundant, classes, clusters, features, flip, shares=None):
    """Return a task of hypercube corners with Gaussian clusters around them."""
    return _classes(
        "classification",
        n_features=features,
        n_informative=informative,
        n_redundant=redundant,
        n_classes=classes,
        n_clusters_per_class=clusters,
        flip_y=flip,
        weights=shares,
    )


# Shares of the classes that leave some of them rare.
RARE_CLUSTERS = {
    "clusters-rare-1": _mixed(5, 2, 2, 2, features=12, flip=0.02, shares=[0.95, 0.05]),
    "clusters-rare-2": _mixed(6, 3, 3, 2, features=15, flip=0.05, shares=[0.8, 0.15, 0.05]),
    "clusters-rare-3": _mixed(
        8, 4, 5, 1, features=20, flip=0.03, shares=[0.5, 0.3, 0.1, 0.06, 0.04]
    ),
}

SKLEARN_TASKS = {
    "moons-low-noise": _classes("moons", noise=0.15),
    "moons-high-noise": _classes("moons", noise=0.35, flip=0.05),
    "circles-low-noise": _classes("circles", noise=0.08, factor=0.6),
    "circles-high-noise": _classes("circles", noise=0.2, factor=0.5),
    "quantiles-4": _classes("gaussian_quantiles", n_features=4, n_classes=3, flip=0.1),
    "quantiles-10": _classes("gaussian_quantiles", n_features=10, n_classes=4),
    "hastie": _classes("hastie_10_2"),
    "hastie-flipped": _classes("hastie_10_2", flip=0.2),
    "clusters-5": _mixed(5, 0, 2, 2, features=5, flip=0.05),
    "clusters-10": _mixed(4, 3, 3, 3, features=10, flip=0.1),
    "clusters-20": _mixed(6, 6, 4, 2, features=20, flip=0.1),
    "clusters-30": _mixed(10, 5, 6, 1, features=30, flip=0.2),
    "clusters-40": _mixed(12, 10, 8, 1, features=40, flip=0.02),
    **RARE_CLUSTERS,
    "friedman1": _values("friedman1", noise=1.0),
    "friedman1-wide": _values("friedman1", n_features=25, noise_share=0.3),
    "friedman2": _values("friedman2", noise_share=0.1),
    "friedman2-noisy": _values("friedman2", noise_share=0.5),
    "friedman3": _values("friedman3", noise_share=0.1),
    "friedman3-noisy": _values("friedman3", noise_share=0.5),
    "linear-10": _values("regression", n_features=10, n_informative=5, noise_share=0.2),
    "linear-30": _values(
        "regression",
        n_features=30,
        n_informative=8,
        n_targets=3,
        effective_rank=10,
        noise_share=0.1,
    ),
    "sparse-uncorrelated": _values("sparse_uncorrelated", n_features=15),
    "swiss-roll": _values("swiss_roll", noise=0.5),
    "s-curve": _values("s_curve", noise=0.15),
}
