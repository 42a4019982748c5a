"""From tables to diagnoses: the label rule, the diagnoser, its reports."""

from hessdiag.diagnosis._classifier import TableClassifier
from hessdiag.diagnosis._coverage_accuracy_curve import coverage_accuracy_curve
from hessdiag.diagnosis._fit_diagnoser import NOT_EXAMINED, FitDiagnoser
from hessdiag.diagnosis._gains import CONSTRAINTS, GAINS, GainEstimate
from hessdiag.diagnosis._labels import (
    DELTA,
    DIAGNOSES,
    OVERFITTING,
    UNDERPARAMETERIZED,
    WELL_FIT,
    is_unsure,
    label_gains,
    label_probabilities,
    nearest_gains,
)
from hessdiag.diagnosis._report import (
    UNDECIDED,
    DiagnosisReport,
    Evidence,
    LayerFinding,
    Recommendation,
)
from hessdiag.diagnosis._table_diagnoser import TableDiagnoser

__all__ = [
    "CONSTRAINTS",
    "DELTA",
    "DIAGNOSES",
    "GAINS",
    "NOT_EXAMINED",
    "OVERFITTING",
    "UNDECIDED",
    "UNDERPARAMETERIZED",
    "WELL_FIT",
    "DiagnosisReport",
    "Evidence",
    "FitDiagnoser",
    "GainEstimate",
    "LayerFinding",
    "Recommendation",
    "TableClassifier",
    "TableDiagnoser",
    "coverage_accuracy_curve",
    "is_unsure",
    "label_gains",
    "label_probabilities",
    "nearest_gains",
]
