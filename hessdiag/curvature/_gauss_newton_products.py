"""Products with local Gauss-Newton matrices through the net, where output Hessians are too large.

``J' Lambda J v`` takes three passes: J v, by differentiating ``J' u`` in u; the second derivative
of the loss in the outputs times that; and J' of the result. Neither J nor Lambda is ever formed.
"""

from __future__ import annotations

import torch

from hessdiag.curvature._hessian_products import vector_jacobian_products
from hessdiag.curvature._outputs import flatten_outputs

__all__ = ["GaussNewtonProducts", "OutputProducts"]


class OutputProducts:
    """Gradient of a scalar in the outputs (N, D), and products with its second derivatives."""

    def __init__(self, scalar, outputs):
        self._leaf = flatten_outputs(outputs).detach().double().clone().requires_grad_(True)
        value, self._gradient = scalar(self._leaf), None
        if value.requires_grad:
            (self._gradient,) = torch.autograd.grad(
                value, self._leaf, create_graph=True, allow_unused=True
            )
        gradient = torch.zeros_like(self._leaf) if self._gradient is None else self._gradient
        self.residuals = gradient.detach()

    def products(self, vectors, start):
        """Multiply vectors (k, n, D) at the samples from `start` on; samples are separate."""
        k, n = vectors.shape[:2]
        padded = self._leaf.new_zeros(k, *self._leaf.shape)
        padded[:, start : start + n] = vectors
        (images,) = vector_jacobian_products([self._gradient], [self._leaf], [padded])
        return images[:, start : start + n].to(vectors.dtype)


class GaussNewtonProducts:
    """Products of vectors with the blocks' Gauss-Newton matrices, one chunk after the other.

    `outputs_of` maps a chunk's inputs to outputs (n, D). With one chunk its graph is kept; with
    more, each is recorded anew for every product.
    """

    def __init__(self, outputs_of, chunks, offsets, output_products, blocks):
        self.outputs_of = outputs_of
        self.parts = list(zip(chunks, offsets))
        self.output_products = output_products
        self.blocks = {block.name: block for block in blocks}
        self._kept = None

    @property
    def records_anew(self):
        """Say whether every call of `products` records graphs, which all layers asked for share."""
        return len(self.parts) > 1

    def products(self, vectors):
        """Return {name: J' Lambda J v} for {name: v of shape (k, p)}."""
        totals = {name: torch.zeros_like(v) for name, v in vectors.items()}
        for chunk, start in self.parts:
            graphs = self._graphs(chunk)
            for name, v in vectors.items():
                totals[name] += self._product(graphs, start, self.blocks[name], v)
            del graphs
        return totals

    def dense(self, name, batch_size=64):
        """Return the matrix (p, p) of one block, by products with the identity."""
        block = self.blocks[name]
        first, p = block.parameters[0], block.n_params
        total = torch.zeros(p, p, dtype=first.dtype, device=first.device)
        for chunk, start in self.parts:
            graphs = self._graphs(chunk)
            for row in range(0, p, batch_size):
                k = min(batch_size, p - row)
                rows = total.new_zeros(k, p)
                rows[torch.arange(k), row + torch.arange(k)] = 1.0
                total[row : row + k] += self._product(graphs, start, block, rows)
            del graphs
        return 0.5 * (total + total.T)

    def _graphs(self, chunk):
        """Record outputs z, and J' u of every block as a function of u."""
        if self._kept is not None:
            return self._kept
        outputs = self.outputs_of(chunk.X)
        sent = torch.zeros_like(outputs).requires_grad_(True)
        parameters = [p for block in self.blocks.values() for p in block.parameters]
        flat = [None] * len(parameters)
        if outputs.requires_grad:
            flat = torch.autograd.grad(
                outputs, parameters, sent, create_graph=True, allow_unused=True
            )
        received, position = {}, 0
        for name, block in self.blocks.items():
            received[name] = flat[position : position + len(block.parameters)]
            position += len(block.parameters)
        graphs = outputs, sent, received
        if len(self.parts) == 1:
            self._kept = graphs
        return graphs

    def _product(self, graphs, start, block, vectors):
        """Multiply vectors (k, p) by what one chunk adds to a block's matrix."""
        outputs, sent, received = graphs
        k = len(vectors)
        pieces = vectors.split([p.numel() for p in block.parameters], dim=1)
        weights = [piece.reshape(k, *p.shape) for piece, p in zip(pieces, block.parameters)]
        (image,) = vector_jacobian_products(received[block.name], [sent], weights)
        curved = self.output_products.products(image, start)
        results = vector_jacobian_products([outputs], block.parameters, [curved])
        return torch.cat([result.reshape(k, -1) for result in results], dim=1)
