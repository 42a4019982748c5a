"""How many samples pass through a net at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hessdiag.curvature._workload import sweep_bytes
from hessdiag.curvature.network import Chunk, available_memory, entries_of_graph, take

if TYPE_CHECKING:
    from hessdiag.curvature._local_curvature import LocalCurvature

# Samples that pass through the net at once before it is known how much memory they take.
FIRST_SIZE = 2048
CAREFUL_FIRST_SIZE = 64


def first_chunk_size(batch_size: int | None, max_memory: float | None) -> int:
    """Choose how many samples pass at first, when what one takes is not known yet."""
    if batch_size is not None:
        return batch_size
    return FIRST_SIZE if max_memory is None else CAREFUL_FIRST_SIZE


def chosen_chunk_size(problem: LocalCurvature, max_memory: float | None) -> int | None:
    """Choose how many samples pass through the net at once; None leaves them as they are."""
    if problem.X is None or not (problem.is_separable or problem.is_layerwise):
        return None
    size = _free_size(problem) if max_memory is None else _size_within(problem, max_memory)
    return int(min(max(1, size), problem.n_samples))


def _free_size(problem):
    """Count the samples whose graphs and sweeps fit in half of the memory that is free."""
    if problem.is_layerwise:
        return FIRST_SIZE
    if problem.output_function.hessians_fit:
        one = Chunk(take(problem.X, slice(0, 1)), None, 1)
        entries = entries_of_graph(problem.working_copy, one)
        columns = 4 + problem.output_function.n_outputs
        bytes_per_sample = entries * problem.itemsize * columns
    else:
        bytes_per_sample = problem.footprint.second
    return 0.5 * available_memory(problem.working_copy.device) // max(1, bytes_per_sample)


def _size_within(problem, max_memory):
    """Count the samples to take at once: all where that is safe, or a quarter's worth."""
    found, sweeps = problem.footprint, [0.0]
    if problem.outputs is not None:
        rank = problem.outputs.rank
        sweeps = [3 * sweep_bytes(problem, block, rank) for block in problem.blocks]
    at_once = 2 * found.second + found.first + sum(sweeps)
    if found.held + problem.n_samples * at_once <= 0.5 * max_memory:
        return problem.n_samples
    one_by_one = max(found.first + max(sweeps), found.second + found.first)
    return 0.25 * (max_memory - found.held) // max(1.0, one_by_one)


def fitting_chunks(problem: LocalCurvature, max_memory: float | None) -> LocalCurvature:
    """Return a problem in chunks that fit within a bound on memory, if they may be cut.

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with.
    max_memory : float or None
        Bytes to keep within; None stands for half of what is free.

    Returns
    -------
    LocalCurvature
        The problem in smaller chunks, or as it is where all samples fit at once or no smaller
        chunks may be made.
    """
    size = chosen_chunk_size(problem, max_memory) if problem.may_cut else None
    return problem if size is None or size >= problem.n_samples else problem.cut(size)
