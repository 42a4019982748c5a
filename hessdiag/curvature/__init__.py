"""Curvature of a net's loss, layer by layer: selection, exact factors, products.

This package knows torch and nothing of scikit-learn's estimators. It works on a private copy of the
net, so that the user's one stays as it was found.
"""

from hessdiag.curvature._alo import (
    LeaveOneOut,
    WeightedGram,
    leave_one_out,
    output_hessian_roots,
    weighted_gram,
    weighted_gram_from_jacobian,
)
from hessdiag.curvature._checks import UnfittedNetworkError
from hessdiag.curvature._gram_statistics import gram_statistics
from hessdiag.curvature._wide_kernel import (
    arc_cosine_kernel,
    left_out_residuals,
    wide_kernel_statistics,
)

__all__ = [
    "LeaveOneOut",
    "UnfittedNetworkError",
    "WeightedGram",
    "arc_cosine_kernel",
    "gram_statistics",
    "leave_one_out",
    "left_out_residuals",
    "output_hessian_roots",
    "weighted_gram",
    "weighted_gram_from_jacobian",
    "wide_kernel_statistics",
]
