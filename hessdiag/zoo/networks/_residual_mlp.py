"""ResidualMLP: a multi-layer perceptron whose blocks add to a running state."""

from __future__ import annotations

from typing import Literal

from torch import nn

from hessdiag.zoo.networks._parts import make_activation, make_normalization


class ResidualBlock(nn.Module):
    """Add ``W2 act(W1 norm(x))`` to the state.

    Parameters
    ----------
    width : int
        Size of the state and of the hidden layer.
    activation : {"relu", "tanh", "gelu"}
        Activation of the hidden layer.
    normalization : {"none", "layer", "batch"}
        Normalization of what the block reads.
    dropout : float
        Share of the hidden units that is dropped in training.
    """

    def __init__(self, width, activation, normalization, dropout):
        super().__init__()
        self.norm = make_normalization(normalization, width) or nn.Identity()
        self.hidden = nn.Linear(width, width)
        self.activation = make_activation(activation)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.out = nn.Linear(width, width)

    def forward(self, x):
        """Return the new state.

        Parameters
        ----------
        x : Tensor of shape (n_samples, width)
            The state.

        Returns
        -------
        x : Tensor of shape (n_samples, width)
            The state plus what the block adds.
        """
        return x + self.out(self.dropout(self.activation(self.hidden(self.norm(x)))))


class ResidualMLP(nn.Sequential):
    """Residual multi-layer perceptron: projection, blocks, head.

    Each block adds ``W2 act(W1 norm(x))`` to its input x, as in residual networks [1]_ with the
    normalization before the weights.

    Parameters
    ----------
    n_inputs : int
        Number of input features.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=64
        Size of the state between blocks and of each block's hidden layer.
    depth : int, default=2
        Number of blocks.
    activation : {"relu", "tanh", "gelu"}, default="relu"
        Activation inside each block.
    normalization : {"none", "layer", "batch"}, default="none"
        Normalization of what each block reads.
    dropout : float, default=0.0
        Share of each block's hidden units that is dropped in training.

    Raises
    ------
    ValueError
        If the activation or the normalization is not known.

    References
    ----------
    .. [1] He, Zhang, Ren, Sun (2016). Identity mappings in deep residual networks. ECCV.

    Examples
    --------
    >>> from hessdiag.zoo import ResidualMLP
    >>> [name for name, _ in ResidualMLP(4, 3, width=8, depth=2).named_children()]
    ['projection', 'block_0', 'block_1', 'head']
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        width: int = 64,
        depth: int = 2,
        activation: Literal["relu", "tanh", "gelu"] = "relu",
        normalization: Literal["none", "layer", "batch"] = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.add_module("projection", nn.Linear(n_inputs, width))
        for index in range(depth):
            block = ResidualBlock(width, activation, normalization, dropout)
            self.add_module(f"block_{index}", block)
        self.add_module("head", nn.Linear(width, n_outputs))
