"""Small convolutional networks on series and on images."""

from __future__ import annotations

from torch import nn

from hessdiag.zoo.networks._parts import check_shape, make_activation, make_normalization

# Pooling ends where an axis is shorter.
LEAST_TO_POOL = 4


class _ConvolutionalNet(nn.Sequential):
    """Convolutions with pooling between them, a coarse average over positions, a linear head."""

    n_axes: int
    kernel_size: int
    # Positions per axis that the head sees: coarse, so that it stays small, yet not a single one,
    # so that where things are is not lost.
    pooled = 2
    convolution: type
    max_pooling: type
    average_pooling: type

    def __init__(
        self,
        n_inputs,
        n_outputs,
        width=16,
        depth=2,
        activation="relu",
        normalization="none",
        dropout=0.0,
        input_shape=None,
    ):
        super().__init__()
        n_channels, *sizes = check_shape(n_inputs, input_shape, self.n_axes)
        self.add_module("unflatten", nn.Unflatten(1, (n_channels, *sizes)))
        smallest = min(sizes)
        for index in range(depth):
            layer = self.convolution(n_channels, width, self.kernel_size, padding="same")
            self.add_module(f"conv_{index}", layer)
            norm = make_normalization(normalization, width, self.n_axes)
            if norm is not None:
                self.add_module(f"norm_{index}", norm)
            self.add_module(f"activation_{index}", make_activation(activation))
            if dropout:
                self.add_module(f"dropout_{index}", nn.Dropout(dropout))
            if smallest >= LEAST_TO_POOL:
                self.add_module(f"pool_{index}", self.max_pooling(2))
                smallest //= 2
            n_channels = width
        self.add_module("average", self.average_pooling(self.pooled))
        self.add_module("flatten", nn.Flatten())
        self.add_module("head", nn.Linear(n_channels * self.pooled ** len(sizes), n_outputs))


class CNN1d(_ConvolutionalNet):
    """Convolutional network on series.

    Layers of width-5 convolutions, each followed by an activation and a max pooling of 2, as in
    LeNet [1]_; then an average over each half of the series, and a linear head.

    Parameters
    ----------
    n_inputs : int
        Number of input features: channels times length.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=16
        Channels of each convolution.
    depth : int, default=2
        Number of convolutions.
    activation : {"relu", "tanh", "gelu"}, default="relu"
        Activation after each convolution.
    normalization : {"none", "layer", "batch"}, default="none"
        Normalization between each convolution and its activation; "layer" is over all channels
        and positions of a sample.
    dropout : float, default=0.0
        Share of values that is dropped after each activation in training.
    input_shape : tuple (channels, length)
        Shape of one sample; the network takes samples flattened.

    Raises
    ------
    ValueError
        If `input_shape` does not fit, or the activation or the normalization is not known.

    References
    ----------
    .. [1] LeCun, Bottou, Bengio, Haffner (1998). Gradient-based learning applied to document
       recognition. Proceedings of the IEEE.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.zoo import CNN1d
    >>> CNN1d(40, 10, width=4, input_shape=(1, 40))(torch.zeros(3, 40)).shape
    torch.Size([3, 10])
    """

    n_axes = 2
    kernel_size = 5
    convolution = nn.Conv1d
    max_pooling = nn.MaxPool1d
    average_pooling = nn.AdaptiveAvgPool1d


class CNN2d(_ConvolutionalNet):
    """Convolutional network on images.

    Layers of 3 x 3 convolutions, each followed by an activation and a max pooling of 2 x 2, as in
    LeNet [1]_; then an average over each quarter of the image, and a linear head.

    Parameters
    ----------
    n_inputs : int
        Number of input features: channels times height times width.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=16
        Channels of each convolution.
    depth : int, default=2
        Number of convolutions.
    activation : {"relu", "tanh", "gelu"}, default="relu"
        Activation after each convolution.
    normalization : {"none", "layer", "batch"}, default="none"
        Normalization between each convolution and its activation; "layer" is over all channels
        and positions of a sample.
    dropout : float, default=0.0
        Share of values that is dropped after each activation in training.
    input_shape : tuple (channels, height, width)
        Shape of one sample; the network takes samples flattened.

    Raises
    ------
    ValueError
        If `input_shape` does not fit, or the activation or the normalization is not known.

    References
    ----------
    .. [1] LeCun, Bottou, Bengio, Haffner (1998). Gradient-based learning applied to document
       recognition. Proceedings of the IEEE.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.zoo import CNN2d
    >>> CNN2d(64, 10, width=4, input_shape=(1, 8, 8))(torch.zeros(3, 64)).shape
    torch.Size([3, 10])
    """

    n_axes = 3
    kernel_size = 3
    convolution = nn.Conv2d
    max_pooling = nn.MaxPool2d
    average_pooling = nn.AdaptiveAvgPool2d


class CNN1dGlobal(CNN1d):
    """Convolutional network on series, with global average pooling.

    As `CNN1d`, but the head reads each channel's average over all positions [1]_: a network of few
    channels then has few parameters, whatever the length.

    Parameters
    ----------
    n_inputs : int
        Number of input features: channels times length.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=16
        Channels of each convolution.
    depth : int, default=2
        Number of convolutions.
    activation : {"relu", "tanh", "gelu"}, default="relu"
        Activation after each convolution.
    normalization : {"none", "layer", "batch"}, default="none"
        Normalization between each convolution and its activation.
    dropout : float, default=0.0
        Share of values that is dropped after each activation in training.
    input_shape : tuple (channels, length)
        Shape of one sample; the network takes samples flattened.

    References
    ----------
    .. [1] Lin, Chen, Yan (2014). Network in network. ICLR.

    Examples
    --------
    >>> from hessdiag.zoo import CNN1dGlobal
    >>> CNN1dGlobal(40, 10, width=4, input_shape=(1, 40)).head
    Linear(in_features=4, out_features=10, bias=True)
    """

    pooled = 1


class CNN2dGlobal(CNN2d):
    """Convolutional network on images, with global average pooling.

    As `CNN2d`, but the head reads each channel's average over all positions [1]_: a network of few
    channels then has few parameters, whatever the size.

    Parameters
    ----------
    n_inputs : int
        Number of input features: channels times height times width.
    n_outputs : int
        Number of outputs (logits, or regression targets).
    width : int, default=16
        Channels of each convolution.
    depth : int, default=2
        Number of convolutions.
    activation : {"relu", "tanh", "gelu"}, default="relu"
        Activation after each convolution.
    normalization : {"none", "layer", "batch"}, default="none"
        Normalization between each convolution and its activation.
    dropout : float, default=0.0
        Share of values that is dropped after each activation in training.
    input_shape : tuple (channels, height, width)
        Shape of one sample; the network takes samples flattened.

    References
    ----------
    .. [1] Lin, Chen, Yan (2014). Network in network. ICLR.

    Examples
    --------
    >>> from hessdiag.zoo import CNN2dGlobal
    >>> CNN2dGlobal(64, 10, width=4, input_shape=(1, 8, 8)).head
    Linear(in_features=4, out_features=10, bias=True)
    """

    pooled = 1
