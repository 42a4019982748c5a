"""From tables to diagnoses: the label rule, the diagnoser, its reports."""

from hessdiag.diagnosis._classifier import TableClassifier
from hessdiag.diagnosis._fit_diagnoser import NOT_EXAMINED, FitDiagnoser
from hessdiag.diagnosis._labels import (
    DELTA,
    DIAGNOSES,
    OVERFITTING,
    UNDERPARAMETERIZED,
    WELL_FIT,
    is_unsure,
    label_gains,
)
from hessdiag.diagnosis._report import DiagnosisReport, Evidence, LayerFinding, Recommendation

__all__ = [
    "DELTA",
    "DIAGNOSES",
    "NOT_EXAMINED",
    "OVERFITTING",
    "UNDERPARAMETERIZED",
    "WELL_FIT",
    "DiagnosisReport",
    "Evidence",
    "FitDiagnoser",
    "LayerFinding",
    "Recommendation",
    "TableClassifier",
    "is_unsure",
    "label_gains",
]
