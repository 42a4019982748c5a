"""The measures: one record for each, and what follows from the records.

A new measure is one entry in the file of its family, which reads a statistic that the examination
makes or a function of the spectrum, and its words in the table of phrases; the columns of features,
the words of reports and the page of the documentation follow.
"""

from hessdiag.features.measures._measure import (
    Measure,
)
from hessdiag.features.measures._page import (
    measures_page,
)
from hessdiag.features.measures._phrases import (
    phrases_of,
)
from hessdiag.features.measures._registry import (
    CONTEXT_MEASURES,
    DIAGNOSTIC_FAMILIES,
    FAMILIES,
    FAMILY_OF,
    LAYER_FAMILIES,
    LAYER_MEASURES,
    MEASURES,
    NETWORK_FAMILIES,
    NETWORK_MEASURES,
    in_words,
    measure_named,
)

__all__ = [
    "CONTEXT_MEASURES",
    "DIAGNOSTIC_FAMILIES",
    "FAMILIES",
    "FAMILY_OF",
    "LAYER_FAMILIES",
    "LAYER_MEASURES",
    "MEASURES",
    "NETWORK_FAMILIES",
    "NETWORK_MEASURES",
    "Measure",
    "in_words",
    "measure_named",
    "measures_page",
    "phrases_of",
]
