"""Samples: the data of one problem, in chunks that pass through the net one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING

from hessdiag.curvature.network._data import Chunk, concatenate, take

if TYPE_CHECKING:
    import torch


class Samples:
    """Samples in chunks that follow each other.

    Attributes `X` and `y` are all chunks joined, None where batches cannot be joined; `offsets`
    says how many samples come before each chunk, and how many there are. Cutting and taking give
    other samples; these stay as they are.

    Parameters
    ----------
    chunks : iterable of Chunk
        The chunks.
    """

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self.chunks = tuple(chunks)
        self.offsets = (0, *accumulate(chunk.n_samples for chunk in self.chunks))
        self.X = concatenate([chunk.X for chunk in self.chunks])
        self.y = concatenate([chunk.y for chunk in self.chunks])

    @property
    def n_samples(self) -> int:
        """Count all samples."""
        return self.offsets[-1]

    @property
    def largest_chunk(self) -> int:
        """Count the samples that pass through the net at once, at most."""
        return max(chunk.n_samples for chunk in self.chunks)

    def cut(self, size: int) -> Samples:
        """Return the same samples in chunks of so many.

        Parameters
        ----------
        size : int
            Samples of a chunk, at most.

        Returns
        -------
        Samples
            The same samples, in other chunks.
        """
        n = self.n_samples
        parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        return Samples(Chunk(take(self.X, s), take(self.y, s), s.stop - s.start) for s in parts)

    def take(self, indices: torch.Tensor) -> Samples:
        """Return some of the samples, in one chunk.

        Parameters
        ----------
        indices : Tensor of int of shape (n,)
            Places of the samples.

        Returns
        -------
        Samples
            These samples.
        """
        return Samples([Chunk(take(self.X, indices), take(self.y, indices), len(indices))])
