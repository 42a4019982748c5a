"""The architecture families that the zoo trains."""

from hessdiag.zoo.networks._attention import (
    AttentionNet,
)
from hessdiag.zoo.networks._convolutional import (
    CNN1d,
    CNN2d,
)
from hessdiag.zoo.networks._mlp import (
    FAMILIES,
    MLP,
    SHAPED_FAMILIES,
)
from hessdiag.zoo.networks._residual_mlp import (
    ResidualMLP,
)

__all__ = [
    "FAMILIES",
    "MLP",
    "SHAPED_FAMILIES",
    "AttentionNet",
    "CNN1d",
    "CNN2d",
    "ResidualMLP",
]
