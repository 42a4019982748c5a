"""What must hold before a network can be examined, and what to say where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import skorch
import torch
from sklearn.exceptions import NotFittedError
from skorch.exceptions import NotInitializedError
from skorch.utils import is_dataset

if TYPE_CHECKING:
    from skorch import NeuralNet


class UnfittedNetworkError(NotInitializedError, NotFittedError):
    """Raise where a skorch net has not been fitted or initialized yet.

    It is at once sklearn's ``NotFittedError`` and skorch's ``NotInitializedError``.

    See Also
    --------
    hessdiag.cases.NetworkCase : What needs a fitted net.

    Examples
    --------
    >>> from hessdiag.curvature import UnfittedNetworkError
    >>> issubclass(UnfittedNetworkError, ValueError)
    True
    """


def module_attributes(net: NeuralNet) -> tuple[list[str], list[str]]:
    """Name the attributes of `net` that hold its modules and its criteria.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net.

    Returns
    -------
    modules : list of str
        Such as ``["module_"]``.
    criteria : list of str
        Such as ``["criterion_"]``.
    """
    modules = [name + "_" for name in getattr(net, "_modules", [])] or ["module_"]
    criteria = [name + "_" for name in getattr(net, "_criteria", [])] or ["criterion_"]
    return modules, criteria


def check_net(net: object) -> None:
    """Check that `net` is a skorch net with initialized modules and trainable parameters.

    Parameters
    ----------
    net : object
        What is to be a fitted net.

    Raises
    ------
    TypeError
        If it is no skorch net.
    UnfittedNetworkError
        If its modules are not initialized.
    ValueError
        If none of its parameters is trainable.
    """
    if isinstance(net, (list, tuple)):
        raise TypeError(
            f"Expected one fitted skorch net, found a {type(net).__name__} of {len(net)} objects. "
            "Pass its elements one by one, or use the transformers, which take lists of cases."
        )
    if not isinstance(net, skorch.NeuralNet):
        if isinstance(net, torch.nn.Module):
            hint = (
                " Make a case with the loss it was trained with, case = hessdiag.NetworkCase."
                "from_module(module, X, y, loss=...); functions take case.net, case.X, case.y."
            )
        elif hasattr(net, "get_params") and hasattr(net, "fit") and not isinstance(net, type):
            hint = (
                " Of a pipeline or search that holds a net, make a case = hessdiag.NetworkCase("
                "estimator, X, y); functions take case.net, case.X, case.y."
            )
        else:
            hint = (
                " Fit a skorch.NeuralNetClassifier, NeuralNetBinaryClassifier or "
                "NeuralNetRegressor first."
            )
        found = "the class" if isinstance(net, type) else "an object of type"
        name = net.__name__ if isinstance(net, type) else type(net).__name__
        raise TypeError(f"Expected a fitted skorch net, found {found} {name}.{hint}")
    modules, criteria = module_attributes(net)
    missing = [name for name in modules + criteria if getattr(net, name, None) is None]
    if getattr(net, "_trimmed_for_prediction", False):
        raise UnfittedNetworkError(
            f"Expected a fitted {type(net).__name__} with its criterion, found one that was "
            "trimmed for prediction. Make the case by hessdiag.NetworkCase.from_module("
            "net.module_, X, y, loss=...)."
        )
    if missing:
        raise UnfittedNetworkError(
            f"Expected a fitted {type(net).__name__}, found one without {', '.join(missing)}. "
            "Call net.fit(X, y) first, or net.initialize() and net.load_params(...)."
        )
    parts = [part for name in modules for part in getattr(net, name).modules()]
    if any(isinstance(part, torch.jit.ScriptModule) for part in parts):
        raise ValueError(
            "Expected a module of Python code, found one that torch.jit compiled, whose layers "
            "cannot be watched. Load its state_dict into the original module and pass that."
        )
    parameters = [p for name in modules for p in getattr(net, name).parameters()]
    if any(torch.nn.parameter.is_lazy(p) for p in parameters):
        raise ValueError(
            "Expected parameters of known shapes, found lazy ones that no batch has shaped yet. "
            "Run the module on a batch, and train it, first."
        )
    if any(p.is_meta for p in parameters):
        raise ValueError(
            "Expected parameters that hold numbers, found some on the meta device. Load the "
            "trained weights first: module.load_state_dict(state, assign=True)."
        )
    trainable = [p for p in parameters if p.requires_grad and p.numel() > 0]
    if not trainable:
        raise ValueError(
            "Expected a net with trainable parameters, found none with requires_grad=True. "
            "Unfreeze at least one layer (parameter.requires_grad_(True))."
        )


def check_device(device: torch.device | str | None) -> None:
    """Check that there is a device to compute on.

    Parameters
    ----------
    device : torch.device, str or None
        What is to be one; None is whatever holds the net.

    Raises
    ------
    ValueError
        If torch knows no such device, or it is not there.
    """
    if device is None:
        return
    try:
        found = torch.device(device)
        if found.type == "meta":
            raise ValueError("tensors of the meta device hold no numbers")
        torch.zeros(1, device=found).item()
    except Exception as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"Expected a device that torch can compute on, found device={device!r}: {reason}. Pass "
            "None to stay where the net is, or 'cpu'."
        ) from error


def check_parameters(net: NeuralNet) -> None:
    """Check that every parameter and buffer of `net` is finite; name the first that is not.

    Infinity in a mask, a buffer or a parameter that is not trained, is no fault.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net.

    Raises
    ------
    ValueError
        If an entry is NaN or infinite.
    """
    modules, _ = module_attributes(net)
    for attribute in modules:
        module = getattr(net, attribute)
        for what, named in (
            ("parameter", module.named_parameters()),
            ("buffer", module.named_buffers()),
        ):
            for name, tensor in named:
                wrong = _spoiled(module, name, tensor)
                if wrong is not None:
                    count = int(wrong.sum())
                    raise ValueError(
                        f"Expected finite parameters, found {count} NaN or infinite "
                        f"{'entry' if count == 1 else 'entries'} in {what} {name!r} of shape "
                        f"{tuple(tensor.shape)}. The training has probably diverged: lower the "
                        "learning rate or clip gradients, and fit again."
                    )


def _spoiled(module, name, tensor):
    """Say which entries of a parameter or buffer should be finite and are not; None where none."""
    trained, tensor = tensor.requires_grad, tensor.detach()
    if _finite(tensor):
        return None
    owner = module.get_submodule(name.rpartition(".")[0])
    is_mask = not trained and not isinstance(owner, torch.nn.modules.batchnorm._NormBase)
    wrong = torch.isnan(tensor) if is_mask else ~torch.isfinite(tensor)
    return wrong if wrong.any() else None


def check_data(net: NeuralNet, X: Any, y: Any) -> None:
    """Check that X and y have samples, and as many of the one as of the other.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net that takes them.
    X, y : as the net's ``fit`` takes them
        Data.

    Raises
    ------
    ValueError
        If there is no sample, X and y differ in length, or targets are missing or words.
    """
    n_inputs = _length(X)
    n_targets = None if y is None else _length(y)
    if y is None and not is_dataset(X):
        raise ValueError(
            "Expected targets y, found None. Pass the y that the net was trained on, or a "
            "Dataset that yields (X, y) as X."
        )
    if X is None:
        raise ValueError(
            "Expected inputs X, found None. Pass the data that the net was trained on."
        )
    if n_inputs == 0 or n_targets == 0:
        raise ValueError(
            f"Expected at least one sample, found X of length {n_inputs} and y of length "
            f"{n_targets}. Pass the data that the net was trained on."
        )
    if n_inputs is not None and n_targets is not None and n_inputs != n_targets:
        remedy = "Pass the targets that belong to X."
        if isinstance(X, (list, tuple)) and len(X) == n_targets:
            remedy = (
                "A list of arrays is one of several inputs, each with a row per sample: pass "
                "numpy.stack(X) where its items are samples."
            )
        raise ValueError(
            f"Expected X and y of the same length, found {n_inputs} samples in X and "
            f"{n_targets} in y. {remedy}"
        )
    _check_numeric_targets(y)


def _check_numeric_targets(y):
    """Refuse targets made of words, of which torch would only say that their type is invalid."""
    if isinstance(y, (list, tuple)):
        kind = "words" if isinstance(y[0], str) else None
    else:
        kind = y.dtype if getattr(getattr(y, "dtype", None), "kind", "f") in "USO" else None
    if kind is not None:
        first = y[0] if isinstance(y, (list, tuple)) else np.ravel(y)[0]
        raise ValueError(
            f"Expected numeric targets y, found {kind} such as {first!r}. Encode them as the net's "
            "targets in training, for example with sklearn.preprocessing.LabelEncoder."
        )


def check_finite_data(tree: Any, what: str) -> None:
    """Check that all floating entries of a tree of tensors are finite."""
    for tensor in tensors_of(tree):
        if not _finite(tensor):
            count = int((~torch.isfinite(tensor)).sum())
            raise ValueError(
                f"Expected finite data, found {count} NaN or infinite "
                f"{'entry' if count == 1 else 'entries'} in {what}. Impute or drop these samples."
            )


def tensors_of(tree: object) -> list[torch.Tensor]:
    """List the tensors of nested dicts, lists and tuples.

    Parameters
    ----------
    tree : object
        Tensors, in dicts, lists and tuples.

    Returns
    -------
    list of Tensor
        All of them, in order.
    """
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, dict):
        return [t for value in tree.values() for t in tensors_of(value)]
    if isinstance(tree, (list, tuple)):
        return [t for value in tree for t in tensors_of(value)]
    return []


def graph_nodes(tree: object) -> Iterator[Any]:
    """Go through the graph that recorded how tensors came about.

    Parameters
    ----------
    tree : object
        Tensors, in dicts, lists and tuples.

    Yields
    ------
    Node
        Each of the graph's nodes once, from the tensors on.
    """
    pending = [t.grad_fn for t in tensors_of(tree) if t.grad_fn is not None]
    seen = set(pending)
    while pending:
        node = pending.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                pending.append(following)


def _finite(tensor):
    """Say whether a tensor is free of NaN and infinity; one reduction in the good case."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def _length(data):
    """Count the samples of anything that skorch takes; None where it cannot be known."""
    if data is None:
        return None
    if is_dataset(data) or hasattr(data, "iloc") or isinstance(data, torch.Tensor):
        return len(data)
    if isinstance(data, dict):
        lengths = {key: _length(value) for key, value in data.items()}
        known = {n for n in lengths.values() if n is not None}
        if len(known) > 1:
            raise ValueError(
                f"Expected all entries of X to have the same length, found {lengths}. "
                "Pass one row per sample in every entry."
            )
        return known.pop() if known else 0
    if isinstance(data, tuple) or (
        isinstance(data, list)
        and data
        and hasattr(data[0], "__len__")
        and hasattr(data[0], "dtype")
    ):
        return _length(dict(enumerate(data)))
    if hasattr(data, "shape"):
        if len(data.shape) == 0:
            raise ValueError(
                f"Expected data with one row per sample, found a scalar of type "
                f"{type(data).__name__}. Pass arrays."
            )
        return int(data.shape[0])
    try:
        return len(data)
    except TypeError:
        return int(np.asarray(data).size) if np.ndim(data) else None
