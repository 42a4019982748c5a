"""Small recurrent networks on series, rows of images and tokens."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from hessdiag.zoo.networks._parts import (
    check_shape,
    holds_tokens,
    make_normalization,
    refuse_unless,
)
from hessdiag.zoo.networks._tokens import TokenEmbedding

# Longer series are read several positions at a time, as each step costs as much as the last.
MAX_STEPS = 40


class Steps(nn.Module):
    """Arrange flat series or images as sequences of vectors.

    A series gives the channels of one position after the other, or of several where it is longer
    than 40; an image one row after the other.

    Parameters
    ----------
    n_inputs : int
        Number of input features.
    input_shape : tuple (channels, length) or (channels, height, width)
        Shape of one sample.
    """

    def __init__(self, n_inputs, input_shape):
        super().__init__()
        self.input_shape = check_shape(n_inputs, input_shape)
        if len(self.input_shape) not in (2, 3):
            raise ValueError(
                f"Expected input_shape of a series, an image or tokens, found {input_shape}. Give "
                "the shape of one sample before it was flattened."
            )
        n_channels, length, *others = self.input_shape
        row_size = math.prod(others)
        at_a_time = -(-length // MAX_STEPS)
        self.n_steps = -(-length // at_a_time)
        # Before the first position, so that the last step is whole.
        self.padding = (self.n_steps * at_a_time - length) * row_size
        self.size = n_channels * at_a_time * row_size

    def forward(self, X):
        """Return the sequences.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_inputs)
            Flat samples.

        Returns
        -------
        sequences : Tensor of shape (n_samples, n_steps, size)
            One vector for each step.
        """
        n_channels = self.input_shape[0]
        X = X.reshape(len(X), n_channels, -1)
        if self.padding:
            X = functional.pad(X, (self.padding, 0))
        return X.reshape(len(X), n_channels, self.n_steps, -1).transpose(1, 2).flatten(2)


class _RecurrentNet(nn.Module):
    """Sequences, recurrent layers, one vector for a sequence, a linear head."""

    cell: type

    def __init__(
        self,
        n_inputs,
        n_outputs,
        width=16,
        depth=1,
        activation="tanh",
        normalization="none",
        dropout=0.0,
        input_shape=None,
    ):
        super().__init__()
        why = "the gates of a recurrent layer have functions of their own"
        refuse_unless("activation", activation, ("tanh",), why)
        self.steps: nn.Module
        if holds_tokens(n_inputs, input_shape):
            self.steps, size = TokenEmbedding(input_shape[0], width), width
        else:
            self.steps = Steps(n_inputs, input_shape)
            size = self.steps.size
        between = dropout if depth > 1 else 0.0
        self.recurrent = self.cell(size, width, depth, batch_first=True, dropout=between)
        self.norm = make_normalization(normalization, width) or nn.Identity()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.head = nn.Linear(width, n_outputs)

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
        states, _ = self.recurrent(self.steps(X))
        return self.head(self.dropout(self.norm(self.pool(states))))


class GRUNet(_RecurrentNet):
    """Network of gated recurrent units [1]_, whose last state goes to a linear head.

    It reads a series position by position (several at a time where there are more than 40), an
    image row by row, and tokens by a vector that is learned for each.

    Parameters
    ----------
    n_inputs : int
        Number of input features.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=16
        Size of the state, and of the vectors of tokens.
    depth : int, default=1
        Number of recurrent layers.
    activation : {"tanh"}, default="tanh"
        That of the units.
    normalization : {"none", "layer", "batch"}, default="none"
        Normalization of what the head reads.
    dropout : float, default=0.0
        Share of values that is dropped between layers and before the head in training.
    input_shape : tuple (channels, length), (channels, height, width) or (vocabulary, length)
        Shape of one sample, which comes flattened; of tokens, the number of ids and how many there
        are in a sample. They are told from series by there being as many inputs as positions.

    Raises
    ------
    ValueError
        If `input_shape` does not fit, or the activation or the normalization is not known.

    References
    ----------
    .. [1] Cho et al. (2014). Learning phrase representations using RNN encoder-decoder for
       statistical machine translation. EMNLP.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.zoo import GRUNet
    >>> GRUNet(40, 10, width=4, input_shape=(1, 40))(torch.zeros(3, 40)).shape
    torch.Size([3, 10])
    >>> GRUNet(12, 5, width=4, input_shape=(26, 12)).steps.table
    Embedding(26, 4)
    """

    cell = nn.GRU

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        """Return the last state.

        Parameters
        ----------
        states : Tensor of shape (n_samples, n_steps, width)
            States after each step.

        Returns
        -------
        state : Tensor of shape (n_samples, width)
            That after the last one.
        """
        return states[:, -1]


class LSTMNet(_RecurrentNet):
    """Network of long short-term memory [1]_, whose mean state goes to a linear head.

    It reads a series position by position (several at a time where there are more than 40), an
    image row by row, and tokens by a vector that is learned for each.

    Parameters
    ----------
    n_inputs : int
        Number of input features.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=16
        Size of the state, and of the vectors of tokens.
    depth : int, default=1
        Number of recurrent layers.
    activation : {"tanh"}, default="tanh"
        That of the units.
    normalization : {"none", "layer", "batch"}, default="none"
        Normalization of what the head reads.
    dropout : float, default=0.0
        Share of values that is dropped between layers and before the head in training.
    input_shape : tuple (channels, length), (channels, height, width) or (vocabulary, length)
        Shape of one sample, which comes flattened; of tokens, the number of ids and how many there
        are in a sample. They are told from series by there being as many inputs as positions.

    Raises
    ------
    ValueError
        If `input_shape` does not fit, or the activation or the normalization is not known.

    References
    ----------
    .. [1] Hochreiter, Schmidhuber (1997). Long short-term memory. Neural Computation.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.zoo import LSTMNet
    >>> LSTMNet(40, 10, width=4, input_shape=(1, 40))(torch.zeros(3, 40)).shape
    torch.Size([3, 10])
    """

    cell = nn.LSTM

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        """Return the mean state.

        Parameters
        ----------
        states : Tensor of shape (n_samples, n_steps, width)
            States after each step.

        Returns
        -------
        state : Tensor of shape (n_samples, width)
            Their mean.
        """
        return states.mean(dim=1)
