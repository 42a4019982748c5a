"""AttentionNet: a small network of self-attention blocks over features or positions."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from hessdiag.zoo.networks._parts import check_shape, make_activation, make_normalization

# Attention costs the square of it, and curvature the whole number of it per sample.
MAX_TOKENS = 16


class AttentionBlock(nn.Module):
    """Self-attention, then a layer-wise perceptron, each added to the state.

    Parameters
    ----------
    width : int
        Size of each token's state.
    activation : {"relu", "tanh", "gelu"}
        Activation of the perceptron, whose hidden layer has twice the width.
    normalization : {"none", "layer"}
        Normalization of what both parts read.
    dropout : float
        Share of the hidden units that is dropped in training.
    """

    def __init__(self, width, activation, normalization, dropout):
        super().__init__()
        self.attention_norm = make_normalization(normalization, width) or nn.Identity()
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.norm = make_normalization(normalization, width) or nn.Identity()
        self.hidden = nn.Linear(width, 2 * width)
        self.activation = make_activation(activation)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.out = nn.Linear(2 * width, width)

    def forward(self, x):
        """Return the new state.

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_tokens, width)
            The state.

        Returns
        -------
        x : Tensor of shape (n_samples, n_tokens, width)
            The state plus what the block adds.
        """
        query, key, value = self.query_key_value(self.attention_norm(x)).chunk(3, dim=-1)
        # Written out, because fused attention kernels cannot be differentiated twice.
        scores = query @ key.transpose(-2, -1) / math.sqrt(x.shape[-1])
        x = x + self.mix(torch.softmax(scores, dim=-1) @ value)
        return x + self.out(self.dropout(self.activation(self.hidden(self.norm(x)))))


class AttentionNet(nn.Module):
    """Small network of pre-norm self-attention blocks [1]_.

    The inputs become at most 16 tokens. Without `input_shape`, neighbouring features are grouped
    and each group has its own embedding, as in transformers for tables [2]_. With it, a series is
    cut into patches of positions and an image into bands of rows, which share one embedding and
    are told apart by an embedding of their position. The tokens' mean goes to a linear head.

    Parameters
    ----------
    n_inputs : int
        Number of input features.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=32
        Size of each token's state; one attention head.
    depth : int, default=1
        Number of blocks.
    activation : {"relu", "tanh", "gelu"}, default="relu"
        Activation of each block's perceptron.
    normalization : {"none", "layer"}, default="layer"
        Normalization of what each part of a block reads.
    dropout : float, default=0.0
        Share of each perceptron's hidden units that is dropped in training.
    input_shape : tuple or None, default=None
        Shape of one sample, (channels, length) or (channels, height, width); None for a table's
        row. The network takes samples flattened.

    Raises
    ------
    ValueError
        If `input_shape` does not fit, or the activation or the normalization is not known.

    References
    ----------
    .. [1] Vaswani et al. (2017). Attention is all you need. NeurIPS.
    .. [2] Gorishniy, Rubachev, Khrulkov, Babenko (2021). Revisiting deep learning models for
       tabular data. NeurIPS.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.zoo import AttentionNet
    >>> AttentionNet(40, 10, width=4, input_shape=(1, 40))(torch.zeros(3, 40)).shape
    torch.Size([3, 10])
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        width: int = 32,
        depth: int = 1,
        activation: Literal["relu", "tanh", "gelu"] = "relu",
        normalization: Literal["none", "layer"] = "layer",
        dropout: float = 0.0,
        input_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        if normalization == "batch":
            raise ValueError(
                "Expected normalization 'none' or 'layer' of an attention net, found 'batch': "
                "it would mix the samples of a batch. Pass one of the two."
            )
        self.input_shape = check_shape(n_inputs, input_shape) if input_shape else None
        n_channels, length, *others = self.input_shape or (1, n_inputs)
        self.n_channels, self.row_size = n_channels, math.prod(others)
        self.patch_size = -(-length // MAX_TOKENS)
        self.n_tokens = -(-length // self.patch_size)
        self.padding = (self.n_tokens * self.patch_size - length) * self.row_size
        token_size = n_channels * self.patch_size * self.row_size
        if self.input_shape is None:
            token_size *= self.n_tokens
        self.embedding = nn.Linear(token_size + self.n_tokens, width)
        for index in range(depth):
            block = AttentionBlock(width, activation, normalization, dropout)
            self.add_module(f"block_{index}", block)
        self.blocks = [name for name, _ in self.named_children() if name.startswith("block_")]
        self.head = nn.Linear(width, n_outputs)

    def tokens(self, X: torch.Tensor) -> torch.Tensor:
        """Cut samples into the vectors that the embedding reads.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_inputs)
            Flat samples.

        Returns
        -------
        tokens : Tensor of shape (n_samples, n_tokens, token_size)
            Each token's values, then a one-hot code of its position. Where each token has an
            embedding of its own, its values stand in columns of their own.
        """
        X = functional.pad(X.reshape(len(X), self.n_channels, -1), (0, self.padding))
        patches = X.reshape(len(X), self.n_channels, self.n_tokens, -1).transpose(1, 2).flatten(2)
        position = torch.eye(self.n_tokens, dtype=X.dtype, device=X.device)
        if self.input_shape is None:
            patches = (patches.unsqueeze(2) * position.unsqueeze(2)).flatten(2)
        return torch.cat([patches, position.expand(len(X), -1, -1)], dim=2)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the outputs.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_inputs)
            Flat samples.

        Returns
        -------
        outputs : Tensor of shape (n_samples, n_outputs)
            Logits, or regression predictions.
        """
        state = self.embedding(self.tokens(X))
        for name in self.blocks:
            state = getattr(self, name)(state)
        return self.head(state.mean(dim=1))
