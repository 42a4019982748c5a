"""Spectra within a bound on memory: one layer after the other, data in chunks, few vectors."""

from __future__ import annotations

import math

import torch

from hessdiag.curvature.network import give_back_freed
from hessdiag.spectra._exact import dense_spectrum, ggn_spectrum
from hessdiag.spectra._local_operators import LocalOperators, gaps_by_products, random_vectors
from hessdiag.spectra._spectrum import Spectrum
from hessdiag.spectra._ways import DENSE, FACTOR

__all__ = ["tight_spectra"]


def tight_spectra(problem, plan, lanczos_spectra):
    """Compute the spectra of all layers of a problem as a `MemoryPlan` says.

    `lanczos_spectra` is what runs Lanczos on some operators.
    """
    settings = plan.settings
    generator = torch.Generator().manual_seed(settings.seed)
    gaps = {name: look.gap for name, look in plan.looks.items() if look.gap is not None}
    if problem.outputs is not None:
        gaps |= _gaps_on_all(problem, plan, generator)
    elif settings.curvature == "hessian" and problem.is_separable:
        gaps = gaps_by_products(problem, generator)
    spectra = {}
    give_back_freed()
    by_factor = [b for b in problem.blocks if plan.ways[b.name].by_factor]
    # Late layers are small: they are done and gone before the large early ones come.
    for block in by_factor[::-1]:
        way, gap = plan.ways[block.name], gaps.get(block.name, math.nan)
        factor = problem.factors(weighted=True, blocks=[block], lean=True)[block.name]
        if factor is None:
            spectra[block.name] = Spectrum.undefined(block.n_params, settings.curvature)
        elif way.name == FACTOR:
            spectra[block.name] = ggn_spectrum(
                factor, problem.outputs.signs, settings.curvature, gap, settings.max_memory
            )
        else:
            one = LocalOperators([block], {block.name: factor}, problem.outputs.signs, None)
            one.spaces[block.name] = way.side < block.n_params
            spectra |= lanczos_spectra(one, [block.name], settings, gaps, generator, way.n_vectors)
            del one
        del factor
        give_back_freed()
    rest = [b for b in problem.blocks if b.name not in spectra]
    if rest:
        spectra |= _by_products(problem, plan, rest, gaps, generator, lanczos_spectra)
    return {block.name: spectra[block.name] for block in problem.blocks}


def _gaps_on_all(problem, plan, generator):
    """Measure |R v| / |H v| on all samples for layers that a few samples show to be bent."""
    bent = [b for b in problem.blocks if plan.looks[b.name].gap and not plan.ways[b.name].by_factor]
    bent = [b for b in bent if not plan.looks[b.name].by_factor]
    if not bent:
        return {}
    vectors = random_vectors(bent, generator)
    parts = {
        name: float(image.norm())
        for name, image in problem.residual_products(bent).products(vectors).items()
    }
    wholes = problem.whole_products(bent).products(vectors)
    return {
        name: part / float(wholes[name].norm()) if part else 0.0 for name, part in parts.items()
    }


def _by_products(problem, plan, blocks, gaps, generator, lanczos_spectra):
    """Compute spectra by products with Hessians: dense one by one, Lanczos in groups that fit."""
    settings, spectra = plan.settings, {}
    operators = LocalOperators(blocks, None, None, problem.products(settings.curvature, blocks))
    for block in blocks:
        way = plan.ways[block.name]
        if way.name == DENSE:
            matrix = operators.beyond.dense(block.name, way.n_vectors)
            gap = gaps.get(block.name, math.nan)
            spectra[block.name] = dense_spectrum(matrix, settings.curvature, gap)
            del matrix
            give_back_freed()
    for names, n_vectors in plan.groups:
        spectra |= lanczos_spectra(operators, names, settings, gaps, generator, n_vectors)
        give_back_freed()
    return spectra
