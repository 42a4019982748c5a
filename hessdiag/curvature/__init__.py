"""Curvature of a net's loss, layer by layer: selection, exact factors, products.

This package knows torch and nothing of scikit-learn's estimators. It works on a private copy of the
net, so that the user's one stays as it was found.
"""

from hessdiag.curvature._blocks import Block
from hessdiag.curvature._checks import UnfittedNetworkError
from hessdiag.curvature._factors import DenseFactor, OuterFactor
from hessdiag.curvature._local_curvature import LocalCurvature

__all__ = ["Block", "DenseFactor", "LocalCurvature", "OuterFactor", "UnfittedNetworkError"]
