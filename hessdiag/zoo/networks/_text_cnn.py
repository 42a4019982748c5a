"""TextCNN: convolutions over the vectors of tokens."""

from __future__ import annotations

from typing import Literal

from torch import nn

from hessdiag.zoo.networks._parts import holds_tokens, make_activation, make_normalization
from hessdiag.zoo.networks._tokens import TokenEmbedding


class _ChannelsFirst(nn.Module):
    """Put channels before positions, as convolutions take them."""

    def forward(self, x):
        """Swap the last two axes."""
        return x.transpose(1, 2)


class TextCNN(nn.Sequential):
    """Convolutional network on tokens.

    Each token has a vector that is learned; then come convolutions over three positions, each
    channel's largest value over all positions, and a linear head [1]_.

    Parameters
    ----------
    n_inputs : int
        Number of tokens in a sample.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=16
        Size of the vectors, and channels of each convolution.
    depth : int, default=1
        Number of convolutions.
    activation : {"relu", "tanh", "gelu"}, default="relu"
        Activation after each convolution.
    normalization : {"none", "layer", "batch"}, default="none"
        Normalization between each convolution and its activation; "layer" is over all channels
        and positions of a sample.
    dropout : float, default=0.0
        Share of what the head reads that is dropped in training.
    input_shape : tuple (vocabulary, length)
        Number of ids, and how many there are in a sample.

    Raises
    ------
    ValueError
        If `input_shape` does not fit, or the activation or the normalization is not known.

    References
    ----------
    .. [1] Kim (2014). Convolutional neural networks for sentence classification. EMNLP.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.zoo import TextCNN
    >>> TextCNN(12, 5, width=4, input_shape=(26, 12))(torch.zeros(3, 12)).shape
    torch.Size([3, 5])
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        width: int = 16,
        depth: int = 1,
        activation: Literal["relu", "tanh", "gelu"] = "relu",
        normalization: Literal["none", "layer", "batch"] = "none",
        dropout: float = 0.0,
        input_shape: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if input_shape is None or not holds_tokens(n_inputs, input_shape):
            raise ValueError(
                f"Expected input_shape (vocabulary, {n_inputs}) of samples of {n_inputs} tokens, "
                f"found {input_shape}. Give the number of ids, and how many a sample has."
            )
        self.add_module("embedding", TokenEmbedding(input_shape[0], width))
        self.add_module("channels_first", _ChannelsFirst())
        for index in range(depth):
            self.add_module(f"conv_{index}", nn.Conv1d(width, width, 3, padding="same"))
            norm = make_normalization(normalization, width, 2)
            if norm is not None:
                self.add_module(f"norm_{index}", norm)
            self.add_module(f"activation_{index}", make_activation(activation))
        self.add_module("largest", nn.AdaptiveMaxPool1d(1))
        self.add_module("flatten", nn.Flatten())
        if dropout:
            self.add_module("dropout", nn.Dropout(dropout))
        self.add_module("head", nn.Linear(width, n_outputs))
