"""SpectralFeatures: examinations of networks of any depth to a table of fixed width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from hessdiag.examination import Examination
from hessdiag.features._check_list import check_list
from hessdiag.features._layer_table import LayerTable, layer_table
from hessdiag.features._skipped_case import SkippedCase
from hessdiag.features.measures import (
    CONTEXT_MEASURES,
    DIAGNOSTIC_FAMILIES,
    FAMILIES,
    FAMILY_OF,
    LAYER_FAMILIES,
    NETWORK_FAMILIES,
)


def _trend(values):
    """Least-squares slope over relative depth, from 0 (first layer) to 1 (last)."""
    n_layers = values.shape[-2]
    if n_layers == 1:
        return np.zeros((*values.shape[:-2], values.shape[-1]))
    depth = np.linspace(-0.5, 0.5, n_layers)
    return depth @ (values - values.mean(axis=-2, keepdims=True)) / (depth @ depth)


# Each maps (..., n_layers, n_measures) without gaps to (..., n_measures).
POOLINGS = {
    "first": lambda values: values[..., 0, :],
    "last": lambda values: values[..., -1, :],
    "min": lambda values: values.min(axis=-2),
    "max": lambda values: values.max(axis=-2),
    "mean": lambda values: values.mean(axis=-2),
    "trend": _trend,
}

# Networks that are pooled at once: some MB.
_AT_ONCE = 500


class SpectralFeatures(TransformerMixin, BaseEstimator):
    """Turn examinations into a table of fixed width.

    Each measure of each layer is pooled over the layers in forward order, so that networks of any
    depth give the same columns. Measures of the whole net and of its context stand beside them.

    Parameters
    ----------
    families : tuple of str, default=hessdiag.features.DIAGNOSTIC_FAMILIES
        Families of measures to use: ``"shape"``, ``"scale"``, ``"noise"``, ``"loo"``,
        ``"alignment"``, ``"attainable"``, ``"between"``, ``"context"``, and, not by default,
        ``"hessian"``: what Hessians have beyond their Gauss-Newton matrices, which takes most of
        an examination's time and changes no diagnosis.
    pooling : tuple of str, default=("first", "last", "min", "max", "mean", "trend")
        Ways to pool over layers. ``trend`` is the least-squares slope over relative depth.
    include_network : bool, default=True
        Whether the measures of the whole net are columns too: those from the sum of the layers'
        Gram matrices, and the family ``"between"``, which no layer has.

    Attributes
    ----------
    n_features_out_ : int
        Number of columns.

    See Also
    --------
    LayerSpectra : Makes the examinations.

    Examples
    --------
    >>> from hessdiag import SpectralFeatures
    >>> names = SpectralFeatures(families=("alignment",), pooling=("last",)).get_feature_names_out()
    >>> names[:2].tolist()
    ['last__target_alignment', 'last__residual_alignment']
    """

    _parameter_constraints = {  # noqa: RUF012
        "families": [list, tuple],
        "pooling": [list, tuple],
        "include_network": ["boolean"],
    }

    def __init__(
        self,
        families: tuple[str, ...] = DIAGNOSTIC_FAMILIES,
        pooling: tuple[str, ...] = ("first", "last", "min", "max", "mean", "trend"),
        include_network: bool = True,
    ) -> None:
        self.families = families
        self.pooling = pooling
        self.include_network = include_network

    def __sklearn_tags__(self):
        """Declare that the input is a list of objects, and that nothing is learned."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags

    def fit(self, X: Sequence[Examination | LayerTable | SkippedCase], y: Any = None) -> Self:
        """Check the parameters and the input; nothing is learned.

        Parameters
        ----------
        X : list of Examination, LayerTable or SkippedCase
            Examined networks.
        y : ignored
            Present for pipelines.

        Returns
        -------
        self : SpectralFeatures
            The transformer.
        """
        self._check_parameters()
        _check_examinations(X)
        self.n_features_out_ = len(self.get_feature_names_out())
        return self

    @np.errstate(all="ignore")
    def transform(self, X: Sequence[Examination | LayerTable | SkippedCase]) -> np.ndarray:
        """Pool the measures of each network.

        Parameters
        ----------
        X : list of Examination, LayerTable or SkippedCase
            Examined networks; a skipped one gives a row of NaN.

        Returns
        -------
        table : ndarray of shape (n_networks, n_features)
            One row per network; a data frame after ``set_output(transform="pandas")``.
        """
        self._check_parameters()
        _check_examinations(X)
        found = np.full((len(X), len(self.get_feature_names_out())), np.nan)
        alike: dict[int, list[int]] = {}
        tables = [layer_table(item) if isinstance(item, Examination) else item for item in X]
        for place, table in enumerate(tables):
            if not isinstance(table, SkippedCase):
                alike.setdefault(len(table.layers), []).append(place)
        for places in alike.values():
            for start in range(0, len(places), _AT_ONCE):
                some = places[start : start + _AT_ONCE]
                found[some] = self._rows([tables[place] for place in some])
        return found

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : ignored
            Present for pipelines; the columns do not depend on the input.

        Returns
        -------
        names : ndarray of str
            Names such as ``"last__target_alignment"``, ``"network__log_trace"``, ``"n_layers"``.
        """
        self._check_parameters()
        names = []
        for family in self.families:
            if family == "context":
                names += list(CONTEXT_MEASURES)
                continue
            if family in NETWORK_FAMILIES:
                if self.include_network:
                    names += [f"network__{name}" for name in NETWORK_FAMILIES[family]]
                continue
            places = [*self.pooling, *(["network"] if self.include_network else [])]
            names += [f"{place}__{name}" for place in places for name in LAYER_FAMILIES[family]]
        return np.array(names, dtype=object)

    def get_feature_families_out(self) -> np.ndarray:
        """Return the family that each column belongs to.

        Returns
        -------
        families : ndarray of str
            One of `families` for each of `get_feature_names_out`.
        """
        stems = (name.rpartition("__")[2] for name in self.get_feature_names_out())
        return np.array([FAMILY_OF[stem] for stem in stems], dtype=object)

    def _rows(self, tables):
        """Columns of networks that have the same number of layers."""
        parts = []
        for family in self.families:
            if family == "context":
                names = CONTEXT_MEASURES
                parts.append([[table.context[name] for name in names] for table in tables])
                continue
            if family in NETWORK_FAMILIES:
                if self.include_network:
                    # Tables that an earlier version kept do not have them.
                    names = NETWORK_FAMILIES[family]
                    parts.append([[t.network.get(name, np.nan) for name in names] for t in tables])
                continue
            names = LAYER_FAMILIES[family]
            values = np.array([[table.measures[name] for name in names] for table in tables], float)
            values = values.transpose(0, 2, 1)
            parts += [_pool(POOLINGS[way], values) for way in self.pooling]
            if self.include_network:
                parts.append([[table.network[name] for name in names] for table in tables])
        return np.concatenate([np.asarray(part, dtype=float) for part in parts], axis=1)

    def _check_parameters(self):
        """Validate types, then the words in both tuples."""
        self._validate_params()
        for name, known in (("families", FAMILIES), ("pooling", tuple(POOLINGS))):
            values = getattr(self, name)
            unknown = [value for value in values if value not in known]
            if unknown or (name == "families" and not values):
                raise ValueError(
                    f"Expected `{name}` to be taken from {known}, found {tuple(values)!r}. "
                    f"Leave out {unknown or 'the empty tuple'}."
                )


def _pool(function, values):
    """Pool each measure over the layers where it applies; NaN where it applies to none.

    Values are (n_networks, n_layers, n_measures).
    """
    present = np.isfinite(values)
    pooled = np.where(present.all(axis=1), function(np.where(present, values, 0.0)), np.nan)
    networks, measures = np.nonzero(present.any(axis=1) & ~present.all(axis=1))
    if not len(networks):
        return pooled
    # At once for all that apply to the same layers.
    own, applies = values[networks, :, measures], present[networks, :, measures]
    patterns, kinds = np.unique(applies, axis=0, return_inverse=True)
    for kind, pattern in enumerate(patterns):
        rows = np.flatnonzero(kinds.ravel() == kind)
        found = function(own[np.ix_(rows, np.flatnonzero(pattern))][:, :, None])[:, 0]
        pooled[networks[rows], measures[rows]] = found
    return pooled


def _check_examinations(X):
    """Refuse anything but a non-empty list of examined networks."""
    check_list(X, (Examination, LayerTable, SkippedCase), "examined networks", "LayerSpectra")
