"""Jacobians of layers in factored form, and how they are captured while a net runs."""

from hessdiag.curvature.factors._capture import (
    POSITION_WISE,
    activation_entries,
    capture_factors,
    each_factor,
    look_forward,
    watching,
)
from hessdiag.curvature.factors._factor_norms import (
    rows_of,
    squared_row_norms,
)
from hessdiag.curvature.factors._factors import (
    MAX_BLOCK_ENTRIES,
    MAX_KEPT_ENTRIES,
    DenseFactor,
    OuterFactor,
    join_factors,
)
from hessdiag.curvature.factors._formed_gram import (
    form_gram,
    gram_pays,
)
from hessdiag.curvature.factors._rules import (
    find_rule,
)

__all__ = [
    "MAX_BLOCK_ENTRIES",
    "MAX_KEPT_ENTRIES",
    "POSITION_WISE",
    "DenseFactor",
    "OuterFactor",
    "activation_entries",
    "capture_factors",
    "each_factor",
    "find_rule",
    "form_gram",
    "gram_pays",
    "join_factors",
    "look_forward",
    "rows_of",
    "squared_row_norms",
    "watching",
]
