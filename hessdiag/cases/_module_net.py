"""A skorch net around a module that was trained by any other means, with its loss."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import numpy as np
import skorch
import torch
from torch import nn
from torch.nn import functional

#: Losses that torch has as functions too: what is known of the ones holds for the others.
_OF_FUNCTIONS: dict[Any, type[nn.Module]] = {
    functional.cross_entropy: nn.CrossEntropyLoss,
    functional.nll_loss: nn.NLLLoss,
    functional.binary_cross_entropy: nn.BCELoss,
    functional.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
    functional.mse_loss: nn.MSELoss,
    functional.l1_loss: nn.L1Loss,
    functional.smooth_l1_loss: nn.SmoothL1Loss,
    functional.huber_loss: nn.HuberLoss,
    functional.poisson_nll_loss: nn.PoissonNLLLoss,
    functional.kl_div: nn.KLDivLoss,
    functional.soft_margin_loss: nn.SoftMarginLoss,
    functional.multi_margin_loss: nn.MultiMarginLoss,
    functional.multilabel_margin_loss: nn.MultiLabelMarginLoss,
    functional.multilabel_soft_margin_loss: nn.MultiLabelSoftMarginLoss,
}

_OF_INDICES = (
    nn.CrossEntropyLoss,
    nn.NLLLoss,
    nn.MultiMarginLoss,
    nn.MultiLabelMarginLoss,
    nn.AdaptiveLogSoftmaxWithLoss,
)


class FunctionLoss(nn.Module):
    """A function (output, y) -> 0-d tensor as a criterion.

    Parameters
    ----------
    function : callable
        The function.
    """

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def forward(self, output, y):
        """Evaluate the function.

        Parameters
        ----------
        output : Tensor
            Outputs of the net.
        y : Tensor
            Targets.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        return self.function(output, y)


def net_around(module, loss):
    """Make a skorch net of a module as it is: nothing is copied, moved, reset or trained.

    Parameters
    ----------
    module : torch.nn.Module
        A trained module.
    loss : torch.nn.Module, class of one, or callable
        What it was trained with.

    Returns
    -------
    skorch.NeuralNet
        Its ``module_`` is the module.

    Raises
    ------
    TypeError
        If `module` is no module, or `loss` no loss.
    ValueError
        If the module has no parameters.
    """
    if isinstance(module, skorch.NeuralNet) or not isinstance(module, nn.Module):
        remedy = "Pass the trained module itself."
        if isinstance(module, type) and issubclass(module, nn.Module):
            found = f"the class {module.__name__}"
        else:
            found = f"an object of type {type(module).__name__}"
            if hasattr(module, "get_params"):
                remedy = "Make the case of a fitted net or pipeline by NetworkCase(net, X, y)."
        raise TypeError(f"Expected a torch.nn.Module, found {found}. {remedy}")
    criterion = _criterion(loss)
    if next(module.parameters(), None) is None:
        raise ValueError(
            f"Expected a module with trainable parameters, found none in {type(module).__name__}. "
            "Register parameters as attributes, and layers in ModuleList or ModuleDict."
        )
    net = skorch.NeuralNet(module, criterion=criterion, train_split=None, verbose=0, device=None)
    return net.initialize()


def _criterion(loss):
    """Turn a loss of any form into a criterion."""
    if isinstance(loss, nn.Module):
        return loss
    settings = {}
    function = loss
    if isinstance(loss, partial) and not loss.args:
        function, settings = loss.func, loss.keywords
    if isinstance(function, type) and issubclass(function, nn.Module):
        return _made(function, settings)
    try:
        known = _OF_FUNCTIONS.get(function)
    except TypeError:  # not hashable
        known = None
    if known is not None:
        return _made(known, settings)
    if callable(loss) and not isinstance(loss, (type, torch.optim.Optimizer)):
        return FunctionLoss(loss)
    if loss is None:
        found = "none"
    elif isinstance(loss, str):
        found = repr(loss)
    else:
        found = f"an object of type {type(loss).__name__}"
    raise TypeError(
        f"Expected the loss that the module was trained with, found {found}. Pass it with its "
        "settings, as loss=torch.nn.CrossEntropyLoss(), or a function (output, y) -> 0-d tensor."
    )


def _made(kind, settings):
    """Make a criterion of its class."""
    try:
        return kind(**settings)
    except TypeError as error:
        raise TypeError(
            f"Expected a loss that can be made without further arguments, found {kind.__name__}: "
            f"{error}. Pass an instance of it."
        ) from error


def inputs_of(module, X):
    """Name several inputs as the module's ``forward`` does; skorch passes inputs by name.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    X : object
        Inputs; a list or tuple of arrays stands for several.

    Returns
    -------
    object
        A dict of these; anything else as it is, a frame as an array.

    Raises
    ------
    ValueError
        If there are more inputs than ``forward`` has names for.
    """
    if hasattr(X, "iloc"):
        return X.to_numpy()
    if not isinstance(X, (list, tuple)) or not all(_is_array(item) for item in X) or not X:
        return X
    names, any_number, _ = names_of_inputs(module)
    if isinstance(X, tuple) or len(names) > 1:
        if len(X) == 1:
            return X[0]
        if len(X) > len(names):
            if isinstance(X, list) or any_number:
                return X
            raise ValueError(
                f"Expected as many inputs as forward of {type(module).__name__} has, which are "
                f"{', '.join(names) or 'none'}, found {len(X)} arrays in X. Pass one array, or a "
                "dict of input names to arrays."
            )
        return dict(zip(names, X))
    return X


def _is_array(item):
    """Say whether something is an array, a tensor or a frame with samples along its first axis."""
    return hasattr(item, "iloc") or (hasattr(item, "dtype") and getattr(item, "ndim", 0) > 0)


def names_of_inputs(module):
    """Name the inputs of a module's ``forward``, in order.

    Parameters
    ----------
    module : torch.nn.Module
        The module.

    Returns
    -------
    names : list of str
        Names of what can be passed by place or by name.
    any_number : bool
        Whether any number more can be passed by place.
    any_name : bool
        Whether others can be passed by any name.
    """
    module = getattr(module, "_orig_mod", module)
    if isinstance(module, nn.DataParallel):
        module = module.module
    try:
        found = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return [], True, True
    kinds = {parameter.kind for parameter in found}
    names = [p.name for p in found if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    any_number = inspect.Parameter.VAR_POSITIONAL in kinds
    return names, any_number, inspect.Parameter.VAR_KEYWORD in kinds


def targets_for(net, y):
    """Bring numeric targets to the type that a loss of torch takes.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net.
    y : object
        Targets.

    Returns
    -------
    object
        Class indices as int64, and other numbers as floats, for losses of torch; for a function
        of the user's own as they are.
    """
    criterion = net.criterion_
    if isinstance(y, list) and y and all(isinstance(item, (int, float)) for item in y):
        y = np.asarray(y)
    if type(criterion).__module__ != "torch.nn.modules.loss" or not hasattr(y, "dtype"):
        return y
    if isinstance(y, torch.Tensor):
        whole = not (y.is_floating_point() or y.is_complex())
        if isinstance(criterion, _OF_INDICES):
            return y.long() if whole and y.dtype != torch.long else y
        return y.to(torch.get_default_dtype()) if whole else y
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "biu":
        return y
    return y.astype(np.int64 if isinstance(criterion, _OF_INDICES) else np.float32, copy=False)
