"""From networks to tables: examinations, measures of layers, columns of fixed width."""

from hessdiag.features._kept_examinations import (
    counted_examinations,
    forget_examinations,
)
from hessdiag.features._layer_spectra import (
    LayerSpectra,
)
from hessdiag.features._layer_table import (
    LayerTable,
    layer_table,
)
from hessdiag.features._skipped_case import (
    SkippedCase,
    SkippedCaseWarning,
)
from hessdiag.features._spectral_features import (
    SpectralFeatures,
)
from hessdiag.features.measures import (
    CONTEXT_MEASURES,
    DIAGNOSTIC_FAMILIES,
    FAMILIES,
    FAMILY_OF,
    LAYER_FAMILIES,
    LAYER_MEASURES,
    NETWORK_FAMILIES,
    NETWORK_MEASURES,
    in_words,
)

__all__ = [
    "CONTEXT_MEASURES",
    "DIAGNOSTIC_FAMILIES",
    "FAMILIES",
    "FAMILY_OF",
    "LAYER_FAMILIES",
    "LAYER_MEASURES",
    "NETWORK_FAMILIES",
    "NETWORK_MEASURES",
    "LayerSpectra",
    "LayerTable",
    "SkippedCase",
    "SkippedCaseWarning",
    "SpectralFeatures",
    "counted_examinations",
    "forget_examinations",
    "in_words",
    "layer_table",
]
