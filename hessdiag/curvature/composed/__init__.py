"""Layers that torch cannot derive twice, made of plain functions of the same values."""

from hessdiag.curvature.composed._bags import compose_bags
from hessdiag.curvature.composed._weight_norms import compose_weight_norms

__all__ = ["compose_bags", "compose_weight_norms"]
