"""Measures of what Hessians have beyond their Gauss-Newton matrices: negative curvature, and gaps.

They are NaN where only the Gauss-Newton matrix was looked at: that of the whole net always, and
that of a layer whose Hessian may differ and was left out.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from hessdiag.features.measures._measure import Measure
from hessdiag.features.measures._reading import FLOOR, ggn, statistic
from hessdiag.features.measures._references import ALAIN, SAGUN, SCHRAUDOLPH
from hessdiag.spectra import negative_mass

_hessian = partial(Measure, family="hessian")


def _of_hessian(function):
    """A number of the Hessian's spectrum; NaN where that is not known."""

    def read(layer, context):
        return np.nan if layer.spectrum.curvature == "ggn" else function(layer)

    return read


HESSIAN = (
    _hessian(
        name="negative_mass",
        formula="sum_{h_i < 0} |h_i| / sum_i |h_i|, in 0..1; 0 where no h_i is negative",
        function=_of_hessian(lambda layer: negative_mass(layer.spectrum)),
        reference=ALAIN,
    ),
    _hessian(
        name="negative_ratio",
        formula="max(0, -min_i h_i) / max_i l_i, at least 0",
        function=_of_hessian(
            lambda layer: (
                max(0.0, -layer.spectrum.min_eigenvalue) / max(ggn(layer).max_eigenvalue, FLOOR)
            )
        ),
        reference=SAGUN,
    ),
    _hessian(
        name="gn_gap",
        formula="|H v - G v| / |H v| for a random direction v, at least 0",
        function=statistic("gn_gap"),
        reference=SCHRAUDOLPH,
    ),
)
