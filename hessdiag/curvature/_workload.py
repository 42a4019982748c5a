"""What passes through a net take: operations, and bytes of what sweeps leave at each layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch

from hessdiag.curvature.factors import POSITION_WISE, find_rule
from hessdiag.curvature.network import Block, owner_of
from hessdiag.curvature.products import Problem

if TYPE_CHECKING:
    from hessdiag.curvature._footprint import Footprint

# Bytes of sweeps that are always held together.
SMALL_SWEEPS = 2**28


class SizedProblem(Problem, Protocol):
    """A problem that says what it takes in memory."""

    @property
    def footprint(self) -> Footprint:
        """What is held throughout, and what every sample adds."""


def entries_sent(problem: SizedProblem, block: Block) -> float:
    """Count the numbers that a block's module sends for one sample, over all its calls."""
    return problem.entries.get(owner_of(block.parameter_names[0]), 0)


def sweep_bytes(problem: SizedProblem, block: Block, n_columns: int) -> float:
    """Count what one sample's backward sweeps leave at the outputs of a block.

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with.
    block : Block
        A layer.
    n_columns : int
        Columns of outputs that are swept.

    Returns
    -------
    float
        Bytes for one sample.
    """
    return n_columns * entries_sent(problem, block) * problem.itemsize


def capture_bytes(problem: SizedProblem, block: Block, n_columns: int, held: float) -> float:
    """Count the bytes that building a factor takes at its peak, for every sample.

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with.
    block : Block
        A layer.
    n_columns : int
        Columns of outputs that are swept.
    held : float
        Bytes of the factor itself, for one sample.

    Returns
    -------
    float
        Bytes for one sample.
    """
    if not _has_rule(block):
        # Jacobians of all outputs, joined; the vectorized passes that give them.
        n_outputs = problem.n_outputs
        wide = n_outputs * block.n_params * problem.itemsize
        return 2 * wide + held + n_outputs * problem.footprint.first
    swept = 3 * sweep_bytes(problem, block, n_columns)
    if not isinstance(block.module, POSITION_WISE):
        return swept / max(1, n_columns) + 2 * held
    return swept + held


def _has_rule(block):
    """Say whether a block's factor follows from a closed rule."""
    if block.module is None:
        return False
    pieces = [name.rpartition(".")[2] for name in block.parameter_names]
    return find_rule(block.module, pieces) is not None


def sweep_groups(
    problem: SizedProblem, blocks: Sequence[Block], n_columns: int, max_memory: float | None = None
) -> list[list[Block]]:
    """Cut blocks into runs whose sweeps are held together: less memory, but more sweeps.

    Without a bound, a run's sweeps take at most one and a half times what a step of training takes
    (activations, gradients, two moments of Adam and their update).

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with.
    blocks : sequence of Block
        The layers, in forward order.
    n_columns : int
        Columns of outputs that are swept.
    max_memory : float or None, default=None
        Bytes to keep within, of which sweeps take a quarter; None stands for the above.

    Returns
    -------
    list of list of Block
        Runs of neighbours; a layer that is too large is a run of its own.
    """
    limit = _free_sweeps(problem) if max_memory is None else max_memory / 4
    groups: list[list[Block]] = [[]]
    size = 0.0
    for block in blocks:
        entries = entries_sent(problem, block)
        if not isinstance(block.module, POSITION_WISE):
            entries = min(entries, 4 * block.n_params)
        needed = problem.n_samples * n_columns * entries * problem.itemsize
        if groups[-1] and size + needed > limit:
            groups.append([])
            size = 0.0
        groups[-1].append(block)
        size += needed
    return groups


def _free_sweeps(problem):
    """Bytes of sweeps that need not be asked for: small, or as much as a step of training."""
    n_params = sum(block.n_params for block in problem.blocks)
    activations = problem.n_samples * sum(problem.entries.values()) / 2
    step = problem.itemsize * (4 * n_params + activations)
    return max(SMALL_SWEEPS, 1.5 * step)


def vectors_at_once(problem: SizedProblem, most: int = 64) -> int:
    """Count the vectors that Hessians are multiplied by at once where memory is not asked for.

    Every one takes about as much as what the modules send.

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with.
    most : int, default=64
        Largest number to return.

    Returns
    -------
    int
        At least 1.
    """
    sent = problem.itemsize * sum(problem.entries.values()) / 2
    largest = problem.samples.largest_chunk
    return int(max(1, min(most, _free_sweeps(problem) // max(1.0, largest * sent))))


def pass_seconds(problem: SizedProblem) -> float:
    """Measure one pass forward over all samples.

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with.

    Returns
    -------
    float
        Seconds.
    """
    start = time.perf_counter()
    with torch.no_grad():
        for chunk in problem.chunks:
            problem.working_copy(chunk.X)
    return time.perf_counter() - start


def product_operations(problem: SizedProblem) -> float:
    """Estimate the floating-point operations of a product with the Hessian of all samples.

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with.

    Returns
    -------
    float
        Operations: some five passes, there and back, through all layers, and as many again through
        what lies between them.
    """
    return 10 * pass_operations(problem)


def pass_operations(problem: SizedProblem) -> float:
    """Estimate the floating-point operations of one pass through every layer, all samples.

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with.

    Returns
    -------
    float
        Operations: two for each parameter, position and sample.
    """
    total = 0
    for block in problem.blocks:
        width = problem.widths.get(owner_of(block.parameter_names[0])) or 1
        positions = entries_sent(problem, block) / max(1, width)
        total += 2 * problem.n_samples * block.n_params * max(1, positions)
    return total
