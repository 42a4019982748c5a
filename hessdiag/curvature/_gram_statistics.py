"""Statistics of a layer that need its Gram matrix and residuals, not only its spectrum."""

from __future__ import annotations

__all__ = ["gram_statistics"]


def gram_statistics(
    gram,
    output_hessian,
    residuals,
    outputs,
    targets,
    pointwise_loss,
    ridge_scale,
    multiples=(0.01, 0.1, 1.0, 10.0, 100.0),
    eig=None,
    n_parameters=None,
):
    """Return the statistics of one layer (or of the whole net) as a dict of floats."""
    raise NotImplementedError
