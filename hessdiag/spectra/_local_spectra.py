"""From a prepared problem to the spectra of all its layers."""

from __future__ import annotations

import math

import numpy as np
import torch

from hessdiag.spectra._exact import dense_spectrum, ggn_spectrum
from hessdiag.spectra._hessian_operators import hessian_operators
from hessdiag.spectra._lanczos import lanczos, quadrature, random_probes
from hessdiag.spectra._local_operators import LocalOperators, gaps_by_products, gaps_on_few
from hessdiag.spectra._memory_plan import MemoryPlan
from hessdiag.spectra._spectrum import Spectrum
from hessdiag.spectra._tight_spectra import tight_spectra
from hessdiag.spectra._ways import DENSE, FACTOR, LayerSizes, choose_way

__all__ = ["local_spectra", "operator_spectra"]


def local_spectra(problem, settings):
    """Compute the spectra of all layers of a `LocalCurvature`."""
    generator = torch.Generator().manual_seed(settings.seed)
    check_separable(problem, settings)
    if settings.max_memory is not None:
        plan = MemoryPlan(problem, settings)
        if plan.is_tight:
            return tight_spectra(problem, plan, _lanczos_spectra)
    if problem.outputs is None:
        products = problem.products(settings.curvature)
        operators = LocalOperators(problem.blocks, None, None, products)
        operators.vectors_at_once = problem.vectors_at_once()
        gaps = {}
        if settings.curvature == "hessian" and problem.is_separable:
            gaps = gaps_by_products(problem, generator)
    else:
        blocks, done = problem.blocks, {}
        if settings.curvature == "hessian":
            done = _settled_spectra(problem, settings, generator)
            blocks = [block for block in problem.blocks if block.name not in done]
            if not blocks:
                return {block.name: done[block.name] for block in problem.blocks}
        if settings.curvature == "hessian":
            operators, gaps = hessian_operators(problem, blocks, settings.n_products, generator)
        else:
            factors = problem.factors(weighted=True, blocks=blocks)
            check_factors(problem, factors)
            operators, gaps = LocalOperators(blocks, factors, problem.outputs.signs, None), {}
            # What the operators are done with is held by nobody else.
            del factors
        found = done | operator_spectra(operators, settings, gaps, generator)
        return {block.name: found[block.name] for block in problem.blocks}
    return operator_spectra(operators, settings, gaps, generator)


def check_separable(problem, settings):
    """Refuse Gauss-Newton matrices of a loss that has none."""
    if settings.curvature == "ggn" and not problem.is_separable:
        raise ValueError(
            "Expected a loss of each sample's outputs for curvature='ggn', found that "
            f"{problem.why_whole}. Use curvature='hessian'."
        )


def _settled_spectra(problem, settings, generator):
    """Compute spectra, one layer after the other, where a few samples show that factors do."""
    gaps, spectra = gaps_on_few(problem, generator), {}
    blocks = {block.name: block for block in problem.blocks if block.name in gaps}
    if not blocks:
        return spectra
    # Late layers are small: they are done and gone before the large early ones come.
    order = list(blocks.values())[::-1]
    for name, factor in problem.each_weighted_factor(order, settings.max_memory):
        if factor is None:
            continue
        one = LocalOperators([blocks[name]], {name: factor}, problem.outputs.signs, None)
        spectra |= operator_spectra(one, settings, gaps, generator)
        del factor, one
    return spectra


def check_factors(problem, factors):
    """Refuse Gauss-Newton matrices of layers whose Jacobian does not fit in memory."""
    for block in problem.blocks:
        if factors[block.name] is None:
            size = problem.n_samples * problem.outputs.rank * block.n_params
            raise ValueError(
                f"Expected a Jacobian of layer {block.name!r} ({block.kind}) that fits in memory, "
                f"found one of {size:.2g} entries. Pass max_samples to look at fewer samples."
            )


