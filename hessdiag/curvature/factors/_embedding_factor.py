"""The factor of an embedding: sums over tokens, of which only those that occur take part."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hessdiag.curvature.factors._factor import Factor
from hessdiag.curvature.factors._gram_by_positions import MAX_BLOCK_ENTRIES


class EmbeddingFactor(Factor):
    """A Jacobian with J[n, c, v, e] = sum of S[n, c, t, e] over the positions t of token v.

    Positions that do not count have sweeps of zero.

    Parameters
    ----------
    index : Tensor of int of shape (N, T)
        Tokens.
    sweeps : Tensor of shape (N, D, T, E)
        How the outputs depend on what is looked up.
    n_rows : int
        Size of the vocabulary.
    """

    def __init__(self, index: torch.Tensor, sweeps: torch.Tensor, n_rows: int) -> None:
        self.index = index
        self.sweeps = sweeps
        self.n_rows = n_rows
        self.dtype, self.epsilon = sweeps.dtype, torch.finfo(sweeps.dtype).eps
        self.n_samples, self.n_outputs, self.positions, self.width = sweeps.shape
        self.n_params = n_rows * self.width

    def _scattered(self, sweeps, index, n_rows):
        """Sum sweeps (N, D, T, e) by token into (N, D, n_rows, e)."""
        n, c, _, width = sweeps.shape
        jacobian = sweeps.new_zeros(n, c, n_rows, width)
        return jacobian.scatter_add_(2, index[:, None, :, None].expand_as(sweeps), sweeps)

    def gram(self) -> torch.Tensor:
        """Return J J' (N D, N D) in float64, from the rows of tokens that occur.

        Returns
        -------
        Tensor of shape (N * D, N * D)
            The Gram matrix.
        """
        tokens, index = torch.unique(self.index, return_inverse=True)
        n = self.n_samples * self.n_outputs
        gram = self.sweeps.new_zeros(n, n, dtype=torch.float64)
        step = max(1, int(MAX_BLOCK_ENTRIES // max(1, n * len(tokens))))
        for part in self.sweeps.split(step, dim=3):
            rows = self._scattered(part, index, len(tokens)).reshape(n, -1).double()
            gram += rows @ rows.T
        return gram

    def gram_operations(self, n_samples: int) -> float:
        """Count the multiplications, by the rows that so many samples may look up.

        Parameters
        ----------
        n_samples : int
            Samples, which need not be those of this factor.

        Returns
        -------
        float
            Multiplications of matrix products, or what takes as long.
        """
        n_tokens = min(self.n_rows, n_samples * self.index.shape[1])
        return float(n_samples * self.n_outputs) ** 2 * n_tokens * self.sweeps.shape[3]

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
        table = vectors.view(len(vectors), self.n_rows, self.width)
        return torch.einsum("ncte,knte->knc", self.sweeps, table[:, self.index])

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
        k = len(outputs)
        sent = torch.einsum("ncte,knc->knte", self.sweeps, outputs).reshape(k, -1, self.width)
        table = sent.new_zeros(k, self.n_rows, self.width)
        return table.index_add_(1, self.index.reshape(-1), sent).view(k, -1)

    @property
    def prefers_dense(self) -> bool:
        """Say whether products with a dense Jacobian cost less: never, as few tokens occur."""
        return False

    def dense(self) -> torch.Tensor:
        """Return J (N, D, p).

        Returns
        -------
        Tensor of shape (N, D, p)
            The Jacobian.
        """
        return self._scattered(self.sweeps, self.index, self.n_rows).flatten(2)

    def weighted(self, factors: torch.Tensor) -> EmbeddingFactor:
        """Return the factor of B' J for B (N, D, R).

        Parameters
        ----------
        factors : Tensor of shape (N, D, R)
            Columns to apply to each sample's outputs.

        Returns
        -------
        EmbeddingFactor
            A factor with R outputs.
        """
        sweeps = torch.einsum("ncte,ncr->nrte", self.sweeps, factors.to(self.dtype))
        return EmbeddingFactor(self.index, sweeps, self.n_rows)

    @staticmethod
    def joined(pieces: Sequence[EmbeddingFactor]) -> EmbeddingFactor:
        """Join the factors of several chunks, padding positions with zeros.

        Parameters
        ----------
        pieces : sequence of EmbeddingFactor
            Factors of one layer, on samples that follow each other.

        Returns
        -------
        EmbeddingFactor
            The factor on all samples.
        """
        positions = max(piece.positions for piece in pieces)
        index, sweeps = [], []
        for piece in pieces:
            missing = positions - piece.positions
            index.append(torch.nn.functional.pad(piece.index, (0, missing)))
            sweeps.append(torch.nn.functional.pad(piece.sweeps, (0, 0, 0, missing)))
        return EmbeddingFactor(torch.cat(index), torch.cat(sweeps), pieces[0].n_rows)

    @staticmethod
    def added(parts: Sequence[EmbeddingFactor]) -> EmbeddingFactor:
        """Add the factors of several calls on the same samples: more positions.

        Parameters
        ----------
        parts : sequence of EmbeddingFactor
            Factors of one layer, on the same samples.

        Returns
        -------
        EmbeddingFactor
            The factor of the sum of their Jacobians.
        """
        index = torch.cat([part.index for part in parts], dim=1)
        sweeps = torch.cat([part.sweeps for part in parts], dim=2)
        return EmbeddingFactor(index, sweeps, parts[0].n_rows)
