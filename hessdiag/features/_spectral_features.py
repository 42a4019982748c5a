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
    FAMILIES,
    FAMILY_OF,
    LAYER_FAMILIES,
    NETWORK_FAMILIES,
)


def _trend(values):
    """Least-squares slope over relative depth, from 0 (first layer) to 1 (last)."""
    if len(values) == 1:
        return np.zeros(values.shape[1:])
    depth = np.linspace(-0.5, 0.5, len(values))
    return depth @ (values - values.mean(axis=0)) / (depth @ depth)


# Each maps (n_layers, n_measures) without gaps to (n_measures,).
POOLINGS = {
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "min": lambda values: values.min(axis=0),
    "max": lambda values: values.max(axis=0),
    "mean": lambda values: values.mean(axis=0),
    "trend": _trend,
}


class SpectralFeatures(TransformerMixin, BaseEstimator):
    """Turn examinations into a table of fixed width.

    Each measure of each layer is pooled over the layers in forward order, so that networks of any
    depth give the same columns. Measures of the whole net and of its context stand beside them.

    Parameters
    ----------
    families : tuple of str, default=hessdiag.features.FAMILIES
        Families of measures to use, all of them by default: ``"shape"``, ``"scale"``,
        ``"noise"``, ``"loo"``, ``"alignment"``, ``"attainable"``, ``"between"``,
        ``"context"``.
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
        families: tuple[str, ...] = FAMILIES,
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
        width = len(self.get_feature_names_out())
        rows = [
            np.full(width, np.nan)
            if isinstance(item, SkippedCase)
            else self._row(layer_table(item) if isinstance(item, Examination) else item)
            for item in X
        ]
        return np.array(rows, dtype=float).reshape(len(rows), width)

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

    def _row(self, table):
        """Columns of one network."""
        parts = []
        for family in self.families:
            if family == "context":
                parts.append([table.context[name] for name in CONTEXT_MEASURES])
                continue
            if family in NETWORK_FAMILIES:
                if self.include_network:
                    # Tables that an earlier version kept do not have them.
                    names = NETWORK_FAMILIES[family]
                    parts.append([table.network.get(name, np.nan) for name in names])
                continue
            names = LAYER_FAMILIES[family]
            values = np.array([table.measures[name] for name in names], dtype=float).T
            parts += [_pool(POOLINGS[way], values) for way in self.pooling]
            if self.include_network:
                parts.append([table.network[name] for name in names])
        return np.concatenate(parts)

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
    """Pool each measure over the layers where it applies; NaN where it applies to none."""
    present = np.isfinite(values)
    whole = present.all(axis=0)
    pooled = np.full(values.shape[1], np.nan)
    if whole.any():
        pooled[whole] = function(values[:, whole])
    for column in np.flatnonzero(present.any(axis=0) & ~whole):
        pooled[column] = function(values[present[:, column], column][:, None])[0]
    return pooled


def _check_examinations(X):
    """Refuse anything but a non-empty list of examined networks."""
    check_list(X, (Examination, LayerTable, SkippedCase), "examined networks", "LayerSpectra")
