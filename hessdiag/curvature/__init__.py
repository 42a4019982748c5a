"""Curvature of a net's loss, layer by layer: selection, exact factors, products.

This package knows torch and nothing of scikit-learn's estimators. It works on a private copy of the
net, so that the user's one stays as it was found.
"""

from hessdiag.curvature._chunk_size import (
    fitting_chunks,
)
from hessdiag.curvature._derivative_check import (
    with_checked_derivatives,
)
from hessdiag.curvature._footprint import (
    dense_bytes,
    held_bytes,
)
from hessdiag.curvature._local_curvature import (
    LocalCurvature,
)
from hessdiag.curvature._output_sketch import (
    random_roots,
)
from hessdiag.curvature._prepare import (
    prepare,
)
from hessdiag.curvature._resolution import (
    Resolution,
    measure_resolution,
)
from hessdiag.curvature._workload import (
    capture_bytes,
    pass_operations,
    pass_seconds,
    product_operations,
    sweep_bytes,
    sweep_groups,
    vectors_at_once,
)
from hessdiag.curvature.network import (
    UnfittedNetworkError,
)
from hessdiag.moved import moved_names

__all__ = [
    "LocalCurvature",
    "Resolution",
    "UnfittedNetworkError",
    "capture_bytes",
    "dense_bytes",
    "fitting_chunks",
    "held_bytes",
    "measure_resolution",
    "pass_operations",
    "pass_seconds",
    "prepare",
    "product_operations",
    "random_roots",
    "sweep_bytes",
    "sweep_groups",
    "vectors_at_once",
    "with_checked_derivatives",
]

__getattr__ = moved_names(
    __name__,
    dict.fromkeys(
        (
            "LeaveOneOut",
            "WeightedGram",
            "arc_cosine_kernel",
            "gram_statistics",
            "leave_one_out",
            "left_out_residuals",
            "output_hessian_roots",
            "weighted_gram",
            "weighted_gram_from_jacobian",
            "wide_kernel_statistics",
        ),
        "hessdiag.examination",
    ),
)
