"""The networks that zoo recipes build, and the batch iterator that trains them fast."""

from __future__ import annotations

import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


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

    Examples
    --------
    >>> from hessdiag.zoo import MLP
    >>> [name for name, _ in MLP(4, 3, width=8, depth=1).named_children()]
    ['hidden_0', 'activation_0', 'head']
    """

    def __init__(self, n_inputs, n_outputs, width=64, depth=2, activation="relu"):
        super().__init__()
        size = n_inputs
        for index in range(depth):
            self.add_module(f"hidden_{index}", nn.Linear(size, width))
            self.add_module(f"activation_{index}", ACTIVATIONS[activation]())
            size = width
        self.add_module("head", nn.Linear(size, n_outputs))


class TensorBatches:
    """Batches of in-memory arrays, without the per-sample collation of a `DataLoader`.

    A drop-in for skorch's ``iterator_train`` and ``iterator_valid``.

    Parameters
    ----------
    dataset : skorch.dataset.Dataset
        Data set whose ``X`` and ``y`` are arrays or tensors.
    batch_size : int, default=128
        Samples of each batch; -1 takes all in one.
    shuffle : bool, default=False
        Whether to draw a new order for each pass, from torch's global generator.
    """

    def __init__(self, dataset, batch_size=128, shuffle=False):
        self.dataset = dataset
        self.X = torch.as_tensor(dataset.X)
        # skorch feeds a 0 for each sample where there is no y, as its own data loader does.
        missing = dataset.y is None
        self.y = torch.zeros(len(self.X)) if missing else torch.as_tensor(dataset.y)
        self.batch_size = len(self.X) if batch_size == -1 else batch_size
        self.shuffle = shuffle

    def __len__(self):
        """Return the number of batches."""
        return -(-len(self.X) // self.batch_size)

    def __iter__(self):
        """Yield (X, y) batches."""
        order = torch.randperm(len(self.X)) if self.shuffle else torch.arange(len(self.X))
        for index in order.split(self.batch_size):
            yield self.X[index], self.y[index]
