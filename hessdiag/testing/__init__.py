"""Known Hessians, small fitted cases, and checks for estimators that take networks."""

from hessdiag.testing._allocated import AllocatedBytes
from hessdiag.testing._case_suite import (
    CheckResult,
    check_case_estimator,
    list_case_checks,
    parametrize_with_case_checks,
)
from hessdiag.testing._known_hessians import (
    linear_regression,
    logistic_regression,
    softmax_regression,
    two_layer_linear,
)
from hessdiag.testing._make_case import make_case, make_cases
from hessdiag.testing._network_state import network_state, state_changes, surroundings_state

__all__ = [
    "AllocatedBytes",
    "CheckResult",
    "check_case_estimator",
    "linear_regression",
    "list_case_checks",
    "logistic_regression",
    "make_case",
    "make_cases",
    "network_state",
    "parametrize_with_case_checks",
    "softmax_regression",
    "state_changes",
    "surroundings_state",
    "two_layer_linear",
]
