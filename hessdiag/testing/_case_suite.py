"""The check suite for estimators that take lists of networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from unittest import SkipTest

from hessdiag.testing import (
    _checks_of_answers,
    _checks_of_composition,
    _checks_of_input,
    _checks_of_networks,
    _checks_of_parameters,
)
from hessdiag.testing._case_check import CASE_CHECKS, make_trial

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

TAKES = ("cases", "examinations")

# Importing these has registered their checks; they run in this order, the plainest first.
_ROOMS = [
    module.__name__
    for module in (
        _checks_of_parameters,
        _checks_of_input,
        _checks_of_answers,
        _checks_of_networks,
        _checks_of_composition,
    )
]
CASE_CHECKS.sort(key=lambda check: _ROOMS.index(check.function.__module__))


@dataclass(frozen=True)
class CheckResult:
    """What came of one check.

    Parameters
    ----------
    check : str
        Name of the check.
    status : {"passed", "failed", "not applicable"}
        What came of it.
    reason : str
        Why it failed, or does not apply; else empty.
    """

    check: str
    status: str
    reason: str = ""


def list_case_checks() -> list[str]:
    """Return the names of all checks.

    Returns
    -------
    names : list of str
        In the order in which they run.

    See Also
    --------
    check_case_estimator : Runs them.

    Examples
    --------
    >>> from hessdiag.testing import list_case_checks
    >>> "check_fit_returns_self" in list_case_checks()
    True
    """
    return [check.name for check in CASE_CHECKS]


def check_case_estimator(
    estimator: BaseEstimator,
    takes: Literal["cases", "examinations"] = "cases",
    on_fail: Literal["raise", "report"] = "raise",
) -> list[CheckResult]:
    """Check that an estimator of networks keeps to sklearn's conventions and leaves nets alone.

    sklearn's own suite feeds numeric tables, and passes over an estimator that declares
    ``input_tags.two_d_array=False``. This one feeds lists of small fitted skorch nets.

    Parameters
    ----------
    estimator : estimator
        A transformer or classifier; it is cloned, and every `random_state` that is None is set.
    takes : {"cases", "examinations"}, default="cases"
        What its ``X`` is a list of: `NetworkCase` objects, or what `LayerSpectra` makes of them.
    on_fail : {"raise", "report"}, default="raise"
        Raise the first failure, or go on and report all.

    Returns
    -------
    results : list of CheckResult
        One for each check, also for those that do not apply, with the reason.

    Raises
    ------
    AssertionError
        If a check fails and `on_fail` is ``"raise"``.
    ValueError
        If `takes` or `on_fail` is none of its words.

    See Also
    --------
    parametrize_with_case_checks : The same as separate pytest tests.

    Examples
    --------
    >>> from hessdiag import SpectralFeatures
    >>> from hessdiag.testing import check_case_estimator
    >>> results = check_case_estimator(SpectralFeatures(), takes="examinations")
    >>> sorted({result.status for result in results})
    ['not applicable', 'passed']
    """
    _check_word("takes", takes, TAKES)
    _check_word("on_fail", on_fail, ("raise", "report"))
    trial = make_trial(takes)
    results = []
    for check in CASE_CHECKS:
        if reason := check.reason_to_skip(estimator, takes):
            results.append(CheckResult(check.name, "not applicable", reason))
            continue
        try:
            check(estimator, trial)
            results.append(CheckResult(check.name, "passed"))
        except SkipTest as skip:
            results.append(CheckResult(check.name, "not applicable", str(skip)))
        except Exception as error:
            if on_fail == "raise":
                error.add_note(f"{check.name} failed on {estimator!r}.")
                raise
            reason = f"{type(error).__name__}: {error}"
            results.append(CheckResult(check.name, "failed", reason))
    return results


def parametrize_with_case_checks(
    estimators: Sequence[BaseEstimator], takes: Literal["cases", "examinations"] = "cases"
) -> Callable[..., Any]:
    """Make one pytest test of each estimator and each check that applies to it.

    Parameters
    ----------
    estimators : list of estimator
        What to check.
    takes : {"cases", "examinations"}, default="cases"
        What their ``X`` is a list of, see `check_case_estimator`.

    Returns
    -------
    decorator : callable
        Decorates a test function of ``(estimator, check)`` that calls ``check(estimator)``.

    Raises
    ------
    TypeError
        If `estimators` is not a list, or holds a class.

    See Also
    --------
    check_case_estimator : All checks in one call.

    Examples
    --------
    >>> from hessdiag import LayerSpectra
    >>> from hessdiag.testing import parametrize_with_case_checks
    >>> @parametrize_with_case_checks([LayerSpectra()])
    ... def test_conventions(estimator, check):
    ...     check(estimator)
    """
    import pytest

    _check_word("takes", takes, TAKES)
    if not isinstance(estimators, (list, tuple)):
        raise TypeError(
            f"Expected a list of estimators, found {type(estimators).__name__}. "
            "Put the estimator in a list."
        )
    for estimator in estimators:
        if isinstance(estimator, type):
            raise TypeError(
                f"Expected estimators, found the class {estimator.__name__}. "
                f"Make one: {estimator.__name__}()."
            )
    pairs = [
        pytest.param(estimator, _BoundCheck(check, takes), id=f"{estimator!r}-{check.name}")
        for estimator in estimators
        for check in CASE_CHECKS
        if check.reason_to_skip(estimator, takes) is None
    ]
    return pytest.mark.parametrize(("estimator", "check"), pairs)


@dataclass(frozen=True)
class _BoundCheck:
    """A check with the kind of input fixed."""

    check: object
    takes: str

    def __call__(self, estimator):
        """Run it."""
        self.check(estimator, make_trial(self.takes))


def _check_word(name, value, words):
    """Refuse a word that is not among those known."""
    if value not in words:
        raise ValueError(
            f"Expected {name} to be one of {words}, found {value!r}. Pass one of these."
        )
