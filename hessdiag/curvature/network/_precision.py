"""Precisions: real and complex numbers of one size go together; layers have real coordinates."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence

from hessdiag.curvature.network._checks import graph_nodes


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
