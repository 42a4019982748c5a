"""Jacobians of layers in factored form, and how they are captured while a net runs."""

from hessdiag.curvature.factors._capture import (
    POSITION_WISE,
    capture_factors,
    each_factor,
    watching,
)
from hessdiag.curvature.factors._dense_factor import (
    DenseFactor,
)
from hessdiag.curvature.factors._embedding_factor import (
    EmbeddingFactor,
)
from hessdiag.curvature.factors._factor import (
    Factor,
)
from hessdiag.curvature.factors._factor_norms import (
    rows_of,
    squared_row_norms,
)
from hessdiag.curvature.factors._formed_gram import (
    FormedGram,
    form_gram,
    gram_pays,
)
from hessdiag.curvature.factors._gram_by_positions import (
    MAX_BLOCK_ENTRIES,
)
from hessdiag.curvature.factors._join import (
    join_factors,
)
from hessdiag.curvature.factors._joint_factor import (
    JointFactor,
)
from hessdiag.curvature.factors._outer_factor import (
    MAX_KEPT_ENTRIES,
    OuterFactor,
)
from hessdiag.curvature.factors._rules import (
    find_rule,
)

__all__ = [
    "MAX_BLOCK_ENTRIES",
    "MAX_KEPT_ENTRIES",
    "POSITION_WISE",
    "DenseFactor",
    "EmbeddingFactor",
    "Factor",
    "FormedGram",
    "JointFactor",
    "OuterFactor",
    "capture_factors",
    "each_factor",
    "find_rule",
    "form_gram",
    "gram_pays",
    "join_factors",
    "rows_of",
    "squared_row_norms",
    "watching",
]
