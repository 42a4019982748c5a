"""The multi-layer perceptron of the zoo."""

from __future__ import annotations

from typing import Literal

from torch import nn

from hessdiag.zoo.networks._parts import make_activation, make_normalization


class MLP(nn.Sequential):
    """Multi-layer perceptron with hidden layers of equal width.

    Parameters
    ----------
    n_inputs : int
        Number of input features.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=64
        Units of each hidden layer.
    depth : int, default=2
        Number of hidden layers.
    activation : {"relu", "tanh", "gelu"}, default="relu"
        Activation after each hidden layer.
    normalization : {"none", "layer", "batch"}, default="none"
        Normalization between each hidden layer and its activation.
    dropout : float, default=0.0
        Share of each hidden layer's units that is dropped in training.

    Raises
    ------
    ValueError
        If the activation or the normalization is not known.

    Examples
    --------
    >>> from hessdiag.zoo import MLP
    >>> [name for name, _ in MLP(4, 3, width=8, depth=1).named_children()]
    ['hidden_0', 'activation_0', 'head']
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
        size = n_inputs
        for index in range(depth):
            self.add_module(f"hidden_{index}", nn.Linear(size, width))
            norm = make_normalization(normalization, width)
            if norm is not None:
                self.add_module(f"norm_{index}", norm)
            self.add_module(f"activation_{index}", make_activation(activation))
            if dropout:
                self.add_module(f"dropout_{index}", nn.Dropout(dropout))
            size = width
        self.add_module("head", nn.Linear(size, n_outputs))
