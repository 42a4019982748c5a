"""What is measured of a network at one checkpoint: curvature of every layer, losses, rivals."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy, mse_loss

from hessdiag.examination import examine
from hessdiag.features import layer_table
from hessdiag.monitor import raw_measures
from hessdiag.zoo import loss_and_error

#: Radius of the perturbation in `sharpness`; the default of Foret et al. (2021).
RADIUS = 0.05


def place_names(n_layers):
    """Name the places of layers in forward order: the first, the middle ones, the last.

    Parameters
    ----------
    n_layers : int
        Number of layers, at least 1.

    Returns
    -------
    places : list of str
        "first", "middle" and "last"; a single layer is the last.

    Examples
    --------
    >>> from hessdiag.study._checkpoints import place_names
    >>> place_names(4)
    ['first', 'middle', 'middle', 'last']
    """
    return ["first", *["middle"] * (n_layers - 2), "last"][-n_layers:]


def measure_checkpoint(net, split, max_gram_size=1000, dense_limit=600):
    """Measure a network as it is now.

    Parameters
    ----------
    net : skorch.NeuralNetClassifier or skorch.NeuralNetRegressor
        The network.
    split : Split
        Its data.
    max_gram_size : int, default=1000
        As in `hessdiag.examine`.
    dense_limit : int, default=600
        As in `hessdiag.examine`.

    Returns
    -------
    rows : list of dict
        A row for each layer and one for the whole net: ``layer``, ``place``, ``exact``, losses in
        null losses, and every measure by name.
    """
    X, y = split.X_train, split.y_train
    examination = examine(net, X, y, max_gram_size=max_gram_size, dense_limit=dense_limit)
    table = layer_table(examination)
    train_loss, train_error = loss_and_error(net, X, y)
    held_out_loss, held_out_error = loss_and_error(net, split.X_test, split.y_test)
    losses = {
        "train_loss": train_loss / split.null_loss,
        "train_error": train_error,
        "held_out_loss": held_out_loss / split.null_loss,
        "held_out_error": held_out_error,
    }
    rivals = rival_statistics(net, X, y, split.null_loss)
    rows = []
    layers = (*examination.layers, examination.network)
    for index, place in enumerate([*place_names(len(examination.layers)), "network"]):
        layer = layers[index]
        whole = place == "network"
        measured = (
            table.network if whole else {name: v[index] for name, v in table.measures.items()}
        )
        own = rivals if whole else {"gradient_norm": layer.statistics["gradient_norm"]}
        row = {
            "layer": layer.name,
            "place": place,
            "exact": layer.spectrum.exact,
            **losses,
            "gradient_norm": own["gradient_norm"],
            "weight_norm": layer.statistics["weight_norm"],
            "sharpness": own.get("sharpness", np.nan),
            **raw_measures(layer, examination),
            **measured,
        }
        rows.append({name: _plain(value) for name, value in row.items()})
    return rows


def rival_statistics(net, X, y, null_loss):
    """Return what is known of a network without second derivatives.

    Parameters
    ----------
    net : skorch.NeuralNetClassifier or skorch.NeuralNetRegressor
        The network; left as it is.
    X, y : ndarray
        Training data.
    null_loss : float
        Unit of losses.

    Returns
    -------
    statistics : dict of str to float
        ``gradient_norm`` ``|g|`` of the mean training loss, and ``sharpness``
        ``L(w + rho g / |g|) - L(w)`` with ``rho = 0.05``, one ascent step of sharpness-aware
        minimization [1]_; both in null losses.

    References
    ----------
    .. [1] Foret, Kleiner, Mobahi, Neyshabur (2021). Sharpness-aware minimization for efficiently
       improving generalization. ICLR.
    """
    module = net.module_
    was_training = module.training
    module.eval()
    try:
        inputs, targets = torch.as_tensor(X), torch.as_tensor(y)
        loss_of = mse_loss if targets.is_floating_point() else cross_entropy
        parameters = dict(module.named_parameters())
        loss = loss_of(module(inputs), targets)
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        norm = float(torch.sqrt(sum(g.double().square().sum() for g in gradients)))
        moved = {
            name: (value + RADIUS * g / norm if norm > 0 else value).detach()
            for (name, value), g in zip(parameters.items(), gradients, strict=True)
        }
        with torch.no_grad():
            there = loss_of(torch.func.functional_call(module, moved, (inputs,)), targets)
    finally:
        module.train(was_training)
    return {
        "gradient_norm": norm / null_loss,
        "sharpness": float(there - loss.detach()) / null_loss,
    }


def _plain(value):
    """A value that JSON can hold; what is not finite becomes None."""
    if isinstance(value, str | bool):
        return value
    return float(value) if np.isfinite(value) else None
