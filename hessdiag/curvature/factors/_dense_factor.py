"""A Jacobian held as it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hessdiag.curvature.factors._factor import Factor

# Entries of a dense Jacobian that stay in a processor's cache between two products.
CACHED_ENTRIES = 1_000_000


class DenseFactor(Factor):
    """A Jacobian held as it is, (N, D, p).

    Parameters
    ----------
    jacobian : Tensor of shape (N, D, p)
        Derivatives of D outputs of N samples in p parameters.
    """

    prefers_dense = True

    def __init__(self, jacobian: torch.Tensor) -> None:
        self.jacobian = jacobian
        self.dtype, self.epsilon = jacobian.dtype, torch.finfo(jacobian.dtype).eps
        self.n_samples, self.n_outputs, self.n_params = jacobian.shape

    def gram(self) -> torch.Tensor:
        """Return J J' (N D, N D) in float64.

        Returns
        -------
        Tensor of shape (N * D, N * D)
            The Gram matrix.
        """
        rows = self.jacobian.reshape(-1, self.n_params).double()
        return rows @ rows.T

    def matvec(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return J v for vectors (k, p) as (k, N, D).

        Parameters
        ----------
        vectors : Tensor of shape (k, p)
            Vectors in the parameters.

        Returns
        -------
        Tensor of shape (k, N, D)
            Their images.
        """
        rows = self.jacobian.reshape(-1, self.n_params)
        return (vectors @ rows.T).view(len(vectors), self.n_samples, self.n_outputs)

    def rmatvec(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return J' u for outputs (k, N, D) as (k, p).

        Parameters
        ----------
        outputs : Tensor of shape (k, N, D)
            Vectors in the outputs.

        Returns
        -------
        Tensor of shape (k, p)
            Their images.
        """
        rows = self.jacobian.reshape(-1, self.n_params)
        return outputs.reshape(len(outputs), -1) @ rows

    def gauss_newton(
        self, vectors: torch.Tensor, signs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return J' diag(signs) J v for vectors (k, p) as (k, p), each entry of J read once.

        Parameters
        ----------
        vectors : Tensor of shape (k, p)
            Vectors in the parameters.
        signs : Tensor of shape (N, D) or None, default=None
            Signs of the rows of J; None where all are positive.

        Returns
        -------
        Tensor of shape (k, p)
            Their images.
        """
        rows = self.jacobian.reshape(-1, self.n_params)
        signs = None if signs is None else signs.to(self.dtype).reshape(-1)
        image = torch.zeros_like(vectors)
        step = max(1, CACHED_ENTRIES // max(1, self.n_params))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            sent = vectors @ part.T
            if signs is not None:
                sent = sent * signs[start : start + step]
            image.addmm_(sent, part)
        return image

    def dense(self) -> torch.Tensor:
        """Return J (N, D, p).

        Returns
        -------
        Tensor of shape (N, D, p)
            The Jacobian.
        """
        return self.jacobian

    def weighted(self, factors: torch.Tensor) -> DenseFactor:
        """Return the factor of B' J for B (N, D, R).

        Parameters
        ----------
        factors : Tensor of shape (N, D, R)
            Columns to apply to each sample's outputs.

        Returns
        -------
        DenseFactor
            A factor with R outputs.
        """
        factors = factors.to(self.jacobian.dtype)
        return DenseFactor(torch.einsum("ncp,ncr->nrp", self.jacobian, factors))

    @staticmethod
    def joined(parts: Sequence[DenseFactor]) -> DenseFactor:
        """Join the factors of several chunks.

        Parameters
        ----------
        parts : sequence of DenseFactor
            Factors of one layer, on samples that follow each other.

        Returns
        -------
        DenseFactor
            The factor on all samples.
        """
        return DenseFactor(torch.cat([part.jacobian for part in parts]))

    @staticmethod
    def added(parts: Sequence[DenseFactor]) -> DenseFactor:
        """Add the factors of several calls on the same samples.

        Parameters
        ----------
        parts : sequence of DenseFactor
            Factors of one layer, on the same samples.

        Returns
        -------
        DenseFactor
            The factor of the sum of their Jacobians.
        """
        return DenseFactor(sum(part.jacobian for part in parts))
