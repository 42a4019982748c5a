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
from hessdiag.curvature._blocks import Block
from hessdiag.curvature._checks import UnfittedNetworkError
from hessdiag.curvature._data import sample_indices
from hessdiag.curvature._factors import DenseFactor, OuterFactor
from hessdiag.curvature._gram_statistics import gram_statistics
from hessdiag.curvature._linear_hessian import LinearHessian, linear_hessians
from hessdiag.curvature._local_curvature import LocalCurvature
from hessdiag.curvature._memory import available_memory
from hessdiag.curvature._pointwise_loss import PointwiseLoss
from hessdiag.curvature._task import Task, null_loss
from hessdiag.curvature._working_copy import untouched_surroundings

__all__ = [
    "Block",
    "DenseFactor",
    "LeaveOneOut",
    "LinearHessian",
    "LocalCurvature",
    "OuterFactor",
    "PointwiseLoss",
    "Task",
    "UnfittedNetworkError",
    "WeightedGram",
    "available_memory",
    "gram_statistics",
    "leave_one_out",
    "linear_hessians",
    "null_loss",
    "output_hessian_roots",
    "sample_indices",
    "untouched_surroundings",
    "weighted_gram",
    "weighted_gram_from_jacobian",
]
