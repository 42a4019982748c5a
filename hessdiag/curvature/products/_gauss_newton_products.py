"""Products with local Gauss-Newton matrices through the net, where output Hessians are too large.

``J' Lambda J v`` takes three passes: J v, by differentiating ``J' u`` in u; the second derivative
of the loss in the outputs times that; and J' of the result. Neither J nor Lambda is ever formed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from hessdiag.curvature.network import Block, Chunk, flatten_outputs
from hessdiag.curvature.products._hessian_products import (
    ProductsByChunks,
    join_by_parameter,
    split_by_parameter,
    vector_jacobian_products,
)


class OutputProducts:
    """Gradient of a scalar in the outputs (N, D), and products with its second derivatives.

    Parameters
    ----------
    scalar : callable
        Maps outputs (N, D) to a 0-d tensor.
    outputs : Tensor of shape (N, ...)
        Where to differentiate.
    """

    def __init__(
        self, scalar: Callable[[torch.Tensor], torch.Tensor], outputs: torch.Tensor
    ) -> None:
        self._leaf = flatten_outputs(outputs).detach().double().clone().requires_grad_(True)
        value, self._gradient = scalar(self._leaf), None
        if value.requires_grad:
            (self._gradient,) = torch.autograd.grad(
                value, self._leaf, create_graph=True, allow_unused=True
            )
        gradient = torch.zeros_like(self._leaf) if self._gradient is None else self._gradient
        self.residuals = gradient.detach()

    def products(self, vectors: torch.Tensor, start: int) -> torch.Tensor:
        """Multiply vectors (k, n, D) at the samples from `start` on; samples are separate.

        Parameters
        ----------
        vectors : Tensor of shape (k, n, D)
            Vectors in the outputs of n samples that follow each other.
        start : int
            Place of the first of them.

        Returns
        -------
        Tensor of shape (k, n, D)
            Their images.
        """
        k, n = vectors.shape[:2]
        padded = self._leaf.new_zeros(k, *self._leaf.shape)
        padded[:, start : start + n] = vectors
        (images,) = vector_jacobian_products([self._gradient], [self._leaf], [padded])
        return images[:, start : start + n].to(vectors.dtype)


class GaussNewtonProducts(ProductsByChunks):
    """Products of vectors with the blocks' Gauss-Newton matrices, one chunk after the other.

    Parameters
    ----------
    outputs_of : callable
        Maps a chunk's inputs to outputs (n, D).
    chunks : sequence of (Chunk, int)
        Chunks, and the number of samples before each.
    output_products : OutputProducts
        Products with the scalar's second derivatives in the outputs.
    blocks : sequence of Block
        The layers.
    """

    def __init__(
        self,
        outputs_of: Callable[[Any], torch.Tensor],
        chunks: Sequence[tuple[Chunk, int]],
        output_products: OutputProducts,
        blocks: Sequence[Block],
    ) -> None:
        super().__init__(chunks, blocks)
        self.outputs_of = outputs_of
        self.output_products = output_products

    def _record(self, chunk):
        """Record outputs z, and J' u of every block as a function of u."""
        samples, start = chunk
        outputs = self.outputs_of(samples.X)
        sent = torch.zeros_like(outputs).requires_grad_(True)
        parameters = self.parameters
        flat = [None] * len(parameters)
        if outputs.requires_grad:
            flat = torch.autograd.grad(
                outputs, parameters, sent, create_graph=True, allow_unused=True
            )
        return outputs, sent, self._by_block(flat), start

    def _product(self, graphs, block, vectors):
        """Multiply vectors (k, p) by what one chunk adds to a block's matrix."""
        outputs, sent, received, start = graphs
        weights = split_by_parameter(block, vectors)
        (image,) = vector_jacobian_products(received[block.name], [sent], weights)
        curved = self.output_products.products(image, start)
        return join_by_parameter(vector_jacobian_products([outputs], block.parameters, [curved]))
