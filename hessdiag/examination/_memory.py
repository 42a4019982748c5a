"""What an examination takes in memory, beside spectra; and a refusal where it is too much."""

from __future__ import annotations

from hessdiag.curvature import sweep_bytes
from hessdiag.examination._between_samples import MOST_SAMPLES
from hessdiag.examination._wide_layers import NETWORK_SAMPLES

# Share of a bound that is left to the C library and the buffers of matrix products.
RESERVE = 0.2
# Arrays of a Gram matrix's size: that of the layer, two sums, weighted, eigenvectors, a work space
# of the decomposition, and what statistics make of them.
GRAM_COPIES = 12
# Arrays of the size of a wide layer's kernel: three kernels, and a decomposition of each.
KERNEL_COPIES = 12


def examination_bytes(problem, part):
    """Return {what: bytes} of the pieces of work that follow one another, spectra not counted."""
    found = problem.footprint
    held = found.held + part.samples.n_samples * (found.held / max(1, problem.n_samples))
    numbers = sum(problem.entries.values()) * problem.itemsize
    n = min(NETWORK_SAMPLES, problem.n_samples)
    pieces = {"the net, its data and its outputs": found.start}
    pieces["what layers receive"] = held + n * (numbers + found.first) + KERNEL_COPIES * 8 * n**2
    n = min(MOST_SAMPLES, problem.n_samples)
    chunk = min(n, problem.samples.largest_chunk)
    pieces["forecasts between samples"] = held + chunk * numbers + KERNEL_COPIES * 8 * n**2
    if part.outputs is None:
        return pieces
    n, n_outputs = part.n_samples, part.output_function.n_outputs
    gram = GRAM_COPIES * 8 * (n * n_outputs) ** 2
    chunk = part.samples.largest_chunk
    for block in part.blocks:
        swept = sweep_bytes(part, block, n_outputs)
        factor = min(swept, n_outputs * block.n_params * part.itemsize) + numbers
        jacobian = 0.0
        if block.n_params < n * part.outputs.rank:
            jacobian = 3 * 8 * n * n_outputs * block.n_params
        taken = chunk * (found.first + 3 * swept) + 3 * n * factor + jacobian + gram
        pieces[f"layer {block.name!r}"] = held + taken
    return pieces


def check_memory(problem, part, settings):
    """Refuse an examination that takes more than is allowed; say how much would do."""
    pieces = examination_bytes(problem, part)
    what = max(pieces, key=pieces.get)
    least = pieces[what] / (1 - RESERVE)
    if least > settings.max_memory:
        raise ValueError(
            f"Expected max_memory of at least {least:.0f} bytes ({least / 2**20:.1f} MiB) for an "
            f"examination, which {what} takes, found {settings.max_memory:.0f} "
            f"({settings.max_memory / 2**20:.1f} MiB). Raise max_memory, or pass max_gram_size or "
            "max_samples to look at fewer samples."
        )
