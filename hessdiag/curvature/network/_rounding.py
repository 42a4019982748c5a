"""How far rounding alone moves what a net sends, and what to say where that is too far."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from hessdiag.curvature.network._checks import tensors_of

if TYPE_CHECKING:
    from hessdiag.curvature.network._working_copy import WorkingCopy

# Times that numbers are moved.
N_DRAWS = 2
# How much more than by one rounding of inputs and parameters outputs may differ, which are made by
# many roundings.
MANY = 100.0


class TooCoarseError(ValueError):
    """A precision has too few digits for a net and its inputs."""


def moved_by_rounding(working_copy: WorkingCopy, X: Any, precision: torch.dtype) -> float:
    """Measure by how much outputs move where inputs and parameters are rounded in another way.

    A net's outputs, computed in some precision, are those of parameters and inputs that are moved
    by about as much as that precision rounds [1]_. So every number of them is multiplied by one
    plus or minus the precision's rounding, at random.

    Parameters
    ----------
    working_copy : WorkingCopy
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
    working_copy: WorkingCopy, X: Any, epsilon: float, generator: torch.Generator
) -> Iterator[Any]:
    """Round all numbers of a net, and inputs, in another way for a while.

    Parameters
    ----------
    working_copy : WorkingCopy
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


def too_coarse(working_copy: WorkingCopy, X: Any, size: float, precision: torch.dtype) -> str:
    """Say that rounding moves outputs too far, and what to do.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net.
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
    if precision == torch.float32 and working_copy.dtype == torch.float32:
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
