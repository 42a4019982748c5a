"""Small fitted networks on generated data, for tests and examples."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from sklearn.utils._param_validation import StrOptions, validate_params
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor

from hessdiag.cases import NetworkCase
from hessdiag.labels import OVERFITTING, UNDERPARAMETERIZED, WELL_FIT
from hessdiag.resumable import fit_to_the_end
from hessdiag.zoo import MLP

N_CLASSES = 3

# What networks of `make_cases` are made to be: diagnosis, width, share of noisy labels, epochs.
_SORTS = (
    (UNDERPARAMETERIZED, 1, 0.0, 20),
    (WELL_FIT, 6, 0.0, 20),
    (OVERFITTING, 32, 0.4, 60),
)


@validate_params(
    {"kind": [StrOptions({"classifier", "binary", "regressor"})]},
    prefer_skip_nested_validation=True,
)
def make_case(
    kind: Literal["classifier", "binary", "regressor"] = "classifier",
    n_samples: int = 60,
    n_features: int = 4,
    width: int = 8,
    depth: int = 1,
    activation: Literal["relu", "tanh", "gelu"] = "relu",
    name: str | None = None,
    fit: bool = True,
    random_state: int = 0,
    *,
    label_noise: float = 0.0,
    max_epochs: int = 20,
) -> NetworkCase:
    """Train a small network on generated data, in a fraction of a second.

    Classes are Gaussian clouds around random centres; regression targets are a sine of a random
    projection. No global random state is used.

    Parameters
    ----------
    kind : {"classifier", "binary", "regressor"}, default="classifier"
        Three classes with cross-entropy, two with the binary one, or squared error.
    n_samples, n_features : int, default=60, 4
        Size of the data.
    width, depth : int, default=8, 1
        Units of each hidden layer, and number of hidden layers.
    activation : {"relu", "tanh", "gelu"}, default="relu"
        Activation after each hidden layer.
    name : str, default=None
        Name of the case.
    fit : bool, default=True
        Whether to train; else the network keeps its random initial weights.
    random_state : int, default=0
        Seed of data, weights and training.
    label_noise : float, default=0.0
        Share of targets drawn anew at random.
    max_epochs : int, default=20
        Full-batch steps of Adam with learning rate 0.02.

    Returns
    -------
    case : NetworkCase
        The network with its training data.

    Raises
    ------
    ValueError
        If `kind` is none of the three.

    See Also
    --------
    make_cases : Several, with diagnoses.

    Examples
    --------
    >>> from hessdiag.testing import make_case
    >>> make_case("regressor", name="small")
    NetworkCase('small', NeuralNetRegressor of MLP, 60 samples)
    """
    X, y = _data(kind, n_samples, n_features, label_noise, np.random.default_rng(random_state))
    net_class, criterion, n_outputs = {
        "classifier": (NeuralNetClassifier, torch.nn.CrossEntropyLoss, N_CLASSES),
        "binary": (NeuralNetBinaryClassifier, torch.nn.BCEWithLogitsLoss, 1),
        "regressor": (NeuralNetRegressor, torch.nn.MSELoss, 1),
    }[kind]
    known_classes = {"classes": np.arange(N_CLASSES)} if kind == "classifier" else {}
    net = net_class(
        MLP,
        module__n_inputs=n_features,
        module__n_outputs=n_outputs,
        module__width=width,
        module__depth=depth,
        module__activation=activation,
        criterion=criterion,
        optimizer=torch.optim.Adam,
        lr=0.02,
        max_epochs=max_epochs,
        batch_size=-1,
        train_split=None,
        verbose=0,
        **known_classes,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_state)
        if fit:
            fit_to_the_end(net, X, y)
        else:
            net.initialize()
    return NetworkCase(net, X, y, name=name)


def make_cases(
    n_cases: int = 9, n_samples: int = 40, random_state: int = 0
) -> tuple[list[NetworkCase], np.ndarray]:
    """Train several small networks that differ in kind, width, depth and activation.

    Their diagnoses are what they were made to be (one unit wide, sound, or wide and trained long on
    noisy targets), in turn; no gain was measured. They serve tests of the machinery.

    Parameters
    ----------
    n_cases : int, default=9
        Number of networks.
    n_samples : int, default=40
        Samples of each network's data.
    random_state : int, default=0
        Seed.

    Returns
    -------
    cases : list of NetworkCase
        The networks, named ``"case-0"`` and so on.
    diagnoses : ndarray of str of shape (n_cases,)
        What each was made to be.

    See Also
    --------
    make_case : One of them.

    Examples
    --------
    >>> from hessdiag.testing import make_cases
    >>> cases, diagnoses = make_cases(3)
    >>> diagnoses.tolist()
    ['underparameterized', 'well-fit', 'overfitting']
    """
    kinds = ("classifier", "classifier", "binary", "regressor")
    cases, diagnoses = [], []
    for index in range(n_cases):
        diagnosis, width, noise, epochs = _SORTS[index % len(_SORTS)]
        cases.append(
            make_case(
                kinds[index % len(kinds)],
                n_samples=n_samples,
                width=width,
                depth=1 + index % 2,
                activation=("relu", "tanh", "gelu")[index // 3 % 3],
                name=f"case-{index}",
                random_state=random_state + index,
                label_noise=noise,
                max_epochs=epochs,
            )
        )
        diagnoses.append(diagnosis)
    return cases, np.array(diagnoses)


def _data(kind, n_samples, n_features, label_noise, rng):
    """Features and targets, as skorch takes them."""
    noisy = rng.random(n_samples) < label_noise
    if kind == "regressor":
        X = rng.normal(size=(n_samples, n_features))
        y = np.sin(X @ rng.normal(size=(n_features, 1))) + 0.1 * rng.normal(size=(n_samples, 1))
        y[noisy] = rng.normal(size=(noisy.sum(), 1))
        return X.astype(np.float32), y.astype(np.float32)
    n_classes = N_CLASSES if kind == "classifier" else 2
    y = np.arange(n_samples) % n_classes
    X = rng.normal(size=(n_samples, n_features)) + 1.5 * rng.normal(size=(n_classes, n_features))[y]
    y[noisy] = rng.integers(0, n_classes, noisy.sum())
    return X.astype(np.float32), y.astype(np.int64 if kind == "classifier" else np.float32)
