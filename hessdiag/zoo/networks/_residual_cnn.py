"""Small residual convolutional networks on images and on series."""

from __future__ import annotations

from torch import nn

from hessdiag.zoo.networks._parts import check_shape, make_activation, make_normalization

# Axes of at least this many positions are halved by a block.
LEAST_TO_HALVE = 8
# The first convolution halves axes that are longer.
LONG = 16

_CONVOLUTIONS = {2: nn.Conv1d, 3: nn.Conv2d}
_POOLINGS = {2: nn.AdaptiveAvgPool1d, 3: nn.AdaptiveAvgPool2d}


class ConvolutionalBlock(nn.Module):
    """Two convolutions of width 3, added to the state.

    Parameters
    ----------
    n_axes : {2, 3}
        Axes of one sample: 2 for series, 3 for images.
    n_channels, width : int
        Channels that come in, and that go out.
    stride : int
        Step of the first convolution; the state goes through one of width 1 where its shape
        changes.
    activation : {"relu", "tanh", "gelu"}
        Activation after the first convolution, and after the sum.
    normalization : {"none", "layer", "batch"}
        Normalization after each convolution.
    dropout : float
        Share of the values between both convolutions that is dropped in training.
    """

    def __init__(self, n_axes, n_channels, width, stride, activation, normalization, dropout):
        super().__init__()
        convolution = _CONVOLUTIONS[n_axes]
        bias = normalization == "none"
        self.conv_0 = convolution(n_channels, width, 3, stride=stride, padding=1, bias=bias)
        self.norm_0 = make_normalization(normalization, width, n_axes) or nn.Identity()
        self.activation = make_activation(activation)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv_1 = convolution(width, width, 3, padding=1, bias=bias)
        self.norm_1 = make_normalization(normalization, width, n_axes) or nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or n_channels != width:
            self.shortcut = nn.Sequential()
            layer = convolution(n_channels, width, 1, stride=stride, bias=bias)
            self.shortcut.add_module("conv", layer)
            norm = make_normalization(normalization, width, n_axes)
            if norm is not None:
                self.shortcut.add_module("norm", norm)

    def forward(self, x):
        """Return the new state.

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_channels, ...)
            The state.

        Returns
        -------
        x : Tensor of shape (n_samples, width, ...)
            The activation of the state plus what the block adds.
        """
        added = self.dropout(self.activation(self.norm_0(self.conv_0(x))))
        added = self.norm_1(self.conv_1(added))
        return self.activation(self.shortcut(x) + added)


class _ResidualCNN(nn.Sequential):
    """A convolution, residual blocks, the average over positions, a linear head."""

    n_axes: int

    def __init__(
        self,
        n_inputs,
        n_outputs,
        width=8,
        depth=1,
        activation="relu",
        normalization="batch",
        dropout=0.0,
        input_shape=None,
    ):
        super().__init__()
        n_channels, *sizes = check_shape(n_inputs, input_shape, self.n_axes)
        self.add_module("unflatten", nn.Unflatten(1, (n_channels, *sizes)))
        smallest, stride = min(sizes), 1
        if max(sizes) > LONG:
            smallest, stride = -(-smallest // 2), 2
        convolution = _CONVOLUTIONS[self.n_axes]
        stem = convolution(
            n_channels, width, 3, stride=stride, padding=1, bias=normalization == "none"
        )
        self.add_module("stem", stem)
        norm = make_normalization(normalization, width, self.n_axes)
        if norm is not None:
            self.add_module("norm", norm)
        self.add_module("activation", make_activation(activation))
        n_channels = width
        for index in range(depth):
            stride, wider = 1, n_channels
            if smallest >= LEAST_TO_HALVE:
                smallest, stride, wider = -(-smallest // 2), 2, 2 * n_channels
            block = ConvolutionalBlock(
                self.n_axes, n_channels, wider, stride, activation, normalization, dropout
            )
            self.add_module(f"block_{index}", block)
            n_channels = wider
        self.add_module("average", _POOLINGS[self.n_axes](1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("head", nn.Linear(n_channels, n_outputs))


class ResNet(_ResidualCNN):
    """Residual convolutional network on images.

    A convolution, then blocks of two 3 x 3 convolutions with a shortcut around them [1]_, the
    average over all positions, and a linear head. A block halves height and width and doubles the
    channels as long as both are 8 or more.

    Parameters
    ----------
    n_inputs : int
        Number of input features: channels times height times width.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=8
        Channels of the first convolution.
    depth : int, default=1
        Number of blocks.
    activation : {"relu", "tanh", "gelu"}, default="relu"
        Activation after the first convolution and in each block.
    normalization : {"none", "layer", "batch"}, default="batch"
        Normalization after each convolution; "layer" is over all channels and positions of a
        sample.
    dropout : float, default=0.0
        Share of values that is dropped between the convolutions of a block in training.
    input_shape : tuple (channels, height, width)
        Shape of one sample; the network takes samples flattened.

    Raises
    ------
    ValueError
        If `input_shape` does not fit, or the activation or the normalization is not known.

    References
    ----------
    .. [1] He, Zhang, Ren, Sun (2016). Deep residual learning for image recognition. CVPR.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.zoo import ResNet
    >>> ResNet(64, 10, width=4, input_shape=(1, 8, 8))(torch.zeros(3, 64)).shape
    torch.Size([3, 10])
    """

    n_axes = 3


class ResNet1d(_ResidualCNN):
    """Residual convolutional network on series.

    A convolution, then blocks of two convolutions of width 3 with a shortcut around them [1]_, the
    average over all positions, and a linear head. A block halves the length and doubles the
    channels as long as the length is 8 or more.

    Parameters
    ----------
    n_inputs : int
        Number of input features: channels times length.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=8
        Channels of the first convolution.
    depth : int, default=1
        Number of blocks.
    activation : {"relu", "tanh", "gelu"}, default="relu"
        Activation after the first convolution and in each block.
    normalization : {"none", "layer", "batch"}, default="batch"
        Normalization after each convolution; "layer" is over all channels and positions of a
        sample.
    dropout : float, default=0.0
        Share of values that is dropped between the convolutions of a block in training.
    input_shape : tuple (channels, length)
        Shape of one sample; the network takes samples flattened.

    Raises
    ------
    ValueError
        If `input_shape` does not fit, or the activation or the normalization is not known.

    References
    ----------
    .. [1] Wang, Yan, Oates (2017). Time series classification from scratch with deep neural
       networks: a strong baseline. IJCNN.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.zoo import ResNet1d
    >>> ResNet1d(40, 10, width=4, input_shape=(1, 40))(torch.zeros(3, 40)).shape
    torch.Size([3, 10])
    """

    n_axes = 2
