"""Sizes of all blocks of a net's Hessian: exact by products with the identity, or by probes."""

from __future__ import annotations

import math
from numbers import Integral

import numpy as np
import torch

from hessdiag.curvature import vectors_at_once
from hessdiag.curvature.products import CrossProducts
from hessdiag.spectra._policy import RESERVE, SPARE
from hessdiag.spectra._probes import random_signs
from hessdiag.spectra.results import LayerCoupling

# A norm below this share of the whole Hessian's is rounding of zero.
NEGLIGIBLE = 1e-12
# Probes of each layer where none are asked for; the docstring of `LocalSpectra.coupling` says why.
DEFAULT_PROBES = 100
# Vectors multiplied at once: on processors, more would fall out of their caches.
AT_ONCE_ON_CPU = 16
AT_ONCE_ELSEWHERE = 64
# Entries of what they give: 256 MiB in float64.
MOST_ENTRIES = 2**25


def couple_layers(problem, settings, n_probes, max_params):
    """Compute the `LayerCoupling` of all layers of a problem."""
    n_each = _check(problem, settings, n_probes, max_params)
    if n_probes is None and sum(b.n_params for b in problem.blocks) <= max_params:
        n_each = math.inf
    generator = torch.Generator().manual_seed(settings.seed)
    known, shares = _squared_norms(*_within_bound(problem, settings), n_each, generator)
    return _coupling(tuple(b.name for b in problem.blocks), known, shares)


def _check(problem, settings, n_probes, max_params):
    """Check what couplings alone ask for; return the number of probes of each layer."""
    if problem.is_layerwise:
        raise ValueError(
            "Expected one function of the net's output as scalar, found a mapping of layers' own "
            "functions, whose Hessians have no blocks between layers. Pass 'loss' or a callable "
            "(output, y) -> 0-d tensor."
        )
    if settings.curvature != "hessian":
        raise ValueError(
            f"Expected curvature='hessian' for couplings, found {settings.curvature!r}, whose "
            "blocks between layers are not measured. Leave curvature as it is by default."
        )
    if n_probes is not None and not (isinstance(n_probes, Integral) and n_probes >= 2):
        raise ValueError(
            "Expected n_probes to be None or an integer from 2 on, as one probe has no standard "
            f"error, found {n_probes!r}."
        )
    if not isinstance(max_params, Integral) or max_params < 0:
        raise ValueError(f"Expected max_params to be an integer from 0 on, found {max_params!r}.")
    return DEFAULT_PROBES if n_probes is None else int(n_probes)


