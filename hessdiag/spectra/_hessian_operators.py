"""Operators of layers' Hessians: each in the cheapest form that its gap allows."""

from __future__ import annotations

import torch
from torch import nn

from hessdiag.curvature.factors import OuterFactor
from hessdiag.curvature.network import owner_of
from hessdiag.curvature.products import linear_hessians
from hessdiag.spectra._operators import FactorOperator, LinearHessianOperator, NetOperator

# Sample-wise Hessians of more entries than this (160 MB in float64) are not kept.
MAX_MATRIX_ENTRIES = 20_000_000


def hessian_operators(problem, blocks, n_products, measured):
    """Return the operators {name: operator} of the Hessians of some blocks, and {name: gap}.

    Factors, which may be large, are built for those layers alone whose Hessians are Gauss-Newton
    matrices by their gaps in `measured`, or follow from sample-wise matrices. All others go by
    passes through the net: by what was recorded, if it serves all of them, or anew. `n_products` is
    the number of products that Lanczos would take.
    """
    gaps, whole, factors = measured.gaps, measured.whole, dict(measured.factors)
    wanted = [
        block
        for block in blocks
        if gaps[block.name].coincides or _may_form(problem, block, n_products)
    ]
    missing = [block for block in wanted if block.name not in factors]
    if missing:
        factors |= problem.factors(weighted=True, blocks=missing)
    sizes, operators, by_net, formed = {}, {}, [], []
    for block in blocks:
        name, gap, factor = block.name, gaps[block.name], factors.get(block.name)
        if gap.coincides and factor is not None:
            operator = FactorOperator(block, factor, problem.outputs.signs)
            if not factor.is_finite:
                gap = gap.beside(operator.products(gap.vector))
            if gap.coincides:
                operators[name] = operator
        elif not gap.coincides and _pays(factor, n_products):
            formed.append(block)
        if name not in operators:
            by_net.append(block)
        sizes[name] = gap.size
    if by_net:
        enough = whole is not None and all(block.name in whole.blocks for block in by_net)
        source = whole if enough else problem.whole_products(by_net)
        operators |= {block.name: NetOperator(block, source) for block in by_net}
    operators |= _linear_operators(problem, formed, factors, gaps)
    return {block.name: operators[block.name] for block in blocks}, sizes


def _linear_operators(problem, blocks, factors, gaps):
    """Build sample-wise Hessians of linear layers, as far as they give products that are known."""
    operators = {}
    built = linear_hessians(problem, blocks, factors) if blocks else {}
    for block in blocks:
        hessian, gap = built.get(block.name), gaps[block.name]
        if hessian is None or gap.vector is None:
            continue
        tolerance = 1e-9 if gap.vector.dtype == torch.float64 else 1e-3
        difference = hessian.products(gap.vector) - gap.image
        if difference.norm() <= tolerance * gap.image.norm():
            operators[block.name] = LinearHessianOperator(block, hessian)
    return operators


def forms_matrices(n_samples, width, n_products):
    """Say whether sample-wise Hessians (N, width, width) take less than products one by one."""
    return n_samples * width**2 <= MAX_MATRIX_ENTRIES and width <= n_products


def _pays(factor, n_products):
    """Say whether sample-wise Hessians of a layer with this factor pay."""
    plain = isinstance(factor, OuterFactor) and factor.is_plain
    return plain and forms_matrices(factor.n_samples, factor.width, n_products)


def _may_form(problem, block, n_products):
    """Say whether a block may be a linear layer whose sample-wise Hessians pay."""
    owner = owner_of(block.parameter_names[0])
    width = problem.widths.get(owner)
    # Called once on one vector per sample; a part that is never called itself has no width.
    if not isinstance(block.module, nn.Linear) or width is None:
        return False
    if problem.entries[owner] != width:
        return False
    return forms_matrices(problem.n_samples, width, n_products)
