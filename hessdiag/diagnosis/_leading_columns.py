"""Which columns of a table lead: the most informative ones, few as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

#: Families of features that lead. Beside hundreds of columns of other families the hundred of this
#: one would count for little; it is the one that estimates what a diagnosis is about, the loss to
#: be expected where there is no sample.
LEADING_FAMILIES = ("between",)


def leading_columns(features: BaseEstimator) -> np.ndarray | None:
    """Find which columns of some features lead.

    Parameters
    ----------
    features : transformer
        As `hessdiag.SpectralFeatures`, with ``get_feature_families_out``.

    Returns
    -------
    leading : ndarray of bool of shape (n_features,) or None
        For `TableDiagnoser.fit`; None where the families of the columns are not known.
    """
    if not hasattr(features, "get_feature_families_out"):
        return None
    return np.isin(features.get_feature_families_out().astype(str), LEADING_FAMILIES)
