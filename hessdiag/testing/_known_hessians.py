"""Networks whose local Hessians are known in closed form."""

from __future__ import annotations

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from hessdiag.zoo import MLP


def linear_regression(
    n_samples: int = 20, n_features: int = 3, n_outputs: int = 2, random_state: int = 0
) -> tuple[NeuralNetRegressor, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return a linear layer with squared error, and its Hessian.

    With bias-augmented inputs ``x̃`` and the mean over samples and outputs, parameters in the order
    of ``weight.ravel()``, then ``bias``:

    ``H = 2 / (N K) · I_K ⊗ Σ_n x̃_n x̃_nᵀ``

    Parameters
    ----------
    n_samples, n_features, n_outputs : int, default=20, 3, 2
        Sizes N, D and K.
    random_state : int, default=0
        Seed of data and parameters.

    Returns
    -------
    net : skorch.NeuralNetRegressor
        The initialized net, in float64.
    X, y : ndarray
        Its data.
    hessians : dict of str to ndarray of shape (n_params, n_params)
        The local Hessian of each layer.

    See Also
    --------
    two_layer_linear : A net with two layers.

    Examples
    --------
    >>> from hessdiag.testing import linear_regression
    >>> net, X, y, hessians = linear_regression()
    >>> hessians["head"].shape
    (8, 8)
    """
    rng = np.random.default_rng(random_state)
    X = rng.normal(size=(n_samples, n_features))
    y = rng.normal(size=(n_samples, n_outputs))
    net = _net(NeuralNetRegressor, nn.MSELoss, n_features, n_outputs, rng)
    augmented = _augment(X)
    scale = 2 / (n_samples * n_outputs)
    hessian = np.kron(scale * np.eye(n_outputs), augmented.T @ augmented)
    return net, X, y, {"head": _weights_first(hessian, n_features, n_outputs)}


def logistic_regression(
    n_samples: int = 20, n_features: int = 3, random_state: int = 0
) -> tuple[NeuralNetBinaryClassifier, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return a linear layer with binary cross-entropy, and its Hessian.

    ``H = 1/N Σ_n σ(z_n) (1 − σ(z_n)) x̃_n x̃_nᵀ``

    Parameters
    ----------
    n_samples, n_features : int, default=20, 3
        Sizes N and D.
    random_state : int, default=0
        Seed of data and parameters.

    Returns
    -------
    net : skorch.NeuralNetBinaryClassifier
        The initialized net, in float64.
    X, y : ndarray
        Its data.
    hessians : dict of str to ndarray of shape (n_params, n_params)
        The local Hessian of each layer.

    See Also
    --------
    softmax_regression : The same for several classes.

    Examples
    --------
    >>> from hessdiag.testing import logistic_regression
    >>> net, X, y, hessians = logistic_regression()
    >>> hessians["head"].shape
    (4, 4)
    """
    rng = np.random.default_rng(random_state)
    X = rng.normal(size=(n_samples, n_features))
    y = rng.integers(0, 2, n_samples).astype(float)
    net = _net(NeuralNetBinaryClassifier, nn.BCEWithLogitsLoss, n_features, 1, rng)
    probability = 1 / (1 + np.exp(-_logits(net, X)[:, 0]))
    weight = probability * (1 - probability) / n_samples
    augmented = _augment(X)
    return net, X, y, {"head": (augmented * weight[:, None]).T @ augmented}


def softmax_regression(
    n_samples: int = 20, n_features: int = 3, n_classes: int = 3, random_state: int = 0
) -> tuple[NeuralNetClassifier, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return a linear layer with cross-entropy, and its Hessian.

    ``H = 1/N Σ_n (diag(p_n) − p_n p_nᵀ) ⊗ x̃_n x̃_nᵀ``, `p_n` the softmax of the logits.

    Parameters
    ----------
    n_samples, n_features, n_classes : int, default=20, 3, 3
        Sizes N, D and C.
    random_state : int, default=0
        Seed of data and parameters.

    Returns
    -------
    net : skorch.NeuralNetClassifier
        The initialized net, in float64.
    X, y : ndarray
        Its data.
    hessians : dict of str to ndarray of shape (n_params, n_params)
        The local Hessian of each layer.

    See Also
    --------
    logistic_regression : The same for two classes and one output.

    Examples
    --------
    >>> from hessdiag.testing import softmax_regression
    >>> net, X, y, hessians = softmax_regression()
    >>> hessians["head"].shape
    (12, 12)
    """
    rng = np.random.default_rng(random_state)
    X = rng.normal(size=(n_samples, n_features))
    y = rng.integers(0, n_classes, n_samples)
    net = _net(
        NeuralNetClassifier,
        nn.CrossEntropyLoss,
        n_features,
        n_classes,
        rng,
        classes=np.arange(n_classes),
    )
    logits = _logits(net, X)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    hessian = 0
    for p, x in zip(exponentials / exponentials.sum(axis=1, keepdims=True), _augment(X)):
        hessian = hessian + np.kron(np.diag(p) - np.outer(p, p), np.outer(x, x)) / n_samples
    return net, X, y, {"head": _weights_first(hessian, n_features, n_classes)}


def two_layer_linear(
    n_samples: int = 20,
    n_features: int = 3,
    width: int = 4,
    n_outputs: int = 2,
    random_state: int = 0,
) -> tuple[NeuralNetRegressor, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return two linear layers without bias or activation, with squared error, and their Hessians.

    For ``z = B A x`` and the mean over samples and outputs,

    ``H_A = 2 / (N K) · BᵀB ⊗ XᵀX``,   ``H_B = 2 / (N K) · I_K ⊗ A XᵀX Aᵀ``.

    Parameters
    ----------
    n_samples, n_features, width, n_outputs : int, default=20, 3, 4, 2
        Sizes N, D, that of the hidden layer, and K.
    random_state : int, default=0
        Seed of data and parameters.

    Returns
    -------
    net : skorch.NeuralNetRegressor
        The initialized net, in float64.
    X, y : ndarray
        Its data.
    hessians : dict of str to ndarray of shape (n_params, n_params)
        The local Hessian of each layer.

    See Also
    --------
    linear_regression : A net with one layer, and a bias.

    Examples
    --------
    >>> from hessdiag.testing import two_layer_linear
    >>> net, X, y, hessians = two_layer_linear()
    >>> {name: hessian.shape for name, hessian in hessians.items()}
    {'first': (12, 12), 'second': (8, 8)}
    """
    rng = np.random.default_rng(random_state)
    X = rng.normal(size=(n_samples, n_features))
    y = rng.normal(size=(n_samples, n_outputs))
    net = NeuralNetRegressor(
        TwoLinearLayers,
        module__n_inputs=n_features,
        module__width=width,
        module__n_outputs=n_outputs,
        train_split=None,
        verbose=0,
    )
    _fill(net, rng)
    A = net.module_.first.weight.detach().numpy()
    B = net.module_.second.weight.detach().numpy()
    scale, second_moment = 2 / (n_samples * n_outputs), X.T @ X
    return (
        net,
        X,
        y,
        {
            "first": scale * np.kron(B.T @ B, second_moment),
            "second": scale * np.kron(np.eye(n_outputs), A @ second_moment @ A.T),
        },
    )


class TwoLinearLayers(nn.Sequential):
    """Two linear layers without bias, one after the other.

    Parameters
    ----------
    n_inputs, width, n_outputs : int
        Sizes.
    """

    def __init__(self, n_inputs, width, n_outputs):
        super().__init__()
        self.add_module("first", nn.Linear(n_inputs, width, bias=False))
        self.add_module("second", nn.Linear(width, n_outputs, bias=False))


def _net(net_class, criterion, n_features, n_outputs, rng, **arguments):
    """Make an initialized net of one linear layer called head."""
    net = net_class(
        MLP,
        module__n_inputs=n_features,
        module__n_outputs=n_outputs,
        module__depth=0,
        criterion=criterion,
        train_split=None,
        verbose=0,
        **arguments,
    )
    return _fill(net, rng)


def _fill(net, rng):
    """Initialize a net in float64 with parameters from a NumPy generator."""
    with torch.random.fork_rng(devices=[]):
        net.initialize()
    net.module_.double()
    with torch.no_grad():
        for parameter in net.module_.parameters():
            parameter.copy_(torch.as_tensor(rng.normal(size=tuple(parameter.shape))))
    return net


def _logits(net, X):
    """Outputs of the linear layer, with NumPy alone."""
    head = net.module_.head
    return X @ head.weight.detach().numpy().T + head.bias.detach().numpy()


def _augment(X):
    """Inputs with a column of ones for the bias."""
    return np.column_stack([X, np.ones(len(X))])


def _weights_first(hessian, n_features, n_outputs):
    """Reorder from (output, input or bias) to all weights first, then all biases."""
    index = np.arange(n_outputs * (n_features + 1)).reshape(n_outputs, n_features + 1)
    order = np.concatenate([index[:, :-1].ravel(), index[:, -1]])
    return hessian[np.ix_(order, order)]
