"""Measures of alignment: the layer's tangent kernel against the targets and the residuals."""

from __future__ import annotations

from functools import partial

from hessdiag.features.measures._measure import Measure
from hessdiag.features.measures._reading import statistic
from hessdiag.features.measures._references import CORTES, CRISTIANINI

_alignment = partial(Measure, family="alignment")

ALIGNMENT = (
    _alignment(
        name="target_alignment",
        formula="y' K y / (|K|_F |y|^2), y the targets minus their mean, in 0..1",
        function=statistic("target_alignment"),
        reference=CRISTIANINI,
    ),
    _alignment(
        name="residual_alignment",
        formula="r' K r / (|K|_F |r|^2), in 0..1",
        function=statistic("residual_alignment"),
        reference=CRISTIANINI,
    ),
    _alignment(
        name="centred_target_alignment",
        formula="y' K y / (|K|_F |y|^2), K and y centred over samples, in 0..1",
        function=statistic("centred_target_alignment"),
        reference=CORTES,
    ),
    _alignment(
        name="centred_residual_alignment",
        formula="r' K r / (|K|_F |r|^2), K and r centred over samples, in 0..1",
        function=statistic("centred_residual_alignment"),
        reference=CORTES,
    ),
    _alignment(
        name="residual_energy_outputs",
        formula="share of |B^+ r|^2 in the C leading eigenvectors of B' K B, in 0..1",
        function=statistic("residual_energy_outputs"),
    ),
    _alignment(
        name="residual_energy_tenth",
        formula=(
            "share of |B^+ r|^2 in the leading tenth of the min(p, N R) eigenvectors of B' K B, "
            "in 0..1"
        ),
        function=statistic("residual_energy_tenth"),
    ),
)
