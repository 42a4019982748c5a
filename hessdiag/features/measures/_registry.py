"""All measures, and what follows from their records: families, words, look-ups."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hessdiag.features.measures._alignment import ALIGNMENT
from hessdiag.features.measures._attainable import ATTAINABLE
from hessdiag.features.measures._between import BETWEEN
from hessdiag.features.measures._context import CONTEXT
from hessdiag.features.measures._hessian import HESSIAN
from hessdiag.features.measures._loo import LOO
from hessdiag.features.measures._noise import NOISE
from hessdiag.features.measures._scale import SCALE
from hessdiag.features.measures._shape import SHAPE

if TYPE_CHECKING:
    from hessdiag.features.measures._measure import Measure

#: Every measure, in the order of columns.
MEASURES = (*SHAPE, *HESSIAN, *SCALE, *NOISE, *LOO, *ALIGNMENT, *ATTAINABLE, *BETWEEN, *CONTEXT)

_BY_NAME = {measure.name: measure for measure in MEASURES}


def _families_of(level):
    """Functions of the measures of one level: {family: {name: function}}."""
    families = {}
    for measure in MEASURES:
        if measure.level == level:
            families.setdefault(measure.family, {})[measure.name] = measure.function
    return families


def _functions_of(families):
    """Functions of all families by name."""
    return {name: function for family in families.values() for name, function in family.items()}


#: Families in the order of columns.
FAMILIES = tuple(dict.fromkeys(measure.family for measure in MEASURES))

#: Those that diagnoses are made from: all but what asks for Hessians themselves, which takes most
#: of the time and changes no answer (`benchmarks/examinations.py`).
DIAGNOSTIC_FAMILIES = tuple(family for family in FAMILIES if family != "hessian")

#: Family of each measure by its name.
FAMILY_OF = {measure.name: measure.family for measure in MEASURES}

#: Functions ``(layer, context) -> float`` by family and name, of each layer and of the whole net.
LAYER_FAMILIES = _families_of("layer")

#: The same functions by name.
LAYER_MEASURES = _functions_of(LAYER_FAMILIES)

#: Functions by family and name, of the whole net alone, beside those of its layers.
NETWORK_FAMILIES = _families_of("network")

#: The same functions by name.
NETWORK_MEASURES = _functions_of(NETWORK_FAMILIES)

#: Functions ``(context) -> float`` by name, of what is known without curvature.
CONTEXT_MEASURES = {
    measure.name: partial(measure.function, None)
    for measure in MEASURES
    if measure.level == "context"
}


def measure_named(name: str) -> Measure:
    """Look up the record of a measure.

    Parameters
    ----------
    name : str
        Name of a measure of a layer, of the whole net or of the context.

    Returns
    -------
    measure : Measure
        Its record.

    Raises
    ------
    KeyError
        If there is no measure of this name.

    Examples
    --------
    >>> from hessdiag.features.measures import measure_named
    >>> measure_named("log_trace").formula
    'log10(sum_i l_i)'
    """
    if name not in _BY_NAME:
        raise KeyError(
            f"Expected the name of a measure, found {name!r}. Choose one of "
            "hessdiag.features.FAMILY_OF."
        )
    return _BY_NAME[name]


def in_words(measure: str) -> str:
    """Say a measure in words.

    Parameters
    ----------
    measure : str
        Name of a measure of a layer, of the whole net or of the context.

    Returns
    -------
    words : str
        A phrase; the strength of regularization is named where the measure has one.

    Raises
    ------
    KeyError
        If there is no measure of this name.

    Examples
    --------
    >>> from hessdiag.features import in_words
    >>> in_words("alo_loss_0.1")
    'estimated loss on new data (leave-one-out, weak regularization)'
    """
    return measure_named(measure).words
