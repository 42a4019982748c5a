"""How many digits outputs and derivatives have: measured on a few samples of every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from hessdiag.curvature.network import match_floats, moved, sample_indices

if TYPE_CHECKING:
    from hessdiag.curvature._local_curvature import LocalCurvature

# Samples that are looked at.
N_SAMPLES = 8
# Roundings that there are at the least.
LEAST = 4.0
# Samples that are asked first whether the loss still has derivatives, where its Hessians in the
# outputs are not formed.
FIRST_SAMPLES = 64
# Share of first derivatives that is rounding, and of second ones by an upper bound of it, from
# which on they say nothing.
OF_RESIDUALS, OF_CURVATURE = 0.1, 1.0


@dataclass(frozen=True)
class Resolution:
    """Rounding of what a net sends, relative to its size, and what it leaves of the loss.

    Parameters
    ----------
    outputs : float, default=1e-15
        Of the outputs.
    layers : dict of str to float, default={}
        Of the outputs' derivatives in each layer's parameters, by the layer's name.
    of_residuals, of_curvature : bool, default=False
        Whether the loss's first, and second, derivatives in the outputs are rounding.
    is_flat : bool, default=False
        Whether the loss has no second derivatives in the outputs at all, as absolute errors.
    """

    outputs: float = 1e-15
    layers: Mapping[str, float] = field(default_factory=dict)
    of_residuals: bool = False
    of_curvature: bool = False
    is_flat: bool = False

    @property
    def of_all(self) -> float:
        """The largest of all."""
        return max([self.outputs, *self.layers.values()])

    @property
    def leaves_nothing(self) -> bool:
        """Say whether first or second derivatives of the loss are rounding, or second ones zero."""
        return self.of_residuals or self.of_curvature or self.is_flat


def measure_resolution(problem: LocalCurvature) -> Resolution:
    """Measure by how much rounding moves the outputs of a few samples, and their derivatives.

    What is computed in float32 is compared with the same in float64. Where that is not to be had,
    because it is in float64 already or a net computes in a precision of its own, all inputs and
    parameters are moved by as much as the coarsest precision rounds, which moves results by as much
    as its rounding does, where every layer by itself is computed stably.

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with; where its samples are not separate nothing is measured.

    Returns
    -------
    Resolution
        Relative sizes; those of a net that fails elsewhere are those of its precision.
    """
    if not problem.is_separable:
        return Resolution()
    epsilon = torch.finfo(problem.precision).eps
    n = min(N_SAMPLES, problem.n_samples)
    few = problem if n == problem.n_samples else problem.restrict(torch.arange(n))
    here = _sent(few, few.X)
    try:
        there = _elsewhere(few, epsilon)
        sizes = [_difference(a, b) for a, b in zip(here, there, strict=True)]
    except Exception:
        sizes = [0.0] * len(here)
    sizes = [max(size, LEAST * epsilon) for size in sizes]
    names = [block.name for block in problem.blocks]
    layers = dict(zip(names, sizes[1:], strict=True))
    of_residuals, of_curvature, is_flat = _of_loss(problem, sizes[0])
    return Resolution(sizes[0], layers, of_residuals, of_curvature, is_flat)


def _of_loss(problem, of_outputs):
    """Say whether first and second derivatives in the outputs are rounding, or second ones zero."""
    parts, few = [problem], sample_indices(problem.n_samples, FIRST_SAMPLES, 0)
    if few is not None and problem.outputs is None:
        parts.insert(0, problem.restrict(few))
    found = False, False
    for part in parts:
        first, second = part.output_function.rounding(of_outputs)
        found = first > OF_RESIDUALS, second > OF_CURVATURE
        if not any(found):
            break
    return *found, problem.output_function.is_flat


def _elsewhere(few, epsilon):
    """Return the same numbers as those of a finer precision, or of one rounded in another way."""
    copy = few.working_copy
    if few.precision == copy.dtype == torch.float32:
        with copy.held_in(torch.float64):
            return _sent(few, match_floats(few.X, torch.float64))
    with moved(copy, few.X, epsilon, torch.Generator().manual_seed(0)) as X:
        return _sent(few, X)


def _sent(few, X):
    """Return the outputs, and for every layer the derivative of a random sum of them."""
    outputs = few.outputs_of(X)
    found = [outputs.detach().double().reshape(-1)]
    generator = torch.Generator().manual_seed(1)
    signs = 2 * torch.randint(0, 2, outputs.shape, generator=generator, dtype=torch.int8) - 1
    parameters = [p for block in few.blocks for p in block.parameters]
    gradients = iter(
        torch.autograd.grad(outputs, parameters, signs.to(outputs), allow_unused=True)
        if outputs.requires_grad
        else [None] * len(parameters)
    )
    for block in few.blocks:
        parts = [(p, next(gradients)) for p in block.parameters]
        parts = [torch.zeros_like(p) if g is None else g for p, g in parts]
        parts = [part.to_dense() if part.is_sparse else part for part in parts]
        found.append(torch.cat([part.detach().double().reshape(-1) for part in parts]))
    return found


def _difference(found, other):
    """Return by how much two vectors differ, relative to the larger; 0 where that is nothing."""
    size, difference = float(torch.maximum(found.norm(), other.norm())), (found - other).norm()
    return float(difference) / size if size > 0 and torch.isfinite(difference) else 0.0
