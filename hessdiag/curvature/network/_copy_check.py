"""The working copy must say what its original says, and depend on nothing of the original."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

import torch

from hessdiag.curvature.network._causes import Autocast, explain_difference
from hessdiag.curvature.network._checks import graph_nodes, module_attributes, tensors_of
from hessdiag.curvature.network._functions import OF_MODULES, containers_of
from hessdiag.curvature.network._precision import (
    MANY,
    TooCoarseError,
    casts,
    coarser,
    in_precision,
    match_floats,
    moved_by_rounding,
    too_coarse,
)

if TYPE_CHECKING:
    from skorch import NeuralNet

    from hessdiag.curvature.network._working_copy import WorkingCopy

# By how much outputs of a copy may differ from the original's with nothing more to be asked,
# relative to their size; and where rounding alone is behind it, or a precision of the net's own.
CLOSE, MOST_ROUNDING = 1e-3, 0.1


def check_copy(net: NeuralNet, working_copy: WorkingCopy, X: Any) -> float:
    """Compare the copy with its original on some samples; refuse what it takes from the original.

    Parameters
    ----------
    net : skorch.NeuralNet
        The original; it is run once, in evaluation mode, and left as it was.
    working_copy : WorkingCopy
        Its copy.
    X : tree of tensors
        Inputs of the samples.

    Returns
    -------
    float
        By how much rounding in the original's own precision moves its outputs, relative to their
        size, where that is more than usual; 0 elsewhere.

    Raises
    ------
    ValueError
        If outputs differ by more than rounding, or if the copy's depend on parameters of the
        original, as where a function that the net calls holds a module or a tensor of its own.
    """
    outputs = working_copy(X)
    check_leaves(working_copy, outputs, "its forward pass")
    if not all(_can_be_put_back(part) for part in _parts(net)):
        # What a pass may leave there could not be undone: the original is not run.
        return 0.0
    first = next(iter(_parameters(net).values()))
    try:
        with Autocast(first.device.type) as autocast:
            expected = _run_original(net, X)
    except Exception:
        # As where the original lies on a device that is not there; the copy has run.
        return 0.0
    most = 0.0
    # Of its own accord, which the copy may do without.
    imposes = any(casts(tensor) for tensor in tensors_of(outputs)) or autocast.dtype is not None
    for own, other in zip(tensors_of(outputs), tensors_of(expected)):
        own = own.detach().to(device=other.device)
        if own.shape != other.shape or not (own.is_floating_point() or own.is_complex()):
            continue
        own, other = in_precision(own, torch.float64), in_precision(other, torch.float64)
        if not (torch.isfinite(own).all() and torch.isfinite(other).all()):
            continue
        size = float((own - other).norm()) / (1e-30 + float(other.norm()))
        if size <= (MOST_ROUNDING if imposes else CLOSE):
            continue
        precision = functools.reduce(coarser, (p.dtype for p in _parameters(net).values()))
        precision = coarser(precision, working_copy.dtype)
        if MANY * moved_by_rounding(working_copy, X, precision) < size:
            raise ValueError(explain_difference(net, working_copy, X, size))
        if size > MOST_ROUNDING:
            raise TooCoarseError(too_coarse(working_copy.dtype, X, size, precision))
        # A half precision has no more digits anyway.
        most = max(most, size) if torch.finfo(precision).bits >= 32 else most
    return most


def original_runs(net: NeuralNet, X: Any) -> bool:
    """Say whether a net runs as it is; it is left as it was.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net.
    X : tree of tensors
        Inputs.

    Returns
    -------
    bool
        Whether it does; False, too, where what it would leave cannot be put back.
    """
    if not all(_can_be_put_back(part) for part in _parts(net)):
        return False
    try:
        _run_original(net, X)
    except Exception:
        return False
    return True


def _parts(net):
    """List all modules of a net."""
    return [part for name in module_attributes(net)[0] for part in getattr(net, name).modules()]


def _can_be_put_back(part):
    """Say whether all that a forward pass may change at a module is known."""
    if getattr(part, "max_norm", None) is not None:
        return False  # parameters are rewritten while they are looked up
    own = {key: value for key, value in vars(part).items() if key not in OF_MODULES}
    return all(_is_plain(value) for value in own.values())


def _is_plain(value, depth=0):
    """Say whether a value cannot change, or is a container that is put back as it was."""
    if isinstance(value, (type(None), bool, int, float, complex, str, bytes, torch.dtype)):
        return True
    if isinstance(value, (torch.device, torch.Size, type)) or callable(value):
        return not isinstance(value, (torch.Generator, torch.Tensor))
    if isinstance(value, tuple):
        return all(_is_plain(item, depth) for item in value)
    if depth == 0 and type(value) in (list, set):
        return all(_is_plain(item, 1) for item in value)
    if depth == 0 and type(value) is dict:
        return all(_is_plain(item, 1) for item in value.values())
    # A tensor that is an attribute is replaced as a rule, and not worked on in place.
    return isinstance(value, torch.Tensor) and depth == 0 and value.grad_fn is not None


def _parameters(net):
    """Map names to the parameters of a net's modules."""
    modules, _ = module_attributes(net)
    return {
        f"{attribute.removesuffix('_')}.{name}": parameter
        for attribute in modules
        for name, parameter in getattr(net, attribute).named_parameters()
    }


