"""TransformerNet: torch's own encoder layers on patches of series and images, and on tokens."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from hessdiag.zoo.networks._parts import check_name, holds_tokens, refuse_unless
from hessdiag.zoo.networks._patches import PatchEmbedding, PositionEmbedding
from hessdiag.zoo.networks._tokens import TokenEmbedding

_ACTIVATIONS = {"relu": functional.relu, "tanh": torch.tanh, "gelu": functional.gelu}
_HEADS = (4, 2, 1)
# Smaller heads have too few directions to tell positions apart.
LEAST_HEAD_SIZE = 4


class TransformerNet(nn.Module):
    """Transformer encoder [1]_ on patches of series and images, and on tokens.

    Series and images are cut into at most 16 patches, which are embedded linearly [2]_; each token
    has a vector that is learned. A learned vector of its position is added to each, then come
    `torch.nn.TransformerEncoderLayer`, and a linear head on the mean over positions. There are up
    to four heads of at least four values each.

    Parameters
    ----------
    n_inputs : int
        Number of input features.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=16
        Size of the vectors; the perceptron of a layer has twice as many hidden units.
    depth : int, default=1
        Number of encoder layers.
    activation : {"relu", "tanh", "gelu"}, default="gelu"
        Activation of the perceptrons.
    normalization : {"layer"}, default="layer"
        Layer norms after each sum.
    dropout : float, default=0.0
        Share that is dropped in training, of attention weights and where a layer drops values.
    input_shape : tuple (channels, length), (channels, height, width) or (vocabulary, length)
        Shape of one sample, which comes flattened; of tokens, the number of ids and how many there
        are in a sample. They are told from series by there being as many inputs as positions.

    Raises
    ------
    ValueError
        If `input_shape` does not fit, or the activation or the normalization is not known.

    References
    ----------
    .. [1] Vaswani et al. (2017). Attention is all you need. NeurIPS.
    .. [2] Dosovitskiy et al. (2021). An image is worth 16x16 words: transformers for image
       recognition at scale. ICLR.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.zoo import TransformerNet
    >>> TransformerNet(64, 10, width=8, input_shape=(1, 8, 8))(torch.zeros(3, 64)).shape
    torch.Size([3, 10])
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        width: int = 16,
        depth: int = 1,
        activation: Literal["relu", "tanh", "gelu"] = "gelu",
        normalization: Literal["layer"] = "layer",
        dropout: float = 0.0,
        input_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        check_name("activation", activation, _ACTIVATIONS)
        why = "encoder layers have layer norms"
        refuse_unless("normalization", normalization, ("layer",), why)
        self.embedding: nn.Module
        if input_shape is not None and holds_tokens(n_inputs, input_shape):
            self.embedding = TokenEmbedding(input_shape[0], width)
            n_positions = n_inputs
        else:
            self.embedding = patches = PatchEmbedding(n_inputs, width, input_shape)
            n_positions = patches.n_patches
        self.position = PositionEmbedding(n_positions, width)
        n_heads = next(
            n for n in _HEADS if n == 1 or (width % n == 0 and width // n >= LEAST_HEAD_SIZE)
        )
        self.encoder = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width,
                    n_heads,
                    dim_feedforward=2 * width,
                    dropout=dropout,
                    activation=_ACTIVATIONS[activation],
                    batch_first=True,
                )
                for _ in range(depth)
            )
        )
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
        state = self.encoder(self.position(self.embedding(X)))
        return self.head(state.mean(dim=1))
