"""Precisions of real and complex numbers, and how far rounding alone moves what a net sends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from hessdiag.curvature.network._checks import graph_nodes, tensors_of

# Times that numbers are moved.
N_DRAWS = 2
#: How much more than by one rounding of inputs and parameters outputs may differ, which are made by
#: many roundings.
MANY = 100.0


def in_precision(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Bring a tensor to a precision: real numbers, or complex ones of two such; others stay.

    Parameters
    ----------
    tensor : Tensor
        Numbers of any kind.
    dtype : torch.dtype
        Precision, as that of real or of complex numbers.

    Returns
    -------
    Tensor
        The numbers.
    """
    if tensor.is_complex():
        return tensor.to(dtype.to_complex())
    return tensor.to(dtype.to_real()) if tensor.is_floating_point() else tensor


def match_floats(tree: Any, dtype: torch.dtype) -> Any:
    """Bring the floating and complex tensors of a tree to a precision.

    Parameters
    ----------
    tree : object
        Tensors, in dicts, lists and tuples.
    dtype : torch.dtype
        Precision.

    Returns
    -------
    object
        A tree of the same structure.
    """
    if isinstance(tree, torch.Tensor):
        return in_precision(tree, dtype)
    if isinstance(tree, dict):
        return {key: match_floats(value, dtype) for key, value in tree.items()}
    if isinstance(tree, PackedSequence):
        return tree.to(in_precision(tree.data[:0], dtype).dtype)
    if isinstance(tree, (list, tuple)):
        values = [match_floats(value, dtype) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return tree


def bring_module(
    module: torch.nn.Module, dtype: torch.dtype, device: torch.device | None = None
) -> None:
    """Bring a module to a precision and a device, in place.

    torch's own ``module.to(dtype=...)`` would drop the imaginary parts of complex numbers.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    dtype : torch.dtype
        Precision.
    device : torch.device or None, default=None
        Where to; None stays.
    """
    module._apply(lambda tensor: in_precision(tensor.to(device=device), dtype))


def casts(value: torch.Tensor) -> bool:
    """Say whether a value's graph goes through another precision.

    Parameters
    ----------
    value : Tensor
        What was computed.

    Returns
    -------
    bool
        Whether something on the way was brought to another type.
    """
    return any(node.name() == "ToCopyBackward0" for node in graph_nodes(value))


class _Precisions(TorchFunctionMode):
    """Note the coarsest precision of all that is computed with derivatives."""

    def __init__(self, dtype):
        super().__init__()
        self.coarsest = dtype

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for tensor in tensors_of(found):
            if tensor.requires_grad:
                self.coarsest = coarser(self.coarsest, tensor.dtype)
        return found


def coarser(first: torch.dtype, second: torch.dtype) -> torch.dtype:
    """Return the one of two precisions that has fewer digits, as that of real numbers.

    Parameters
    ----------
    first, second : torch.dtype
        Precisions of real or of complex numbers.

    Returns
    -------
    torch.dtype
        That of the larger rounding.
    """
    first, second = first.to_real(), second.to_real()
    return second if torch.finfo(second).eps > torch.finfo(first).eps else first


def coarsest_precision(dtype: torch.dtype, run: Callable[[], Any]) -> tuple[torch.dtype, Any]:
    """Do some work, and find the coarsest precision that its result goes through.

    What a net sends does not say: it may compute in a precision of its own, and cast the result.

    Parameters
    ----------
    dtype : torch.dtype
        Precision that the work is to be done in.
    run : callable
        The work; what has derivatives in it counts.

    Returns
    -------
    precision : torch.dtype
        That, or a coarser one.
    result : object
        What was made.
    """
    with torch.enable_grad(), _Precisions(dtype) as found:
        result = run()
    return found.coarsest, result


def make_parameters_real(module: torch.nn.Module) -> None:
    """Write complex parameters that are trained as functions of real ones, in place.

    Coordinates are then real parts, followed by imaginary ones.

    Parameters
    ----------
    module : torch.nn.Module
        A module; one without complex parameters stays as it is.

    Raises
    ------
    ValueError
        Where one is part of a parametrization already.
    """
    made: dict[int, Any] = {}
    for part in list(module.modules()):
        for name, parameter in list(part.named_parameters(recurse=False)):
            if not (parameter.is_complex() and parameter.requires_grad):
                continue
            if isinstance(part, parametrize.ParametrizationList):
                raise ValueError(
                    "Expected parametrizations of real numbers, found one of a complex parameter. "
                    "Remove it with torch.nn.utils.parametrize.remove_parametrizations."
                )
            parametrize.register_parametrization(part, name, _RealAndImaginaryPart())
            pair = part.parametrizations[name]
            # What was shared remains so.
            pair.original0, pair.original1 = made.setdefault(
                id(parameter), (pair.original0, pair.original1)
            )


class _RealAndImaginaryPart(torch.nn.Module):
    """A complex tensor as a function of two real ones."""

    def forward(self, real, imaginary):
        return torch.complex(real, imaginary)

    def right_inverse(self, tensor):
        return tensor.real.clone(), tensor.imag.clone()


class TooCoarseError(ValueError):
    """A precision has too few digits for a net and its inputs."""


def moved_by_rounding(working_copy: torch.nn.Module, X: Any, precision: torch.dtype) -> float:
    """Measure by how much outputs move where inputs and parameters are rounded in another way.

    A net's outputs, computed in some precision, are those of parameters and inputs that are moved
    by about as much as that precision rounds [1]_. So every number of them is multiplied by one
    plus or minus the precision's rounding, at random.

    Parameters
    ----------
    working_copy : torch.nn.Module
        The net; its numbers are put back.
    X : tree of tensors
        Inputs.
    precision : torch.dtype
        The precision.

    Returns
    -------
    float
        Relative to the size of the outputs, the most of a few draws; 0 where the net fails.

    References
    ----------
    .. [1] N. J. Higham, Accuracy and Stability of Numerical Algorithms, SIAM 2002, chapter 3.
    """
    epsilon, generator, most = torch.finfo(precision).eps, torch.Generator().manual_seed(0), 0.0
    try:
        with torch.no_grad():
            here = _joined(working_copy(X))
            for _ in range(N_DRAWS):
                with moved(working_copy, X, epsilon, generator) as other:
                    there = _joined(working_copy(other))
                size = float((there - here).norm())
                most = max(most, size / (1e-30 + float(here.norm())))
    except Exception:
        return 0.0
    return most


@contextlib.contextmanager
def moved(
    working_copy: torch.nn.Module, X: Any, epsilon: float, generator: torch.Generator
) -> Iterator[Any]:
    """Round all numbers of a net, and inputs, in another way for a while.

    Parameters
    ----------
    working_copy : torch.nn.Module
        The net; its numbers are put back.
    X : tree of tensors
        Inputs.
    epsilon : float
        By how much numbers are moved, relative to their size.
    generator : torch.Generator
        Where signs are drawn from.

    Yields
    ------
    object
        The inputs, moved likewise.
    """
    numbers = [t for t in (*working_copy.parameters(), *working_copy.buffers()) if _is_real(t)]
    kept = [(tensor, tensor.data) for tensor in numbers]
    try:
        for tensor, data in kept:
            tensor.data = _rounded(data, epsilon, generator)
        yield _moved(X, epsilon, generator)
    finally:
        for tensor, data in kept:
            tensor.data = data


def too_coarse(dtype: torch.dtype, X: Any, size: float, precision: torch.dtype) -> str:
    """Say that rounding moves outputs too far, and what to do.

    Parameters
    ----------
    dtype : torch.dtype
        Precision that is asked for.
    X : tree of tensors
        Inputs.
    size : float
        By how much outputs move, relative to their size.
    precision : torch.dtype
        The precision whose rounding it is.

    Returns
    -------
    str
        A message.
    """
    reach = max((float(t.detach().abs().max()) for t in tensors_of(X) if _is_real(t)), default=0.0)
    remedy = "Scale the inputs, as sklearn.preprocessing.StandardScaler does, and train again"
    if precision == torch.float32 and dtype == torch.float32:
        remedy = f"Pass dtype='float64', which has more; or {remedy[0].lower()}{remedy[1:]}"
    elif torch.finfo(precision).bits < 32:
        remedy = f"Take casts to {precision} out of forward; or {remedy[0].lower()}{remedy[1:]}"
    return (
        f"Expected a net and inputs that {precision} has the digits for, found that rounding alone "
        f"moves outputs by {size:.2g} of their size, as where large numbers nearly cancel: inputs "
        f"are up to {reach:.2g}. {remedy}."
    )


def _is_real(tensor):
    """Say whether a tensor holds numbers that are rounded."""
    return isinstance(tensor, torch.Tensor) and (tensor.is_floating_point() or tensor.is_complex())


def _rounded(tensor, epsilon, generator):
    """Multiply every number by one plus or minus epsilon; whole numbers are not rounded.

    They may stand for rows of a table, or for a mask.
    """
    if torch.equal(tensor.real, tensor.real.round()):
        return tensor
    signs = torch.randint(0, 2, tensor.shape, generator=generator, dtype=torch.int8)
    return tensor * (1 + epsilon * (2 * signs.to(tensor.device) - 1).to(tensor.real.dtype))


def _moved(tree, epsilon, generator):
    """Move the real numbers of a tree; what else there is stays as it is."""
    if isinstance(tree, torch.Tensor):
        return _rounded(tree, epsilon, generator) if _is_real(tree) else tree
    if isinstance(tree, dict):
        return {key: _moved(value, epsilon, generator) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)) and not hasattr(tree, "_fields"):
        return type(tree)(_moved(value, epsilon, generator) for value in tree)
    return tree


def _joined(outputs):
    """Put all numbers of some outputs into one vector in float64."""
    tensors = [t for t in tensors_of(outputs) if _is_real(t)]
    tensors = [torch.view_as_real(t) if t.is_complex() else t for t in tensors]
    return torch.cat([tensor.detach().double().reshape(-1) for tensor in tensors])
