"""Lengths of the rows of Jacobians in factored form: all that a trace needs of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hessdiag.curvature.factors._dense_factor import DenseFactor
from hessdiag.curvature.factors._embedding_factor import EmbeddingFactor
from hessdiag.curvature.factors._gram_by_positions import MAX_BLOCK_ENTRIES
from hessdiag.curvature.factors._joint_factor import JointFactor
from hessdiag.curvature.factors._outer_factor import OuterFactor

if TYPE_CHECKING:
    from hessdiag.curvature.factors._factor import Factor


def rows_of(factor: Factor, part: slice | torch.Tensor) -> Factor:
    """Return the factor of some samples.

    Parameters
    ----------
    factor : Factor
        Jacobian of a layer in factored form.
    part : slice, or Tensor of int or bool
        Which samples.

    Returns
    -------
    Factor
        A factor of the same kind.
    """
    if isinstance(factor, JointFactor):
        return factor.with_parts(lambda own: rows_of(own, part))
    if isinstance(factor, EmbeddingFactor):
        return EmbeddingFactor(factor.index[part], factor.sweeps[part], factor.n_rows)
    if isinstance(factor, OuterFactor):
        inputs, sweeps = factor.inputs[part], factor.sweeps[part]
        return OuterFactor(inputs, sweeps, factor.pieces, factor.transposed)
    return DenseFactor(factor.dense()[part])


def squared_row_norms(factor: Factor) -> torch.Tensor:
    """Return ``|J[n, d]|^2`` (N, D) in float64: the diagonal of the Gram matrix.

    Parameters
    ----------
    factor : Factor
        Jacobian of a layer in factored form.

    Returns
    -------
    Tensor of shape (N, D)
        Squared norms, one for each output of each sample.
    """
    if isinstance(factor, JointFactor):
        return sum(squared_row_norms(own) for own in factor.parts)
    if isinstance(factor, EmbeddingFactor):
        same = factor.index[:, :, None] == factor.index[:, None, :]
        return _pairwise(factor.sweeps, lambda rows: same[rows].double()[:, None])
    if isinstance(factor, OuterFactor):
        return _of_outer_products(factor)
    step = max(1, MAX_BLOCK_ENTRIES // max(1, factor.n_outputs * factor.n_params))
    parts = factor.dense().split(step)
    return torch.cat([part.double().square().sum(dim=2) for part in parts])


def _of_outer_products(factor):
    """Sum over pairs of positions, or over the entries of the Jacobian where they are fewer."""
    weight, bias = "weight" in factor.pieces, "bias" in factor.pieces
    total = 0.0
    for g in range(factor.groups):
        sweeps, inputs = factor.sweeps[:, :, g], factor.inputs[:, g]
        if weight and factor.positions <= factor.width * factor.fan_in / (
            factor.width + factor.fan_in
        ):

            def weights(rows, inputs=inputs):
                received = inputs[rows].double()
                return (received @ received.mT + float(bias))[:, None]

            total = total + _pairwise(sweeps, weights)
            continue
        if weight:
            total = total + _entrywise(sweeps, inputs)
        if bias:
            total = total + sweeps.double().sum(dim=2).square().sum(dim=2)
    return total


def _pairwise(sweeps, weights):
    """Sum S[n, c, t] . S[n, c, u] W[n, t, u] over positions t and u, some samples at a time."""
    _, n_outputs, positions, width = sweeps.shape
    step = max(1, MAX_BLOCK_ENTRIES // max(1, n_outputs * positions * (positions + width)))
    sums = []
    for start in range(0, len(sweeps), step):
        rows = slice(start, start + step)
        sent = sweeps[rows].double()
        sums.append(((sent @ sent.mT) * weights(rows)).sum(dim=(2, 3)))
    return torch.cat(sums)


def _entrywise(sweeps, inputs):
    """Sum the squares of sum_t S[n, c, t, o] a[n, t, i], some samples at a time."""
    _, n_outputs, _, width = sweeps.shape
    step = max(1, MAX_BLOCK_ENTRIES // max(1, n_outputs * width * inputs.shape[2]))
    sums = []
    for start in range(0, len(sweeps), step):
        rows = slice(start, start + step)
        jacobian = sweeps[rows].mT @ inputs[rows][:, None]
        sums.append(jacobian.double().square().sum(dim=(2, 3)))
    return torch.cat(sums)
