"""Measure: the one record of a number that describes a layer, a whole net or its context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hessdiag.features.measures._phrases import phrases_of

LEVELS = ("layer", "network", "context")


@dataclass(frozen=True)
class Measure:
    """One number that describes a layer, a whole net or its context.

    Tables, columns of features, reports and the page of the documentation are made from the
    records; what a measure is called stands in the one table of phrases.

    Parameters
    ----------
    name : str
        Name of the measure, as in the names of columns.
    family : str
        Family it belongs to, one of `hessdiag.features.measures.FAMILIES`.
    formula : str
        The measure as plain text, with its range and the meaning of its sign; symbols as on the
        page of `measures_page`.
    function : callable
        Called as ``function(layer, context)`` with a `LayerExamination` and the context of its
        `Examination`; returns a float, NaN where what it reads is missing. One of level
        ``"context"`` reads the context alone.
    reference : str or None, default=None
        Where the measure comes from; None for a plain one.
    level : {"layer", "network", "context"}, default="layer"
        ``"layer"`` describes each layer and the whole net, ``"network"`` the whole net alone,
        ``"context"`` what is known without curvature.

    Raises
    ------
    ValueError
        If `level` is none of the three.

    Examples
    --------
    >>> from hessdiag.features.measures import measure_named
    >>> measure_named("log_trace").words
    'total curvature (log10)'
    >>> measure_named("log_trace").high
    'the loss is sensitive to small weight changes'
    >>> measure_named("log_trace").docs
    'measures.html#measure-log-trace'
    """

    name: str
    family: str
    formula: str
    function: Callable
    reference: str | None = None
    level: str = "layer"

    def __post_init__(self):
        """Check the level."""
        if self.level not in LEVELS:
            raise ValueError(
                f"Expected the level of a measure among {LEVELS}, found {self.level!r}. "
                "Choose one of them."
            )

    @property
    def words(self) -> str:
        """str : The measure in words that a practitioner knows."""
        return phrases_of(self.name)[0]

    @property
    def high(self) -> str:
        """str : What a high value means, to follow "high means"."""
        return phrases_of(self.name)[1]

    @property
    def label(self) -> str:
        """str : Label of the measure's section in the documentation."""
        return "measure-" + self.name.replace("_", "-").replace(".", "-")

    @property
    def docs(self) -> str:
        """str : Address of the measure's section, within the documentation."""
        return f"measures.html#{self.label}"
