"""What a network, its data and its surroundings are like, to see whether they were touched."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from hessdiag.cases import NetworkCase


def network_state(case: NetworkCase) -> dict[str, object]:
    """Record all of a case that an examination must leave as it was.

    Parameters
    ----------
    case : NetworkCase
        A network with its data.

    Returns
    -------
    state : dict of str to object
        Copies of parameters, buffers, gradients and data; identity of the parameters, train/eval
        mode, hooks and requires_grad of every module; the attributes of the skorch net.

    See Also
    --------
    state_changes : Compares two of them.

    Examples
    --------
    >>> from hessdiag.testing import make_case, network_state, state_changes
    >>> case = make_case()
    >>> before = network_state(case)
    >>> _ = case.net.module_.head.weight.data.zero_()
    >>> state_changes(before, network_state(case))
    ['module_.head.weight']
    """
    net = case.net
    state: dict[str, object] = {"attributes of the net": sorted(vars(net))}
    for attribute in ("module_", "criterion_"):
        module = getattr(net, attribute)
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            label = f"{attribute}.{name}"
            state[label] = _bytes(tensor)
            state[f"identity of {label}"] = (id(tensor), tensor.data_ptr())
            state[f"requires_grad of {label}"] = tensor.requires_grad
            state[f".grad of {label}"] = None if tensor.grad is None else _bytes(tensor.grad)
            state[f"hooks of {label}"] = len(tensor._backward_hooks or ())
        for name, part in module.named_modules():
            label = f"{attribute}.{name}".rstrip(".")
            state[f"train/eval mode of {label}"] = part.training
            state[f"hooks of {label}"] = {
                key: len(value) for key, value in vars(part).items() if key.endswith("_hooks")
            }
            state[f"attributes of {label}"] = sorted(vars(part))
    if hasattr(net, "history_"):
        state["training history"] = len(net.history_)
    state["X"] = _bytes(case.X)
    state["y"] = _bytes(case.y)
    return state


def surroundings_state(numpy_generator: bool = True) -> dict[str, object]:
    """Record the global states that an examination must leave as they were.

    Parameters
    ----------
    numpy_generator : bool, default=True
        Whether to record NumPy's global generator, which classifiers may draw from in `fit` where
        no `random_state` is given.

    Returns
    -------
    state : dict of str to object
        Generators of torch, Python and NumPy; default type, gradient mode and determinism of torch.

    See Also
    --------
    state_changes : Compares two of them.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.testing import state_changes, surroundings_state
    >>> before = surroundings_state()
    >>> with torch.no_grad():
    ...     state_changes(before, surroundings_state())
    ['gradient mode']
    """
    state: dict[str, object] = {
        "torch's random generator": torch.get_rng_state().numpy().tobytes(),
        "Python's random generator": random.getstate(),
        "torch's default type": torch.get_default_dtype(),
        "gradient mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "number of torch threads": torch.get_num_threads(),
    }
    if numpy_generator:
        found: Any = np.random.get_state()  # noqa: NPY002 - the global one is looked at
        name, keys, *rest = found
        state["NumPy's random generator"] = (name, keys.tobytes(), *rest)
    return state


def state_changes(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Name what differs between two states.

    Parameters
    ----------
    before, after : dict of str to object
        As from `network_state` or `surroundings_state`.

    Returns
    -------
    changes : list of str
        Sorted names; empty where nothing was touched.

    See Also
    --------
    network_state : Records the state of a case.

    Examples
    --------
    >>> from hessdiag.testing import state_changes
    >>> state_changes({"mode": True}, {"mode": False})
    ['mode']
    """
    missing = object()
    names = sorted({*before, *after})
    return [name for name in names if before.get(name, missing) != after.get(name, missing)]


def _bytes(values):
    """Content, type and shape of an array or tensor."""
    if values is None:
        return None
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
    array = np.asarray(array)
    return array.dtype.str, array.shape, array.tobytes()
