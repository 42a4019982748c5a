"""What a table's regression is given beside the table, checked."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import column_or_1d


def one_or_several(name, value, wanted, bound=None):
    """A parameter as a list of numbers above 0 and, where there is a bound, below it."""
    values = list(value) if isinstance(value, (tuple, list)) else [value]
    fit = [isinstance(v, Real) and v > 0 and (bound is None or v < bound) for v in values]
    if not values or not all(fit):
        raise ValueError(f"Expected {name} to be {wanted} or several, found {value!r}. Try 0.5.")
    return values


def check_leading(leading, X):
    """Leading columns as an array of bool; None where none or all lead."""
    if leading is None:
        return None
    leading = np.asarray(leading)
    if leading.shape != X.shape[1:] or leading.dtype != bool:
        raise ValueError(
            f"Expected `leading` with a boolean for each of the {X.shape[1]} columns, found "
            f"shape {leading.shape} of type {leading.dtype}. Pass a boolean array."
        )
    return leading if 0 < leading.sum() < len(leading) else None


def check_groups(groups, X):
    """Groups as an array; a group for each network where None."""
    if groups is None:
        return np.arange(len(X))
    groups = column_or_1d(np.asarray(groups))
    check_consistent_length(X, groups)
    if len(np.unique(groups)) < 2:
        raise ValueError(
            "Expected at least two groups, so that one can be left out, found one. "
            "Pass groups=None to leave out single networks."
        )
    return groups
