"""Token ids to vectors: what networks of sequences of symbols begin with."""

from __future__ import annotations

from torch import nn


class TokenIds(nn.Module):
    """Turn ids that came as floats into integers.

    The zoo's samples are rows of float32, which holds integers up to 2^24 exactly.
    """

    def forward(self, X):
        """Return the ids.

        Parameters
        ----------
        X : Tensor of shape (n_samples, length)
            Ids as floats.

        Returns
        -------
        ids : Tensor of int64 of shape (n_samples, length)
            The same as integers.
        """
        return X.long()


class TokenEmbedding(nn.Sequential):
    """Look up a vector for each token.

    Parameters
    ----------
    vocabulary : int
        Number of ids, from 0.
    width : int
        Size of the vectors.
    """

    def __init__(self, vocabulary, width):
        super().__init__()
        self.add_module("ids", TokenIds())
        self.add_module("table", nn.Embedding(vocabulary, width))
