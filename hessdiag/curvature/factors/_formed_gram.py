"""The Gram matrix of a Jacobian formed once, where many products with it are due."""

from __future__ import annotations

import torch

from hessdiag.curvature.factors._factor import Factor
from hessdiag.curvature.factors._gram_by_positions import MAX_BLOCK_ENTRIES
from hessdiag.curvature.factors._outer_factor import OuterFactor

# A number of the Gram matrix that is read for one product takes as long as so many operations of a
# matrix product, whose numbers stay in the processor's cache.
OPERATIONS_PER_READ = 10


class FormedGram(Factor):
    """What is left of a Jacobian (N, D, p) once only products with J J' are due: J J' itself.

    Parameters
    ----------
    matrix : Tensor of shape (N D, N D)
        J J', in any precision.
    n_samples, n_outputs, n_params : int
        N, D and p.
    """

    prefers_dense = False

    def __init__(self, matrix: torch.Tensor, n_samples: int, n_outputs: int, n_params: int) -> None:
        self.matrix = matrix
        self.dtype, self.epsilon = matrix.dtype, torch.finfo(matrix.dtype).eps
        self.n_samples, self.n_outputs, self.n_params = n_samples, n_outputs, n_params

    def gram(self) -> torch.Tensor:
        """Return J J' (N D, N D) in float64.

        Returns
        -------
        Tensor of shape (N D, N D)
            The Gram matrix.
        """
        return self.matrix.double()

    def gram_products(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return J J' u for outputs (k, N, D) as (k, N, D).

        Parameters
        ----------
        outputs : Tensor of shape (k, N, D)
            Vectors in the outputs.

        Returns
        -------
        Tensor of shape (k, N, D)
            Their images.
        """
        return (outputs.flatten(1) @ self.matrix).view_as(outputs)


def gram_pays(factor: Factor, n_products: int) -> bool:
    """Say whether J J' is formed, and read for every product, in less time than products take.

    For T positions, J J' takes (N D T)² O / 2 + (N T)² I / 2 multiplications, each product without
    it 2 N T O (I + D).

    Parameters
    ----------
    factor : Factor
        Jacobian of a layer in factored form.
    n_products : int
        Products that are due.

    Returns
    -------
    bool
        False for all but an `OuterFactor` of one group.
    """
    if not isinstance(factor, OuterFactor) or factor.groups > 1:
        return False
    n_rows, t = factor.n_samples * factor.n_outputs, factor.positions
    if n_rows**2 > MAX_BLOCK_ENTRIES:
        return False
    forming = t**2 * (n_rows**2 * factor.width + factor.n_samples**2 * factor.fan_in) / 2
    reading = n_products * n_rows**2 * OPERATIONS_PER_READ
    sent = factor.n_samples * t * factor.width
    return forming + reading < n_products * 2 * sent * (factor.fan_in + factor.n_outputs)


def form_gram(factor: OuterFactor) -> FormedGram:
    """Form J J' of an `OuterFactor` of one group, in its own precision.

    Parameters
    ----------
    factor : OuterFactor
        Jacobian of a layer, of one group.

    Returns
    -------
    FormedGram
        A factor that answers for ``gram`` and ``gram_products`` alone.
    """
    matrix = factor.gram_of_group(0, factor.dtype)
    return FormedGram(matrix, factor.n_samples, factor.n_outputs, factor.n_params)
