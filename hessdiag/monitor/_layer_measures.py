"""Measures of a layer in units of the loss and in numbers of directions, as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hessdiag.spectra import MEASURES

if TYPE_CHECKING:
    from hessdiag.examination import Examination, LayerExamination

# Eigenvalues below this share of the largest are rounding of zero.
RANK_TOLERANCE = 1e-10

_OF_HESSIANS = ("trace", "max_eigenvalue", "min_eigenvalue")
_OF_GAUSS_NEWTON = ("stable_rank", "participation_ratio", "effective_rank", "n_outliers")

#: Names of what `raw_measures` returns.
RAW_MEASURES = (*_OF_HESSIANS, *_OF_GAUSS_NEWTON, "rank_fraction", "effective_dimension")


def raw_measures(layer: LayerExamination, examination: Examination) -> dict[str, float]:
    """Return measures in units of the loss and in numbers of directions, untransformed.

    Parameters
    ----------
    layer : LayerExamination
        A layer, or the whole net.
    examination : Examination
        The examination it belongs to.

    Returns
    -------
    measures : dict of str to float
        ``trace``, ``max_eigenvalue``, ``min_eigenvalue`` of the local Hessian (of the Gauss-Newton
        matrix for the whole net, and where that alone was looked at); ``stable_rank``,
        ``participation_ratio``, ``effective_rank``, ``rank_fraction`` of the local Gauss-Newton
        matrix, the last one being the share of its largest possible rank,
        ``min(p, N rank(Lambda))``, that eigenvalues above 1e-10 of the largest fill;
        ``n_outliers``; ``effective_dimension`` under the prior of precision ``p / |w|^2``. NaN
        where something was not measured.

    Examples
    --------
    >>> import hessdiag as hd
    >>> from hessdiag.monitor import raw_measures
    >>> from hessdiag.testing import make_case
    >>> case = make_case()
    >>> examination = hd.examine(case.net, case.X, case.y)
    >>> measures = raw_measures(examination.layers[0], examination)
    >>> measures["max_eigenvalue"] == examination.layers[0].spectrum.max_eigenvalue
    True
    """
    spectrum = layer.spectrum
    ggn = spectrum if layer.ggn_spectrum is None else layer.ggn_spectrum
    with np.errstate(all="ignore"):
        found = {name: MEASURES[name](spectrum) for name in _OF_HESSIANS}
        found |= {name: MEASURES[name](ggn) for name in _OF_GAUSS_NEWTON}
        found["rank_fraction"] = _rank_fraction(layer, ggn, dict(examination.context))
    found["effective_dimension"] = layer.statistics.get("effective_dimension_1", np.nan)
    return {name: float(value) for name, value in found.items()}


def _rank_fraction(layer, ggn, context: dict[str, Any]):
    """Share of the largest rank that is possible."""
    n_outputs = context["n_outputs"] - (context["task"] == "classification")
    if not np.isfinite(n_outputs):
        return np.nan
    bound = min(layer.n_params, context["n_samples_examined"] * max(1, n_outputs))
    filled = ggn.nodes > RANK_TOLERANCE * ggn.nodes.max()
    return ggn.n_params * ggn.weights[filled].sum() / bound
