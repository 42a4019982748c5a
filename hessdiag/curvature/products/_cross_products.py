"""Products with the Hessian's blocks between layers: one layer's columns in many layers' rows."""

from __future__ import annotations

import torch

from hessdiag.curvature.products._hessian_products import (
    HessianProducts,
    split_by_parameter,
    vector_jacobian_products,
)


class CrossProducts(HessianProducts):
    """Products of vectors in one block's parameters with the Hessian's rows in other blocks.

    The graph is that of `HessianProducts`: all blocks share it, and it is kept where the samples
    pass through the net in one chunk.
    """

    def columns(self, name, vectors, among):
        """Return {other: H_(other, name) v (k, p_other)} for v (k, p) in one block's parameters.

        The backward sweep goes no further than the blocks named in `among`.
        """
        k, weights = len(vectors), split_by_parameter(self.blocks[name], vectors)
        others = [self.blocks[other] for other in among]
        inputs = [p for other in others for p in other.parameters]
        totals = [0.0] * len(inputs)
        for scalar in self.scalars:
            images = vector_jacobian_products(self._graphs(scalar)[name], inputs, weights)
            totals = [total + image.reshape(k, -1) for total, image in zip(totals, images)]
        totals = iter(totals)
        return {
            other.name: torch.cat([next(totals) for _ in other.parameters], dim=1)
            for other in others
        }

    def squared_norms(self, name, vectors, among):
        """Return ||H_(other, name) v||^2 (k, number of others) in float64, over all samples."""
        images = self.columns(name, vectors, among)
        squares = [images[other].double().square().sum(dim=1) for other in among]
        return torch.stack(squares, dim=1).cpu().numpy()