def operator_spectra(operators, settings, gaps, generator):
    """Compute the spectrum of every operator: by factors, dense, or by Lanczos.

    What an operator's products need is let go as soon as its spectrum is known.
    """
    chosen = {name: _way(operators, name, settings) for name in operators.blocks}
    spectra, pending = {}, []
    for name in operators.blocks:
        gap, way = gaps.get(name, math.nan), chosen[name].name
        if way == FACTOR:
            factor = operators.factors[name]
            spectra[name] = ggn_spectrum(factor, operators.signs, settings.curvature, gap)
            del factor
        elif way == DENSE:
            spectra[name] = dense_spectrum(operators.dense(name), settings.curvature, gap)
        else:
            pending.append(name)
            continue
        operators.let_go(name)
    spectra.update(_lanczos_spectra(operators, pending, settings, gaps, generator, condense=True))
    return {name: spectra[name] for name in operators.blocks}


def _lanczos_spectra(operators, names, settings, gaps, generator, n_vectors=None, condense=False):
    """Run Lanczos on several operators, each in the smaller of its spaces.

    Those whose products share the recording of graphs run in lockstep, others alone, so that no
    more than one of these has its vectors in memory. At most `n_vectors` of the probes run
    together; None lets all. `condense` lets factors take the form in which products cost least.
    """
    starts, spectra = {}, {}
    for name in names:
        block = operators.blocks[name]
        first = block.parameters[0]
        size = block.n_params
        if operators.in_output_space(name):
            factor = operators.factors[name]
            size = factor.n_samples * factor.n_outputs
        starts[name] = random_probes(settings.n_probes, size, generator, first.dtype, first.device)
    together = [name for name in names if operators.shares_recording(name)]
    groups = [[name] for name in names if name not in together]
    for group in [*groups, together] if together else groups:
        if condense and operators.by_factor(group[0]):
            operators.condense(group[0], settings.n_products)
        some = {name: starts.pop(name) for name in group}
        spectra |= _run(operators, some, settings, gaps, n_vectors)
        if condense:
            for name in group:
                operators.let_go(name)
    return spectra


def _run(operators, starts, settings, gaps, n_vectors):
    """Run Lanczos in lockstep from the start vectors of some operators {name: (k, size)}."""
    short = {name for name in starts if operators.in_output_space(name)}

    def products(vectors):
        long = {name: v for name, v in vectors.items() if name not in short}
        images = operators.products(long) if long else {}
        for name in vectors.keys() & short:
            images[name] = operators.output_products(name, vectors[name])
        return images

    spectra, runs = {}, {name: [] for name in starts}
    step = settings.n_probes if n_vectors is None else n_vectors
    for first in range(0, settings.n_probes, step):
        some = {name: start[first : first + step] for name, start in starts.items()}
        found = lanczos(products, some, settings.n_lanczos_steps, settings.tolerance)
        for name in starts:
            runs[name] += found[name]
    for name, start in starts.items():
        n_params, size = operators.blocks[name].n_params, start.shape[1]
        nodes, weights, trace, error = quadrature(runs[name], size)
        if name in short:
            # The nonzero eigenvalues are those of B' J J' B; the rest of the spectrum is zero.
            nodes = np.append(nodes, 0.0)
            weights = np.append(weights * size / n_params, 1 - size / n_params)
        gap = gaps.get(name, math.nan)
        spectra[name] = Spectrum(
            n_params, False, nodes, weights, trace, error, settings.curvature, gap
        )
    return spectra


def _way(operators, name, settings):
    """Choose the way for one operator."""
    n_params, n_rows = operators.blocks[name].n_params, 0
    if operators.factors is not None and operators.factors[name] is not None:
        factor = operators.factors[name]
        n_rows = factor.n_samples * factor.n_outputs
    sizes = LayerSizes(n_params, n_rows, operators.by_factor(name))
    return choose_way(name, sizes, settings)
