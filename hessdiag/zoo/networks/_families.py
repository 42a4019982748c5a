"""The table of the zoo's architecture families."""

from __future__ import annotations

from hessdiag.zoo.networks._attention import AttentionNet
from hessdiag.zoo.networks._convolutional import CNN1d, CNN1dGlobal, CNN2d, CNN2dGlobal
from hessdiag.zoo.networks._mixer import MixerNet
from hessdiag.zoo.networks._mlp import MLP
from hessdiag.zoo.networks._recurrent import GRUNet, LSTMNet
from hessdiag.zoo.networks._residual_cnn import ResNet, ResNet1d
from hessdiag.zoo.networks._residual_mlp import ResidualMLP
from hessdiag.zoo.networks._text_cnn import TextCNN
from hessdiag.zoo.networks._transformer import TransformerNet

#: Module class of each architecture family of `Recipe`.
FAMILIES = {
    "mlp": MLP,
    "residual_mlp": ResidualMLP,
    "cnn1d": CNN1d,
    "cnn2d": CNN2d,
    "attention": AttentionNet,
    "cnn1d_global": CNN1dGlobal,
    "cnn2d_global": CNN2dGlobal,
    "resnet1d": ResNet1d,
    "resnet": ResNet,
    "gru": GRUNet,
    "lstm": LSTMNet,
    "transformer": TransformerNet,
    "mixer": MixerNet,
    "textcnn": TextCNN,
}

#: Forms of samples that each family takes: a table's rows, series, images, sequences of token ids.
FORMS_OF_FAMILIES = {
    "mlp": ("tabular", "series", "image"),
    "residual_mlp": ("tabular", "series", "image"),
    "cnn1d": ("series",),
    "cnn2d": ("image",),
    "attention": ("tabular", "series", "image"),
    "cnn1d_global": ("series",),
    "cnn2d_global": ("image",),
    "resnet1d": ("series",),
    "resnet": ("image",),
    "gru": ("series", "image", "tokens"),
    "lstm": ("series", "image", "tokens"),
    "transformer": ("series", "image", "tokens"),
    "mixer": ("series", "image"),
    "textcnn": ("tokens",),
}

#: Families whose classes take ``input_shape``.
SHAPED_FAMILIES = tuple(name for name in FAMILIES if name not in ("mlp", "residual_mlp"))
