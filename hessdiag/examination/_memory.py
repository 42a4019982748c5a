"""What an examination takes in memory, beside spectra: chunks that fit, or a refusal."""

from __future__ import annotations

from hessdiag.curvature import capture_bytes, sweep_bytes
from hessdiag.examination._between_samples import MOST_SAMPLES
from hessdiag.examination._sketched_statistics import FIRST_ROOT
from hessdiag.examination._wide_layers import NETWORK_SAMPLES
from hessdiag.spectra import RESERVE

# Passes hold more than what graphs save: as measured, up to a quarter, twice over for gaps.
GRAPHS = 2.5
# Vectors of all parameters that measuring gaps holds.
GAP_VECTORS = 6
# Arrays of a Gram matrix's size: that of the layer, two sums, weighted, eigenvectors, a work space
# of the decomposition, and what statistics make of them.
GRAM_COPIES = 10
# Arrays of the size of all outputs that square roots of their Hessians, and losses, take.
OUTPUT_VECTORS = 12
# Arrays of the size of a wide layer's kernel: three kernels, and a decomposition of each.
KERNEL_COPIES = 10


def within_bound(problem, part, settings, n_columns=None):
    """Return a problem, and its part whose curvature is examined, in chunks that keep a bound.

    Raises a ValueError that says how much would do, where no chunk is small enough.
    """
    limit = (1 - RESERVE) * settings.max_memory
    while True:
        pieces = examination_bytes(problem, part, n_columns)
        what = max(pieces, key=pieces.get)
        if pieces[what] <= limit:
            return problem, part
        largest = problem if problem.samples.largest_chunk > part.samples.largest_chunk else part
        chunk = largest.samples.largest_chunk
        if chunk == 1 or not (largest.may_cut and largest.is_separable):
            break
        if largest is problem:
            problem = problem.cut(chunk // 2)
        else:
            part = part.cut(chunk // 2)
    least = pieces[what] / (1 - RESERVE)
    raise ValueError(
        f"Expected max_memory of at least {least:.0f} bytes ({least / 2**20:.1f} MiB) for an "
        f"examination, which {what} takes, found {settings.max_memory:.0f} "
        f"({settings.max_memory / 2**20:.1f} MiB). Raise max_memory, or pass max_gram_size or "
        "max_samples to look at fewer samples."
    )


def examination_bytes(problem, part, n_columns=None):
    """Return {what: bytes} of the pieces of work that follow one another, spectra not counted.

    `n_columns` random columns stand for each sample's output Hessian; None takes these as they are.
    """
    found = part.footprint
    held = problem.footprint.held + found.held
    numbers = sum(problem.entries.values()) * problem.itemsize
    pieces = {"preparing the net and its data": problem.footprint.start}
    n = min(NETWORK_SAMPLES, problem.n_samples)
    pieces["what layers receive"] = held + 2 * n * numbers + KERNEL_COPIES * 8 * n**2
    n = min(MOST_SAMPLES, problem.n_samples)
    chunk = min(n, problem.samples.largest_chunk)
    pieces["forecasts between samples"] = held + chunk * numbers + KERNEL_COPIES * 8 * n**2
    n_swept = part.n_outputs
    if n_columns is not None:
        n_swept = FIRST_ROOT + n_columns
        columns = part.n_samples * part.n_outputs * 8
        pieces["columns of outputs"] = held + columns * (2 * n_swept + OUTPUT_VECTORS)
        held += columns * n_swept * part.itemsize / 8
    elif part.outputs is None:
        return pieces
    chunk, n_params = part.samples.largest_chunk, sum(block.n_params for block in part.blocks)
    vectors = GAP_VECTORS * n_params * part.itemsize
    pieces["measuring gaps"] = held + GRAPHS * chunk * found.second + vectors
    for block in part.blocks:
        pieces[f"layer {block.name!r}"] = (
            held + vectors + _layer_bytes(part, block, n_swept, n_columns)
        )
    return pieces


def _layer_bytes(part, block, n_outputs, n_columns):
    """Count what one layer takes: its factor, plain and weighted, and its Gram matrix."""
    n, found = part.n_samples, part.footprint
    rank = part.outputs.rank if n_columns is None else n_columns
    chunk, swept = part.samples.largest_chunk, sweep_bytes(part, block, n_outputs)
    gram = GRAM_COPIES * 8 * (n * n_outputs) ** 2
    received = sweep_bytes(part, block, 1) + found.first
    # The factor, joined from its parts, and the weighted one.
    factor = min(swept + received, n_outputs * block.n_params * part.itemsize + received)
    jacobian = 0.0
    if block.n_params < n * rank:
        jacobian = 3 * 8 * n * n_outputs * block.n_params
    building = chunk * (found.first + capture_bytes(part, block, n_outputs, factor))
    building += 2 * n * factor
    return max(building, 3 * n * factor + jacobian + gram)
