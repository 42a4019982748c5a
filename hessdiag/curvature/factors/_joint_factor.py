"""The Jacobian of several groups of parameters, each with a factor of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from hessdiag.curvature.factors._dense_factor import DenseFactor
from hessdiag.curvature.factors._factor import Factor

# Entries up to which a Jacobian is held as it is: products then cost least.
MAX_DENSE_ENTRIES = 4_000_000


class JointFactor(Factor):
    """Factors of the same samples and outputs, their parameters side by side.

    Parameters
    ----------
    parts : sequence of Factor
        Factors, in the order of the parameters.
    """

    prefers_dense = False

    def __init__(self, parts: Sequence[Factor]) -> None:
        self.parts = tuple(parts)
        first = self.parts[0]
        self.n_samples, self.n_outputs = first.n_samples, first.n_outputs
        self.dtype, self.epsilon = first.dtype, torch.finfo(first.dtype).eps
        self.sizes = [part.n_params for part in self.parts]
        self.n_params = sum(self.sizes)

    def gram(self) -> torch.Tensor:
        """Return J J' (N D, N D) in float64: the sum of the parts'.

        Returns
        -------
        Tensor of shape (N * D, N * D)
            The Gram matrix.
        """
        total = self.parts[0].gram()
        for part in self.parts[1:]:
            total = total + part.gram()
        return total

    def gram_operations(self, n_samples: int) -> float:
        """Count the multiplications of the parts' Gram matrices.

        Parameters
        ----------
        n_samples : int
            Samples, which need not be those of this factor.

        Returns
        -------
        float
            Multiplications of matrix products, or what takes as long.
        """
        return sum(part.gram_operations(n_samples) for part in self.parts)

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
        pieces = vectors.split(self.sizes, dim=1)
        return torch.stack(
            [part.matvec(piece) for part, piece in zip(self.parts, pieces, strict=True)]
        ).sum(dim=0)

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
        return torch.cat([part.rmatvec(outputs) for part in self.parts], dim=1)

    def dense(self) -> torch.Tensor:
        """Return J (N, D, p).

        Returns
        -------
        Tensor of shape (N, D, p)
            The Jacobian.
        """
        return torch.cat([part.dense() for part in self.parts], dim=2)

    def weighted(self, factors: torch.Tensor) -> JointFactor:
        """Return the factor of B' J for B (N, D, R).

        Parameters
        ----------
        factors : Tensor of shape (N, D, R)
            Columns to apply to each sample's outputs.

        Returns
        -------
        JointFactor
            A factor with R outputs.
        """
        return JointFactor([part.weighted(factors) for part in self.parts])

    def condensed(self) -> Factor:
        """Return the form in which products cost least: as it is, where it is small.

        Returns
        -------
        Factor
            A factor of the same Jacobian.
        """
        if self.n_samples * self.n_outputs * self.n_params <= MAX_DENSE_ENTRIES:
            return DenseFactor(self.dense())
        return JointFactor([part.condensed() for part in self.parts])

    @property
    def is_finite(self) -> bool:
        """Say whether all that is held is finite, and not so large that its sums are not."""
        return all(part.is_finite for part in self.parts)

    def with_parts(self, change: Callable[[Factor], Factor]) -> JointFactor:
        """Return a factor of parts that a function makes of these.

        Parameters
        ----------
        change : callable
            From a factor to a factor.

        Returns
        -------
        JointFactor
            The same groups of parameters.
        """
        return JointFactor([change(part) for part in self.parts])

    @staticmethod
    def joined(pieces: Sequence[JointFactor]) -> JointFactor:
        """Join the factors of several chunks, group by group.

        Parameters
        ----------
        pieces : sequence of JointFactor
            Factors of one layer, on samples that follow each other.

        Returns
        -------
        JointFactor
            The factor on all samples.
        """
        groups = zip(*(piece.parts for piece in pieces), strict=True)
        return JointFactor([type(group[0]).joined(group) for group in groups])

    @staticmethod
    def added(pieces: Sequence[JointFactor]) -> JointFactor:
        """Add the factors of several calls on the same samples, group by group.

        Parameters
        ----------
        pieces : sequence of JointFactor
            Factors of one layer, on the same samples.

        Returns
        -------
        JointFactor
            The factor of the sum of their Jacobians.
        """
        groups = zip(*(piece.parts for piece in pieces), strict=True)
        return JointFactor([type(group[0]).added(group) for group in groups])
