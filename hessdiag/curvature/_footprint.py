"""What a net and its data take in memory: what is held throughout, and what a sample adds."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hessdiag.curvature._checked_samples import N_VECTORS, n_checked
from hessdiag.curvature.factors import Factor, JointFactor
from hessdiag.curvature.network import (
    first_graph_bytes,
    second_graph_bytes,
    take,
    tensors_of,
)
from hessdiag.curvature.products import KeptDerivatives, Problem


@dataclass(frozen=True)
class Footprint:
    """Bytes of a problem.

    `held` is there throughout: the copy of the net, data, what is known of the outputs. `start` is
    the peak until then. A graph keeps `first` for every sample, and `second` where it is to be
    differentiated twice.
    """

    held: float
    start: float
    first: float
    second: float


def measure_footprint(problem: Problem) -> Footprint:
    """Measure on one sample and on two what graphs keep; count the rest."""
    copy = problem.working_copy
    tensors = [*copy.parameters(), *copy.buffers()]
    data = _bytes_of([*tensors_of(problem.X), *tensors_of(problem.y)])
    held = _bytes_of(tensors) + data
    start = held + data
    if problem.outputs is not None:
        n, d = problem.outputs.residuals.shape
        known = 8 * n * d * (3 + d + problem.outputs.rank)
        held, start = held + known, held + known + 3 * 8 * n * d * d
    first, second = _graph_bytes_per_sample(problem)
    # The largest chunk passes forward before all else; then derivatives are checked in float64.
    n_params = sum(block.n_params for block in problem.blocks)
    checking = N_VECTORS * 8 * n_params + 2 * (8 / problem.itemsize) * n_checked(problem) * second
    start = max(start, held + max(first * problem.first_chunk, checking))
    return Footprint(held, start, first, second)


def _graph_bytes_per_sample(problem):
    """Count what the graphs of one and of two samples keep; the difference is a sample's share."""
    if problem.X is None:
        return 0.0, 0.0
    try:
        counts = [_graph_bytes(problem, take(problem.X, slice(0, n))) for n in (1, 2)]
    except (TypeError, RuntimeError, ValueError, IndexError):
        # A net that mixes its samples may refuse so few.
        return tuple(count / problem.n_samples for count in _graph_bytes(problem, problem.X))
    if problem.n_samples == 1:
        return counts[0]
    return tuple(float(max(two - one, one // 2)) for one, two in zip(*counts))


def _graph_bytes(problem, X):
    """Count what the graphs of some samples keep for one backward pass, and for two."""
    parameters = [p for block in problem.blocks for p in block.parameters]
    known = [*problem.working_copy.parameters(), *tensors_of(problem.X)]

    def scalar():
        with KeptDerivatives():
            outputs = tensors_of(problem.working_copy(X))
        # Squares: a scalar with second derivatives everywhere.
        sent = [torch.view_as_real(t) if t.is_complex() else t for t in outputs]
        return sum(t.square().sum() for t in sent if t.is_floating_point())

    once = first_graph_bytes(scalar, parameters, known)
    return once, second_graph_bytes(scalar, parameters, known)


def _bytes_of(tensors):
    """Count the bytes of tensors."""
    return float(sum(tensor.numel() * tensor.element_size() for tensor in tensors))


def held_bytes(factor: Factor) -> int:
    """Count the bytes of the tensors that a factor holds.

    Parameters
    ----------
    factor : Factor
        Jacobian of a layer in factored form.

    Returns
    -------
    int
        Bytes.
    """
    parts = factor.parts if isinstance(factor, JointFactor) else [factor]
    # The factors of a layer's groups of parameters share what they hold.
    tensors = {
        (value.data_ptr(), value.shape): value
        for part in parts
        for value in vars(part).values()
        if isinstance(value, torch.Tensor)
    }.values()
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def dense_bytes(factor: Factor) -> int:
    """Count the bytes of the Jacobian that a factor stands for.

    Parameters
    ----------
    factor : Factor
        Jacobian of a layer in factored form.

    Returns
    -------
    int
        Bytes of all its N D p entries, in its own precision.
    """
    return factor.n_samples * factor.n_outputs * factor.n_params * factor.dtype.itemsize
