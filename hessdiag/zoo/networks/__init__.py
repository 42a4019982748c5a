"""The architecture families that the zoo trains."""

from hessdiag.zoo.networks._attention import (
    AttentionNet,
)
from hessdiag.zoo.networks._convolutional import (
    CNN1d,
    CNN1dGlobal,
    CNN2d,
    CNN2dGlobal,
)
from hessdiag.zoo.networks._families import (
    FAMILIES,
    FORMS_OF_FAMILIES,
    SHAPED_FAMILIES,
)
from hessdiag.zoo.networks._mixer import (
    MixerNet,
)
from hessdiag.zoo.networks._mlp import (
    MLP,
)
from hessdiag.zoo.networks._recurrent import (
    GRUNet,
    LSTMNet,
)
from hessdiag.zoo.networks._residual_cnn import (
    ResNet,
    ResNet1d,
)
from hessdiag.zoo.networks._residual_mlp import (
    ResidualMLP,
)
from hessdiag.zoo.networks._text_cnn import (
    TextCNN,
)
from hessdiag.zoo.networks._transformer import (
    TransformerNet,
)

__all__ = [
    "FAMILIES",
    "FORMS_OF_FAMILIES",
    "MLP",
    "SHAPED_FAMILIES",
    "AttentionNet",
    "CNN1d",
    "CNN1dGlobal",
    "CNN2d",
    "CNN2dGlobal",
    "GRUNet",
    "LSTMNet",
    "MixerNet",
    "ResNet",
    "ResNet1d",
    "ResidualMLP",
    "TextCNN",
    "TransformerNet",
]
