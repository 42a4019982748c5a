"""Products with the Hessian's blocks between layers: one layer's columns in many layers' rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from hessdiag.curvature.products._hessian_products import (
    HessianProducts,
    split_by_parameter,
    vector_jacobian_products,
)

if TYPE_CHECKING:
    import numpy as np


class CrossProducts(HessianProducts):
    """Products of vectors in one block's parameters with the Hessian's rows in other blocks.

    The graph is that of `HessianProducts`: all blocks share it, and it is kept where the samples
    pass through the net in one chunk.

    Parameters
    ----------
    scalars : sequence of callable
        Each evaluates one 0-d tensor, one for each chunk of samples.
    blocks : sequence of Block
        The layers.
    keeps_derivatives : bool, default=True
        Whether smooth functions are recorded with derivatives that are kept.
    """

    def columns(
        self, name: str, vectors: torch.Tensor, among: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Return products of one block's vectors with the Hessian's rows in other blocks.

        The backward sweep goes no further than the blocks named in `among`.

        Parameters
        ----------
        name : str
            The block that the vectors belong to.
        vectors : Tensor of shape (k, p)
            Vectors in its parameters.
        among : sequence of str
            Blocks whose rows are wanted.

        Returns
        -------
        dict of str to Tensor of shape (k, p_other)
            Products ``H_(other, name) v`` by block.
        """
        return self._or_plainly(self._columns, name, vectors, among)

    def _columns(self, name, vectors, among):
        """Take the products by what is recorded."""
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

    def squared_norms(self, name: str, vectors: torch.Tensor, among: Sequence[str]) -> np.ndarray:
        """Return the squared norms of `columns` in float64, over all samples.

        Parameters
        ----------
        name : str
            The block that the vectors belong to.
        vectors : Tensor of shape (k, p)
            Vectors in its parameters.
        among : sequence of str
            Blocks whose rows are wanted.

        Returns
        -------
        ndarray of shape (k, len(among))
            ``||H_(other, name) v||^2``.
        """
        images = self.columns(name, vectors, among)
        squares = [images[other].double().square().sum(dim=1) for other in among]
        return torch.stack(squares, dim=1).cpu().numpy()
