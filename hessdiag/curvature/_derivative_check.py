"""Derivatives are checked on every run, on a few samples, in float64, against finite differences.

With L the scalar, g its gradient and H its Hessian in all layers' parameters, and v a random
direction in some entries of every layer, in units of the layer's own size:

- two evaluations of L and g agree;
- ``g . v`` is ``(L(w + e v) - L(w - e v)) / 2e``: the first derivative is that of the scalar;
- ``H v`` is ``(g(w + e v) - g(w - e v)) / 2e`` in every layer: so is the second;
- ``u . H v`` is ``v . H u``: it is symmetric;
- products by records with derivatives that are kept are those of plain double backward.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from hessdiag.curvature._checked_samples import n_checked
from hessdiag.curvature._derivatives import Derivatives
from hessdiag.curvature.network import (
    Chunk,
    Samples,
    lacks_second_derivatives,
    match_floats,
)

if TYPE_CHECKING:
    from hessdiag.curvature._local_curvature import LocalCurvature


def with_checked_derivatives(problem: LocalCurvature) -> LocalCurvature:
    """Return a problem whose derivatives have been checked, by ways that pass.

    Parameters
    ----------
    problem : LocalCurvature
        What is checked.

    Returns
    -------
    LocalCurvature
        The same, or one that records plainly where records with kept derivatives differ.

    Raises
    ------
    ValueError
        If derivatives are none; it names the layer, the cause as far as it is known, and what to
        do.
    """
    try:
        agree = _check(problem)
    except RuntimeError as error:
        # Without second derivatives there are Gauss-Newton matrices all the same; whoever asks for
        # a Hessian is told.
        if lacks_second_derivatives(error):
            return problem
        if isinstance(error, torch.OutOfMemoryError):
            raise
        said = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        raise ValueError(
            "Expected a net and a loss that can be differentiated twice, found that autograd fails "
            f"to: {said}. Write what is unusual in forward or in the loss (work in place, views, "
            "nested tensors, functions of one's own) with plain functions of torch."
        ) from error
    return problem if agree else replace(problem, keeps_derivatives=False)


def _check(problem):
    """Check a problem's derivatives; say whether records with kept derivatives agree."""
    copy, few = problem.working_copy, _few(problem)
    with copy.held_in(torch.float64):
        found = _derivatives(few, torch.float64)
        if found and all(part.runs() for part in found):
            return _all_agree(found)
    # A net that computes in a precision of its own, in which differences say next to nothing.
    return _all_agree(_derivatives(few, copy.dtype, strict=False))


def _all_agree(found):
    """Check one after the other, all of them."""
    agree = [part.check() for part in found]
    return all(agree)


def _derivatives(problem, dtype, strict=True):
    """List what is differentiated: the scalar in all layers, or each layer's own in its own."""
    copy, X = problem.working_copy, match_floats(problem.X, dtype)
    precision = torch.float64 if strict else problem.coarsest_precision
    fixed = _fixed_rows(copy)
    if not problem.is_layerwise:
        return [
            Derivatives(
                lambda: problem.scalar(copy(X), problem.y, X),
                lambda: copy(X),
                problem.blocks,
                fixed,
                problem.scalar.name,
                dtype,
                strict,
                precision,
            )
        ]
    samples = Samples([Chunk(X, problem.y, problem.n_samples)])
    try:
        scalars = replace(problem, samples=samples).whole_products().scalars
    except Exception:
        if strict:
            return []
        raise
    return [
        Derivatives(
            scalars[block.name].whole,
            scalars[block.name].sent,
            [block],
            fixed,
            f"the function of layer {block.name!r}",
            dtype,
            strict,
            precision,
        )
        for block in problem.blocks
    ]


def _few(problem):
    """Return the problem on a few of its samples; on all of them where they interact.

    Where batches cannot be joined these are the first batch.
    """
    if problem.X is None:
        return replace(problem, samples=Samples(problem.chunks[:1]))
    n = n_checked(problem)
    if n == problem.n_samples:
        return problem
    generator = torch.Generator().manual_seed(0)
    return problem.restrict(torch.randperm(problem.n_samples, generator=generator)[:n])


def _fixed_rows(working_copy):
    """Return {id of parameter: its rows that have no gradient}: those of padding."""
    fixed = {}
    for module in working_copy.modules():
        looks_up = isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag)
        if looks_up and module.padding_idx is not None:
            fixed[id(module.weight)] = torch.tensor([module.padding_idx])
    return fixed
