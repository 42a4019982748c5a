"""Examining one case: all layers' spectra, and what follows from a net and its data besides."""

from hessdiag.examination._between_samples import (
    BETWEEN_STATISTICS,
)
from hessdiag.examination._examination import (
    Examination,
    LayerExamination,
)
from hessdiag.examination._gram_statistics import (
    gram_statistics,
)
from hessdiag.examination._leave_one_out import (
    LeaveOneOut,
    WeightedGram,
    leave_one_out,
    output_hessian_roots,
    weighted_gram,
    weighted_gram_from_jacobian,
)
from hessdiag.examination._local_hessians import (
    LocalHessians,
    examine,
)
from hessdiag.examination._wide_kernel import (
    arc_cosine_kernel,
    left_out_residuals,
    wide_kernel_statistics,
)

__all__ = [
    "BETWEEN_STATISTICS",
    "Examination",
    "LayerExamination",
    "LeaveOneOut",
    "LocalHessians",
    "WeightedGram",
    "arc_cosine_kernel",
    "examine",
    "gram_statistics",
    "leave_one_out",
    "left_out_residuals",
    "output_hessian_roots",
    "weighted_gram",
    "weighted_gram_from_jacobian",
    "wide_kernel_statistics",
]
