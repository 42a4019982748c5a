"""Patches of series and images to vectors: what attention and mixer networks begin with."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from hessdiag.zoo.networks._parts import check_shape

# Attention costs the square of it, and curvature the whole number of it per sample.
MAX_PATCHES = 16

_CONVOLUTIONS = {2: nn.Conv1d, 3: nn.Conv2d}


class PatchEmbedding(nn.Module):
    """Cut series or images into at most 16 patches, and map each to a vector linearly.

    Parameters
    ----------
    n_inputs : int
        Number of input features.
    width : int
        Size of the vectors.
    input_shape : tuple (channels, length) or (channels, height, width)
        Shape of one sample. Sizes that are no multiples of a patch's are padded with zeros.
    """

    def __init__(self, n_inputs, width, input_shape):
        super().__init__()
        self.input_shape = check_shape(n_inputs, input_shape)
        n_channels, *sizes = self.input_shape
        if len(sizes) not in (1, 2):
            raise ValueError(
                f"Expected input_shape of a series or an image, found {input_shape}. Give the "
                "shape of one sample before it was flattened, channels first."
            )
        per_axis = MAX_PATCHES if len(sizes) == 1 else math.isqrt(MAX_PATCHES)
        patch = [-(-size // per_axis) for size in sizes]
        counts = [-(-size // p) for size, p in zip(sizes, patch)]
        # As `pad` takes it: the last axis first.
        self.padding = [
            pad
            for size, p, count in zip(sizes[::-1], patch[::-1], counts[::-1])
            for pad in (0, p * count - size)
        ]
        self.n_patches = math.prod(counts)
        convolution = _CONVOLUTIONS[len(self.input_shape)]
        self.projection = convolution(n_channels, width, kernel_size=patch, stride=patch)

    def forward(self, X):
        """Return the vectors.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_inputs)
            Flat samples.

        Returns
        -------
        state : Tensor of shape (n_samples, n_patches, width)
            One vector for each patch.
        """
        X = X.reshape(len(X), *self.input_shape)
        if any(self.padding):
            X = functional.pad(X, self.padding)
        return self.projection(X).flatten(2).transpose(1, 2)


class PositionEmbedding(nn.Module):
    """Add to each vector one of its position, which is learned.

    Parameters
    ----------
    n_positions : int
        Number of positions.
    width : int
        Size of the vectors.
    """

    def __init__(self, n_positions, width):
        super().__init__()
        self.table = nn.Embedding(n_positions, width)
        self.register_buffer("positions", torch.arange(n_positions), persistent=False)

    def forward(self, state):
        """Return the sum.

        Parameters
        ----------
        state : Tensor of shape (n_samples, n_positions, width)
            Vectors without position.

        Returns
        -------
        state : Tensor of shape (n_samples, n_positions, width)
            Vectors with it.
        """
        return state + self.table(self.positions.expand(len(state), -1))
