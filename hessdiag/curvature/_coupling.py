"""Whether the outputs of one sample depend on the others: told apart from mere rounding.

Samples on their own, and at other places, are compared with the same ones in their batch. Sums are
then taken in another order, so that outputs differ by rounding: by more than usual where large
numbers nearly cancel, as with inputs far from zero. Where outputs differ by more than usual, it is
rounding

- if they differ by far less in float64; or
- if, where float64 is not to be had, other numbers for all other samples of a batch of the same
  size change nothing, while moving inputs and parameters by the precision's own rounding changes as
  much.
"""

from __future__ import annotations

from typing import Any

import torch

from hessdiag.curvature.network import (
    MANY,
    Chunk,
    NotSeparableError,
    TooCoarseError,
    WorkingCopy,
    coarsest_precision,
    match_floats,
    moved_by_rounding,
    take,
    tensors_of,
    too_coarse,
)

# By how much outputs may differ with nothing more to be asked, relative to their size.
CLOSE = {torch.float64: 1e-8, torch.float32: 1e-3}
# Rounding up to which outputs are looked at: where a net computes in a half precision by itself
# there is more of it.
MOST_ROUNDING, MOST_OF_HALF = 1e-3, 3e-2
# By how much rounding is less in float64 than in any other precision, at the least.
LESS = 1e-4
# What remains of a dependence on the other samples where there is none.
NOTHING = 1e-3


def check_uncoupled_net(
    working_copy: WorkingCopy, chunk: Chunk, outputs: torch.Tensor, precision: torch.dtype
) -> None:
    """Compare some samples on their own, and at other places, with the same ones in their chunk.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net.
    chunk : Chunk
        Samples.
    outputs : Tensor of shape (n, ...)
        What the net sends for them.
    precision : torch.dtype
        The coarsest precision that outputs go through.

    Raises
    ------
    NotSeparableError
        If what the net sends for a sample depends on the others.
    TooCoarseError
        If it does not, but for rounding, of which there is too much.
    """
    n = chunk.n_samples
    if n < 2:
        return
    generator = torch.Generator().manual_seed(0)
    some = torch.randperm(n, generator=generator)[: min(8, n - 1)].to(outputs.device)
    worst, most = torch.arange(0), 0.0
    for places in (torch.arange(min(2, n - 1), device=outputs.device), some):
        try:
            with torch.no_grad():
                alone = working_copy(take(chunk.X, places))
        except (TypeError, RuntimeError, ValueError, IndexError):
            raise NotSeparableError("the net cannot be run on single samples") from None
        expected = outputs[places]
        if not isinstance(alone, torch.Tensor) or alone.shape != expected.shape:
            raise NotSeparableError("the outputs of one sample depend on the others")
        if not torch.isfinite(outputs).all():
            return
        difference = _difference(alone, expected)
        if difference > most:
            worst, most = places, difference
    if most <= CLOSE.get(precision, 1e-3):
        return
    if not _is_rounding(working_copy, chunk, outputs, worst, most, precision):
        raise NotSeparableError("the outputs of one sample depend on the others")
    is_half = torch.finfo(precision).bits < 32
    if most > (MOST_OF_HALF if is_half else MOST_ROUNDING):
        raise TooCoarseError(too_coarse(working_copy.dtype, chunk.X, most, precision))


def _difference(found, expected):
    """Return by how much outputs differ, relative to their size."""
    size = float((found - expected).double().norm())
    return size / (1e-30 + float(expected.double().norm()))


def _is_rounding(working_copy, chunk, outputs, places, difference, precision):
    """Say whether outputs differ because sums are taken in another order, and for no other reason.

    ``difference`` is what was found between samples on their own and in their chunk.
    """
    in_double = _difference_in_double(working_copy, chunk, places)
    if in_double is not None:
        return in_double <= max(CLOSE[torch.float64], LESS * difference)
    others = torch.ones(chunk.n_samples, dtype=torch.bool, device=outputs.device)
    others[places] = False
    rest = torch.nonzero(others).flatten()
    for filler in (rest[0], rest[-1]):
        index = torch.arange(chunk.n_samples, device=outputs.device)
        index[rest] = filler
        with torch.no_grad():
            again = working_copy(take(chunk.X, index))[places]
        if _difference(again, outputs[places]) > NOTHING * difference:
            return False
    return MANY * moved_by_rounding(working_copy, take(chunk.X, places), precision) >= difference


def _difference_in_double(working_copy, chunk, places):
    """Return the same difference in float64; None where the net does not compute in it."""
    if working_copy.dtype == torch.float64:
        return None
    X = match_floats(chunk.X, torch.float64)
    try:
        with working_copy.held_in(torch.float64):
            precision, _ = coarsest_precision(
                torch.float64, lambda: _detached(working_copy(take(X, places[:1])))
            )
            if precision != torch.float64:
                return None
            with torch.no_grad():
                whole, alone = working_copy(X), working_copy(take(X, places))
    except Exception:
        return None
    return _difference(alone, whole[places])


def _detached(tree: Any) -> list[torch.Tensor]:
    """Let the graph of some tensors go."""
    return [tensor.detach() for tensor in tensors_of(tree)]
