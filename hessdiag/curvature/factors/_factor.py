"""Jacobians of all outputs with respect to one layer's parameters, in factored form.

A factor stands for J of shape (N, D, p): N samples, D outputs each, p parameters. It answers for
``gram()`` (N D, N D), ``matvec`` (k, p) -> (k, N, D), ``rmatvec`` (k, N, D) -> (k, p), for both
after each other as ``gauss_newton`` (k, p) -> (k, p), and for ``dense()``, without ever forming
more than it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class Factor:
    """What factors have in common, unless they know better."""

    n_samples: int
    n_outputs: int
    n_params: int
    dtype: torch.dtype
    epsilon: float

    @property
    def prefers_dense(self) -> bool:
        """Say whether products with a dense Jacobian cost less."""
        raise NotImplementedError

    def gram(self) -> torch.Tensor:
        """Return J J' (N D, N D) in float64.

        Returns
        -------
        Tensor of shape (N * D, N * D)
            The Gram matrix.
        """
        raise NotImplementedError

    def gram_operations(self, n_samples: int) -> float:
        """Count the multiplications that the Gram matrix of so many such samples takes.

        Parameters
        ----------
        n_samples : int
            Samples, which need not be those of this factor.

        Returns
        -------
        float
            Multiplications of matrix products, or what takes as long.
        """
        return float(n_samples * self.n_outputs) ** 2 * self.n_params

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
        raise NotImplementedError

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
        raise NotImplementedError

    def dense(self) -> torch.Tensor:
        """Return J (N, D, p).

        Returns
        -------
        Tensor of shape (N, D, p)
            The Jacobian.
        """
        raise NotImplementedError

    def weighted(self, factors: torch.Tensor) -> Factor:
        """Return the factor of B' J for B (N, D, R).

        Parameters
        ----------
        factors : Tensor of shape (N, D, R)
            Columns to apply to each sample's outputs.

        Returns
        -------
        Factor
            A factor with R outputs.
        """
        raise NotImplementedError

    @staticmethod
    def joined(parts: Sequence[Any]) -> Factor:
        """Join the factors of several chunks.

        Parameters
        ----------
        parts : sequence of Factor
            Factors of one layer and of this kind, on samples that follow each other.

        Returns
        -------
        Factor
            The factor on all samples.
        """
        raise NotImplementedError

    @staticmethod
    def added(parts: Sequence[Any]) -> Factor:
        """Add the factors of several calls on the same samples.

        Parameters
        ----------
        parts : sequence of Factor
            Factors of one layer and of this kind, on the same samples.

        Returns
        -------
        Factor
            The factor of the sum of their Jacobians.
        """
        raise NotImplementedError

    def gauss_newton(
        self, vectors: torch.Tensor, signs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return J' diag(signs) J v for vectors (k, p) as (k, p).

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
        image = self.matvec(vectors)
        return self.rmatvec(image if signs is None else image * signs.to(image.dtype))

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
        return self.matvec(self.rmatvec(outputs))

    def condensed(self) -> Factor:
        """Return the form in which products cost least: this one.

        Returns
        -------
        Factor
            A factor of the same Jacobian.
        """
        return self

    def narrowed(self) -> Factor:
        """Return a factor with the same Gram matrix and fewer parameters: this one.

        Returns
        -------
        Factor
            A factor of a Jacobian whose rows have the same inner products.
        """
        return self

    @property
    def is_finite(self) -> bool:
        """Say whether all that is held is finite, and not so large that its sums are not."""
        tensors = [value for value in vars(self).values() if isinstance(value, torch.Tensor)]
        return all(bool(torch.isfinite(tensor.sum())) for tensor in tensors)
