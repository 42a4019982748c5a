"""MixerNet: perceptrons across patches and across channels, by turns."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from hessdiag.zoo.networks._parts import make_activation, make_normalization, refuse_unless
from hessdiag.zoo.networks._patches import PatchEmbedding


class MixerBlock(nn.Module):
    """A perceptron across patches, then one across channels, each added to the state.

    Parameters
    ----------
    n_patches, width : int
        Number of patches, and size of the vector of each.
    activation : {"relu", "tanh", "gelu"}
        Activation of both perceptrons.
    normalization : {"none", "layer"}
        Normalization, over channels, of what both read.
    dropout : float
        Share of the hidden units that is dropped in training.
    """

    def __init__(self, n_patches, width, activation, normalization, dropout):
        super().__init__()
        self.patch_norm = make_normalization(normalization, width) or nn.Identity()
        self.patch_hidden = nn.Linear(n_patches, 2 * n_patches)
        self.patch_out = nn.Linear(2 * n_patches, n_patches)
        self.norm = make_normalization(normalization, width) or nn.Identity()
        self.hidden = nn.Linear(width, 2 * width)
        self.out = nn.Linear(2 * width, width)
        self.activation = make_activation(activation)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x):
        """Return the new state.

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_patches, width)
            The state.

        Returns
        -------
        x : Tensor of shape (n_samples, n_patches, width)
            The state plus what the block adds.
        """
        across = self.patch_hidden(self.patch_norm(x).transpose(1, 2))
        x = x + self.patch_out(self.dropout(self.activation(across))).transpose(1, 2)
        return x + self.out(self.dropout(self.activation(self.hidden(self.norm(x)))))


class MixerNet(nn.Module):
    """MLP-Mixer [1]_ on patches of series and images.

    Samples are cut into at most 16 patches, which are embedded linearly; then come blocks of a
    perceptron across patches and one across channels, each with twice as many hidden units as it
    has inputs, and a linear head on the mean over patches.

    Parameters
    ----------
    n_inputs : int
        Number of input features.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=16
        Size of the vector of a patch.
    depth : int, default=1
        Number of blocks.
    activation : {"relu", "tanh", "gelu"}, default="gelu"
        Activation of the perceptrons.
    normalization : {"none", "layer"}, default="layer"
        Normalization of what each perceptron, and the head, reads.
    dropout : float, default=0.0
        Share of the hidden units that is dropped in training.
    input_shape : tuple (channels, length) or (channels, height, width)
        Shape of one sample; the network takes samples flattened.

    Raises
    ------
    ValueError
        If `input_shape` does not fit, or the activation or the normalization is not known.

    References
    ----------
    .. [1] Tolstikhin et al. (2021). MLP-Mixer: an all-MLP architecture for vision. NeurIPS.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.zoo import MixerNet
    >>> MixerNet(64, 10, width=8, input_shape=(1, 8, 8))(torch.zeros(3, 64)).shape
    torch.Size([3, 10])
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        width: int = 16,
        depth: int = 1,
        activation: Literal["relu", "tanh", "gelu"] = "gelu",
        normalization: Literal["none", "layer"] = "layer",
        dropout: float = 0.0,
        input_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        why = "a batch's would mix its samples"
        refuse_unless("normalization", normalization, ("none", "layer"), why)
        self.embedding = PatchEmbedding(n_inputs, width, input_shape)
        n_patches = self.embedding.n_patches
        self.blocks = nn.Sequential(
            *(
                MixerBlock(n_patches, width, activation, normalization, dropout)
                for _ in range(depth)
            )
        )
        self.norm = make_normalization(normalization, width) or nn.Identity()
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
        return self.head(self.norm(self.blocks(self.embedding(X))).mean(dim=1))
