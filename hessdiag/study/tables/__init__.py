"""The tables of the study, and what figures, findings and claims pick out of them."""

from hessdiag.study.tables._correlation_rows import (
    N_STRONGEST,
    SIGNIFICANT,
    SPECTRAL_FAMILIES,
    best_of_families,
    correlation_row,
    correlation_rows,
    expressive_rows,
    spectral,
    times,
    within,
)
from hessdiag.study.tables._places import EXPECTED_DIAGNOSES, LAYER_PLACES, PLACES, REGIMES
from hessdiag.study.tables._selection import (
    by_regime,
    ends,
    finite,
    has_values,
    key_measures,
    pairs_at_end,
    phi_rows,
    present_regimes,
    quartiles,
    starts,
)
from hessdiag.study.tables._study_tables import StudyTables

__all__ = [
    "EXPECTED_DIAGNOSES",
    "LAYER_PLACES",
    "N_STRONGEST",
    "PLACES",
    "REGIMES",
    "SIGNIFICANT",
    "SPECTRAL_FAMILIES",
    "StudyTables",
    "best_of_families",
    "by_regime",
    "correlation_row",
    "correlation_rows",
    "ends",
    "expressive_rows",
    "finite",
    "has_values",
    "key_measures",
    "pairs_at_end",
    "phi_rows",
    "present_regimes",
    "quartiles",
    "spectral",
    "starts",
    "times",
    "within",
]
