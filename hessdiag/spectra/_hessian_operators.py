"""Operators of layers' Hessians: first what they are, then only what products with them need."""

from __future__ import annotations

from torch import nn

from hessdiag.curvature.network import owner_of
from hessdiag.spectra._local_operators import (
    LocalOperators,
    coincidence_threshold,
    forms_matrices,
    random_vectors,
    relative_size,
)

__all__ = ["hessian_operators"]


def hessian_operators(problem, blocks, n_products, generator):
    """Return `LocalOperators` of the Hessians of some blocks, and {name: |R v| / |H v|}.

    Gaps are measured by products through the net, one random v per layer. So factors, which may be
    large, are built for those layers alone whose Hessians are Gauss-Newton matrices, or follow from
    sample-wise matrices. `n_products` is the number of products that Lanczos would take.
    """
    vectors = random_vectors(blocks, generator)
    parts = problem.residual_products(blocks).products(vectors)
    gaps, seen, whole = {block.name: 0.0 for block in blocks}, {}, None
    curved = [block for block in blocks if parts[block.name].any()]
    if curved:
        whole = problem.whole_products(curved)
        images = whole.products({block.name: vectors[block.name] for block in curved})
        for name, image in images.items():
            gaps[name] = relative_size(parts[name], image)
            if not gaps[name] <= coincidence_threshold(image.dtype):
                seen[name] = (vectors[name], image)
    wanted = [b for b in blocks if b.name not in seen or _may_form(problem, b, n_products)]
    factors = dict.fromkeys(gaps)
    if wanted:
        factors |= problem.factors(weighted=True, blocks=wanted)
    operators = LocalOperators(blocks, factors, problem.outputs.signs, None)
    del factors
    for name in gaps.keys() - seen.keys():
        factor = operators.factors[name]
        if factor is None:
            # Too large to be built: there is nothing to take products with but the net.
            continue
        if not factor.is_finite:
            image = parts[name] + operators.gauss_newton(name, vectors[name])
            gaps[name] = relative_size(parts[name], image)
        if gaps[name] <= coincidence_threshold(factor.dtype):
            operators.coincident.add(name)
    operators.seen = seen
    operators.prepare_hessians(problem, n_products, whole)
    return operators, gaps


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