def _within_bound(problem, settings):
    """Return the problem, in chunks that are small enough, and how many vectors go at once."""
    n_params = sum(block.n_params for block in problem.blocks)
    on_cpu = problem.working_copy.device.type == "cpu"
    most = vectors_at_once(problem, AT_ONCE_ON_CPU if on_cpu else AT_ONCE_ELSEWHERE)
    most = max(1, min(most, MOST_ENTRIES // n_params))
    if settings.max_memory is None:
        return problem, most
    found, limit = problem.footprint, (1 - RESERVE) * settings.max_memory
    while True:
        chunk = problem.samples.largest_chunk
        graph = found.held + SPARE * chunk * found.second + n_params * problem.itemsize
        each = SPARE * chunk * found.first + 3 * n_params * problem.itemsize
        if graph + each <= limit:
            return problem, int(min(most, (limit - graph) // each))
        if chunk == 1 or not (problem.may_cut and problem.is_separable):
            least = (graph + each) / (1 - RESERVE)
            raise ValueError(
                f"Expected max_memory of at least {least:.0f} bytes ({least / 2**20:.1f} MiB), "
                f"found {settings.max_memory:.0f}. Raise max_memory, or pass max_samples to look "
                "at fewer samples."
            )
        problem = problem.cut(chunk // 2)


def _squared_norms(problem, at_once, n_each, generator):
    """Return squared norms of blocks: those known (L, L), and what each probe adds to others.

    The second is {layer's position: (n_probes, L)}, whose means over the probes, summed over both
    layers of a pair, are the squared norms that are not known.
    """
    blocks = problem.blocks
    whole = problem.whole_products(blocks)
    products = CrossProducts(whole.scalars, blocks, whole.keeps_derivatives)
    known, shares = np.zeros((len(blocks), len(blocks))), {}
    few = [i for i, block in enumerate(blocks) if block.n_params <= n_each]
    left = list(range(len(blocks)))
    for i in few:
        names = [blocks[j].name for j in left]
        for vectors in _identity(blocks[i], at_once):
            known[i, left] += products.squared_norms(blocks[i].name, vectors, names).sum(axis=0)
        known[left, i] = known[i, left]
        left.remove(i)
    for i in left:
        names = [blocks[j].name for j in left]
        squares = [
            products.squared_norms(blocks[i].name, vectors, names)
            for vectors in _all_signs(blocks[i], n_each, at_once, generator)
        ]
        shares[i] = np.zeros((n_each, len(blocks)))
        shares[i][:, left] = 0.5 * np.concatenate(squares)
        shares[i][:, i] *= 2.0
    return known, shares


def _identity(block, at_once):
    """Yield the rows of the identity of a block's parameters, some at once."""
    first, p = block.parameters[0], block.n_params
    for start in range(0, p, at_once):
        k = min(at_once, p - start)
        rows = torch.zeros(k, p, dtype=first.dtype, device=first.device)
        rows[torch.arange(k), start + torch.arange(k)] = 1.0
        yield rows


def _all_signs(block, n_probes, at_once, generator):
    """Yield vectors of random signs on a block's parameters, some at once."""
    for start in range(0, n_probes, at_once):
        yield random_signs(min(at_once, n_probes - start), block, generator)


def _coupling(names, known, shares):
    """Turn squared norms into resonance, coupling and phi, and spreads into standard errors."""
    squares = known.copy()
    for i, share in shares.items():
        _add(squares, i, share.mean(axis=0))
    squares[~np.isfinite(squares)] = math.nan
    own, total = np.diag(squares), squares.sum()
    resonance_variance, coupling_variance = np.zeros_like(squares), np.zeros_like(squares)
    phi_variance = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where a layer's own block is rounding of zero, so is what it would be divided by.
        resonance = np.sqrt(squares)
        norms = np.sqrt(np.where(own > NEGLIGIBLE**2 * total, own, 0.0))
        coupling = resonance / np.sqrt(norms[:, None] * norms)
        coupling[~np.isfinite(coupling)] = math.nan
        phi = (squares - np.diag(own)).sum() / total
        for i, share in shares.items():
            # To first order, what each probe changes: first in logarithms of squares.
            relative = np.where(squares[i] > 0, share / squares[i], 0.0)
            change = 0.5 * resonance[i] * relative
            _add(resonance_variance, i, _variance_of_mean(change))
            change = coupling[i] * (0.5 * relative - 0.25 * relative[:, [i]])
            change[:, i] = 0.0
            _add(coupling_variance, i, _variance_of_mean(change))
            between = 2 * (share.sum(axis=1) - share[:, i])
            change = ((1 - phi) * between - phi * share[:, i]) / total
            phi_variance += _variance_of_mean(change)
    return LayerCoupling(
        layer_names=names,
        resonance=resonance,
        resonance_error=np.where(np.isnan(resonance), math.nan, np.sqrt(resonance_variance)),
        coupling=coupling,
        coupling_error=np.where(np.isnan(coupling), math.nan, np.sqrt(coupling_variance)),
        phi=float(phi),
        phi_error=math.nan if np.isnan(phi) else float(np.sqrt(phi_variance)),
        method="probes" if shares else "exact",
        n_probes=max((len(share) for share in shares.values()), default=0),
    )


def _add(table, i, row):
    """Add to the row and the column of a layer in a symmetric table."""
    table[i] += row
    table[:, i] += row
    table[i, i] -= row[i]


def _variance_of_mean(values):
    """Estimate the variance of the mean over the first axis."""
    return values.var(axis=0, ddof=1) / len(values)
