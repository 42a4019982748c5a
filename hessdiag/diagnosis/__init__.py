"""From tables to diagnoses: the label rule, the diagnoser, its reports."""

from hessdiag.diagnosis._class_prior import (
    check_class_prior,
)
from hessdiag.diagnosis._classifier import (
    TableClassifier,
)
from hessdiag.diagnosis._coverage_accuracy_curve import (
    coverage_accuracy_curve,
)
from hessdiag.diagnosis._evidence import (
    expected_gains,
)
from hessdiag.diagnosis._fit_diagnoser import (
    NOT_EXAMINED,
    FitDiagnoser,
)
from hessdiag.diagnosis._gains import (
    CONSTRAINTS,
    ERRORS,
    GAINS,
    LONGER,
    ExpectedGains,
    GainEstimate,
)
from hessdiag.diagnosis._layer_kinds import (
    kinds_of,
    with_unfamiliar_kinds,
)
from hessdiag.diagnosis._leading_columns import (
    leading_columns,
)
from hessdiag.diagnosis._recommendation import (
    CAUSES,
    WAYS,
    choose_actions,
    recommend,
)
from hessdiag.diagnosis._renderers import (
    set_renderers,
)
from hessdiag.diagnosis._report import (
    EVIDENCE_FLOOR,
    UNDECIDED,
    DiagnosisReport,
    Evidence,
    LayerFinding,
    Recommendation,
)
from hessdiag.diagnosis._table_diagnoser import (
    TableDiagnoser,
)
from hessdiag.labels import (
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

__all__ = [
    "CAUSES",
    "CONSTRAINTS",
    "DELTA",
    "DIAGNOSES",
    "ERRORS",
    "EVIDENCE_FLOOR",
    "GAINS",
    "LONGER",
    "NOT_EXAMINED",
    "OVERFITTING",
    "UNDECIDED",
    "UNDERPARAMETERIZED",
    "WAYS",
    "WELL_FIT",
    "DiagnosisReport",
    "Evidence",
    "ExpectedGains",
    "FitDiagnoser",
    "GainEstimate",
    "LayerFinding",
    "Recommendation",
    "TableClassifier",
    "TableDiagnoser",
    "check_class_prior",
    "choose_actions",
    "coverage_accuracy_curve",
    "expected_gains",
    "is_unsure",
    "kinds_of",
    "label_gains",
    "label_probabilities",
    "leading_columns",
    "nearest_gains",
    "recommend",
    "set_renderers",
    "with_unfamiliar_kinds",
]
