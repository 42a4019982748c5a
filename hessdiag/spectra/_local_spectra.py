"""From a prepared problem to the spectra of all its layers."""

from __future__ import annotations

import math

import torch

from hessdiag.spectra._exact import dense_spectrum, ggn_spectrum
from hessdiag.spectra._lanczos import lanczos, quadrature, random_probes
from hessdiag.spectra._local_operators import LocalOperators
from hessdiag.spectra._spectrum import Spectrum

__all__ = ["local_spectra", "operator_spectra"]


def local_spectra(problem, settings):
    """Compute the spectra of all layers of a `LocalCurvature`."""
    generator = torch.Generator().manual_seed(settings.seed)
    if problem.outputs is None:
        if settings.curvature == "ggn":
            raise ValueError(
                "Expected a loss of each sample's outputs for curvature='ggn', found that "
                f"{problem.why_whole}. Use curvature='hessian'."
            )
        operators = LocalOperators(problem.blocks, None, None, problem.whole_products())
        gaps = {}
    else:
        beyond = problem.residual_products() if settings.curvature == "hessian" else None
        factors = problem.factors(weighted=True)
        operators = LocalOperators(problem.blocks, factors, problem.outputs.signs, beyond)
        gaps = {} if beyond is None else operators.measure_gaps(generator)
    return operator_spectra(operators, settings, gaps, generator)


def operator_spectra(operators, settings, gaps, generator):
    """Compute the spectrum of every operator: by factors, dense, or by Lanczos in lockstep."""
    spectra, pending = {}, []
    for name, block in operators.blocks.items():
        gap = gaps.get(name, math.nan)
        by_factor = operators.factors is not None and (
            operators.beyond is None or name in operators.coincident
        )
        if settings.method == "lanczos":
            pending.append(block)
        elif by_factor and (
            settings.method == "exact" or _factor_side(operators, name) <= settings.exact_limit
        ):
            factor = operators.factors[name]
            spectra[name] = ggn_spectrum(factor, operators.signs, settings.curvature, gap)
        elif settings.method == "exact" or block.n_params <= settings.dense_limit:
            check_dense_memory(block)
            spectra[name] = dense_spectrum(operators.dense(name), settings.curvature, gap)
        else:
            pending.append(block)
    starts = {}
    for block in pending:
        first = block.parameters[0]
        starts[block.name] = random_probes(
            settings.n_probes, block.n_params, generator, first.dtype, first.device
        )
    tridiagonals = lanczos(operators.products, starts, settings.n_lanczos_steps)
    for block in pending:
        nodes, weights, trace, error = quadrature(tridiagonals[block.name], block.n_params)
        gap = gaps.get(block.name, math.nan)
        spectra[block.name] = Spectrum(
            block.n_params, False, nodes, weights, trace, error, settings.curvature, gap
        )
    return {name: spectra[name] for name in operators.blocks}


def _factor_side(operators, name):
    """Size of the eigenvalue problem that a factor leads to."""
    factor = operators.factors[name]
    return min(factor.n_params, factor.n_samples * factor.n_outputs)


def check_dense_memory(block, available=None):
    """Refuse a dense Hessian that does not fit in memory."""
    needed = 3 * 8 * block.n_params**2
    limit = 16 * 2**30 if available is None else available
    if needed > limit:
        raise ValueError(
            f"Expected layers whose dense Hessian fits in memory for method='exact', found "
            f"{block.name!r} with {block.n_params} parameters, which needs "
            f"{needed / 2**30:.1f} GiB of {limit / 2**30:.1f} GiB. Use method='auto' or 'lanczos' "
            "for it, or curvature='ggn', which is exact at any size."
        )
