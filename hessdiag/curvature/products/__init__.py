"""Products with local Hessians and Gauss-Newton matrices, by passes through the net."""

from hessdiag.curvature.products._cross_products import (
    CrossProducts,
)
from hessdiag.curvature.products._gauss_newton_products import (
    GaussNewtonProducts,
    OutputProducts,
)
from hessdiag.curvature.products._hessian_products import (
    HessianProducts,
)
from hessdiag.curvature.products._layer_scalars import (
    LayerProducts,
    LayerScalars,
)
from hessdiag.curvature.products._linear_hessian import (
    COLUMNS_AT_ONCE,
    linear_hessians,
)
from hessdiag.curvature.products._problem import (
    Problem,
)
from hessdiag.curvature.products._smooth_functions import (
    KeptDerivatives,
)

__all__ = [
    "COLUMNS_AT_ONCE",
    "CrossProducts",
    "GaussNewtonProducts",
    "HessianProducts",
    "KeptDerivatives",
    "LayerProducts",
    "LayerScalars",
    "OutputProducts",
    "Problem",
    "linear_hessians",
]
