"""Hessians of linear layers from the Hessians of what they send, sample by sample.

A linear layer's local Hessian is ``sum_n H_n (x) a_n a_n'``, where H_n (d, d) is the second
derivative of the loss in what the layer sends for sample n, and a_n what it receives (1 appended
for the bias). All H_n follow from d double-backward products, however many parameters there are;
after that no product with the Hessian needs the network any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from hessdiag.curvature.factors import OuterFactor, watching
from hessdiag.curvature.products._hessian_products import vector_jacobian_products
from hessdiag.curvature.products._smooth_functions import KeptDerivatives

if TYPE_CHECKING:
    from hessdiag.curvature.network import Block
    from hessdiag.curvature.products._problem import Problem

#: Columns of H_n per backward pass: vectorized passes of this width keep memory moderate.
COLUMNS_AT_ONCE = 32
# Outer products a a' of more entries than this are not formed for all samples at once.
MAX_OUTER_ENTRIES = 5_000_000


class LinearHessian:
    """The matrix ``sum_n H_n (x) a_n a_n'``: inputs (N, I), matrices (N, d, d)."""

    def __init__(self, inputs: torch.Tensor, matrices: torch.Tensor, pieces: Sequence[str]) -> None:
        self.inputs = inputs
        self.matrices = matrices
        self.pieces = tuple(pieces)
        self.width, self.fan_in = matrices.shape[1], inputs.shape[1]
        sizes = {"weight": self.width * self.fan_in, "bias": self.width}
        self.sizes = [sizes[piece] for piece in self.pieces]

    def products(self, vectors: torch.Tensor) -> torch.Tensor:
        """Multiply vectors (k, p) by the matrix."""
        k = len(vectors)
        sent: Any = 0.0
        for piece, part in zip(self.pieces, vectors.split(self.sizes, dim=1)):
            if piece == "weight":
                weights = part.reshape(k * self.width, self.fan_in)
                sent = sent + (self.inputs @ weights.T).view(-1, k, self.width)
            else:
                sent = sent + part[None]
        sent = sent.expand(len(self.inputs), k, self.width)
        # Symmetric matrices may stand on the left, which is twice as fast.
        image = (self.matrices @ sent.mT).mT
        parts = []
        for piece in self.pieces:
            if piece == "weight":
                flat = image.reshape(len(image), -1).T @ self.inputs
                parts.append(flat.view(k, -1))
            else:
                parts.append(image.sum(dim=0))
        return torch.cat(parts, dim=1)

    def dense(self) -> torch.Tensor:
        """Form the matrix (p, p)."""
        inputs = self.inputs
        if self.pieces == ("bias",):
            return self.matrices.sum(dim=0)
        if "bias" in self.pieces:
            inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
        n, width, fan_in = len(inputs), self.width, inputs.shape[1]
        if n * fan_in**2 <= MAX_OUTER_ENTRIES:
            outer = (inputs[:, :, None] * inputs[:, None, :]).view(n, -1)
            blocks = self.matrices.view(n, -1).T @ outer
            matrix = blocks.view(width, width, fan_in, fan_in).transpose(1, 2).contiguous()
        else:
            matrix = inputs.new_empty(width, fan_in, width, fan_in)
            for i in range(width):
                for j in range(i + 1):
                    block = inputs.T @ (inputs * self.matrices[:, i, j, None])
                    matrix[i, :, j] = block
                    matrix[j, :, i] = block.T
        matrix = matrix.view(width * fan_in, width * fan_in)
        if "bias" not in self.pieces:
            return matrix
        index = torch.arange(width * fan_in, device=matrix.device).view(width, fan_in)
        places = {"weight": index[:, :-1].reshape(-1), "bias": index[:, -1]}
        order = torch.cat([places[piece] for piece in self.pieces])
        return matrix[order][:, order]


def linear_hessians(
    problem: Problem, blocks: Sequence[Block], factors: Mapping[str, OuterFactor]
) -> dict[str, LinearHessian]:
    """Build the `LinearHessian` of each block, from its weighted factor (of B' J).

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with.
    blocks : sequence of Block
        Linear layers, each called once.
    factors : dict of str to OuterFactor
        Their weighted factors (of B' J), of one position and one group.

    Returns
    -------
    dict of str to LinearHessian
        Hessians by layer name, with methods ``products`` and ``dense``.
    """
    kept = KeptDerivatives() if problem.keeps_derivatives else contextlib.nullcontext()
    try:
        residual = _residual_parts(problem, blocks, kept)
    except RuntimeError:
        # As where a forward pass differentiates: third derivatives are not kept.
        residual = _residual_parts(problem, blocks, contextlib.nullcontext())
    signs = None if problem.outputs is None else problem.outputs.signs
    hessians = {}
    for block in blocks:
        factor = factors[block.name]
        sweeps = factor.sweeps[:, :, 0, 0]
        left = sweeps if signs is None else sweeps * signs.to(sweeps.dtype)[:, :, None]
        matrices = torch.cat(residual[block.name]) + left.mT @ sweeps
        matrices = 0.5 * (matrices + matrices.mT)
        hessians[block.name] = LinearHessian(factor.inputs[:, 0, 0], matrices, factor.pieces)
    return hessians


def _residual_parts(problem, blocks, recording):
    """Return {name: [(n, d, d) of every chunk]}: the parts of H_n beyond Gauss-Newton."""
    residual = {block.name: [] for block in blocks}
    for chunk, start in zip(problem.chunks, problem.offsets):
        residuals = problem.outputs.residuals[start : start + chunk.n_samples]
        with watching([block.module for block in blocks]) as records, recording:
            outputs = problem.outputs_of(chunk.X)
        sent = [records[id(block.module)][0][2] for block in blocks]
        value = (outputs * residuals.to(outputs.dtype)).sum()
        gradients = torch.autograd.grad(value, sent, create_graph=True, allow_unused=True)
        for block, gradient, s in zip(blocks, gradients, sent):
            residual[block.name].append(_second_derivatives(gradient, s, chunk.n_samples))
    return residual


def _second_derivatives(gradient, sent, n_samples):
    """Differentiate a gradient of d numbers for each sample once more: (n, d, d)."""
    width = sent.numel() // n_samples  # of a convolution with one position: its channels
    columns = []
    for start in range(0, width, COLUMNS_AT_ONCE):
        k = min(COLUMNS_AT_ONCE, width - start)
        weights = sent.new_zeros(k, *sent.shape)
        for i in range(k):
            weights[i].view(n_samples, width)[:, start + i] = 1.0
        (products,) = vector_jacobian_products([gradient], [sent], [weights])
        columns.append(products.reshape(k, n_samples, width))
    return torch.cat(columns).transpose(0, 1)