def check_leaves(working_copy: WorkingCopy, outputs: Any, what: str) -> None:
    """Refuse tensors whose graph ends in parameters of the original.

    Parameters
    ----------
    working_copy : WorkingCopy
        The copy.
    outputs : Tensor, or dict, list or tuple of Tensor
        What was computed with it.
    what : str
        What that is.

    Raises
    ------
    ValueError
        If a parameter of the original was taken.
    """
    for node in graph_nodes(outputs):
        name = working_copy.originals.get(id(getattr(node, "variable", None)))
        if name is not None:
            raise ValueError(
                f"Expected a net that a copy can stand for, found that {what} takes {name!r} of "
                "the original: a function that it calls (a closure, a lambda, a bound method) "
                "holds a module or a parameter. Write it as a method that reaches them through "
                "self."
            )


def _run_original(net, X):
    """Run the original in evaluation mode, in its own precision, and leave it as it was."""
    modules = [getattr(net, name) for name in module_attributes(net)[0]]
    first = next(iter(_parameters(net).values()))
    X = match_floats(_to(X, first.device), first.dtype)
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(_as_it_was(module))
            module.eval()
        stack.enter_context(torch.no_grad())
        return net.infer(X)


def _to(tree, device):
    """Bring the tensors of a tree to a device."""
    if isinstance(tree, torch.Tensor) or (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        return tree.to(device) if hasattr(tree, "to") else tree
    if isinstance(tree, dict):
        return {key: _to(value, device) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_to(value, device) for value in tree)
    return tree


@contextlib.contextmanager
def _as_it_was(module):
    """Put back what a forward pass may leave at a module: attributes, buffers, their containers."""
    parts = list(module.modules())
    attributes = [dict(vars(part)) for part in parts]
    containers = [(value, value.copy()) for value in containers_of(module)]
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    parameters = [(p, p.detach().clone(), p.requires_grad) for p in module.parameters()]
    registered = [(vars(part)["_buffers"], dict(vars(part)["_buffers"])) for part in parts]
    try:
        yield
    finally:
        for part, kept in zip(parts, attributes):
            vars(part).clear()
            vars(part).update(kept)
        for container, kept in [*containers, *registered]:
            container.clear()
            (container.extend if isinstance(container, list) else container.update)(kept)
        with torch.no_grad():
            for buffer, kept in buffers:
                if not torch.equal(buffer, kept):
                    buffer.copy_(kept)
            for parameter, kept, is_trained in parameters:
                if parameter.requires_grad != is_trained:
                    parameter.requires_grad_(is_trained)
                if not torch.equal(parameter, kept):
                    parameter.data.copy_(kept)
