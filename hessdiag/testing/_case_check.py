"""CaseCheck: one named check of an estimator that takes networks, and what it is tried on."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone, is_classifier

from hessdiag.examination import Examination
from hessdiag.features import LayerSpectra, layer_table
from hessdiag.testing._make_case import make_cases

#: All checks, in the order in which they run.
CASE_CHECKS: list[CaseCheck] = []

ANSWER_METHODS = ("transform", "predict", "predict_proba", "decision_function")


@dataclass(frozen=True)
class CaseCheck:
    """One check: its name, what the estimator must be for it to apply, and the function.

    Parameters
    ----------
    name : str
        Such as ``"check_fit_returns_self"``.
    function : callable
        Called as ``function(estimator, trial)``; raises AssertionError where the check fails.
    needs : tuple of callable
        Each called as ``need(estimator, takes)``; returns why the check does not apply, or None.
    """

    name: str
    function: Callable
    needs: tuple

    def reason_to_skip(self, estimator, takes):
        """Say why the check does not apply to an estimator; None where it does.

        Parameters
        ----------
        estimator : estimator
            What would be checked.
        takes : {"cases", "examinations"}
            What it takes as ``X``.

        Returns
        -------
        reason : str or None
            A phrase.
        """
        reasons = (need(estimator, takes) for need in self.needs)
        return next((reason for reason in reasons if reason is not None), None)

    def __call__(self, estimator, trial):
        """Run the check on a clone, with every seed fixed."""
        self.function(seeded_clone(estimator), trial)


@dataclass(frozen=True, eq=False)
class Trial:
    """What an estimator is tried on.

    Parameters
    ----------
    cases : list of NetworkCase
        Small fitted networks that differ in kind, width and depth.
    y : ndarray of str of shape (n_cases,)
        Their diagnoses.
    takes : {"cases", "examinations"}
        What the estimator takes as ``X``.
    """

    cases: list
    y: np.ndarray
    takes: str

    def given(self, cases):
        """Make of cases what the estimator takes.

        Parameters
        ----------
        cases : list of NetworkCase
            Networks.

        Returns
        -------
        X : list
            The same cases, or their examinations.
        """
        if self.takes == "cases":
            return list(cases)
        return [
            self._examined.get(id(case)) or LayerSpectra().transform([case])[0] for case in cases
        ]

    @functools.cached_property
    def _examined(self):
        """Examinations of all cases, by the identity of the case: they never change."""
        return dict(zip(map(id, self.cases), LayerSpectra().transform(self.cases), strict=True))

    @property
    def X(self):
        """list : What the estimator takes, of all cases."""
        return self.given(self.cases)


@functools.cache
def make_trial(takes):
    """Make the networks that all checks share; they are left as they were, which is checked.

    Parameters
    ----------
    takes : {"cases", "examinations"}
        What the estimator takes.

    Returns
    -------
    trial : Trial
        Nine networks, three of each diagnosis.
    """
    return Trial(*make_cases(9, n_samples=24), takes)


def case_check(*needs):
    """Register a check.

    Parameters
    ----------
    *needs : callable
        What the estimator must be, see `CaseCheck`.

    Returns
    -------
    decorator : callable
        Adds the decorated function to `CASE_CHECKS` under its own name.
    """

    def register(function):
        CASE_CHECKS.append(CaseCheck(function.__name__, function, needs))
        return function

    return register


# --- what an estimator must be for a check to apply -------------------------------------------


def transformer(estimator, takes):
    """Need a transformer."""
    return None if hasattr(estimator, "transform") else "it has no transform"


def table_transformer(estimator, takes):
    """Need a transformer whose output is a table that `set_output` can name the columns of."""
    if reason := transformer(estimator, takes):
        return reason
    named = hasattr(estimator, "get_feature_names_out")
    wrapped = getattr(estimator, "_sklearn_auto_wrap_output_keys", None)
    return None if named and wrapped else "its transform gives no table with named columns"


def list_transformer(estimator, takes):
    """Need a transformer whose output is a list of examinations."""
    if reason := transformer(estimator, takes):
        return reason
    is_table = table_transformer(estimator, takes) is None
    return "its transform gives a table" if is_table else None


def classifier(estimator, takes):
    """Need a classifier."""
    return None if is_classifier(estimator) else "it is not a classifier"


def probabilistic(estimator, takes):
    """Need a classifier that gives probabilities."""
    if reason := classifier(estimator, takes):
        return reason
    return None if hasattr(estimator, "predict_proba") else "it has no predict_proba"


def takes_cases(estimator, takes):
    """Need an estimator whose input are networks."""
    return None if takes == "cases" else "it takes examinations, not networks"


def learns(estimator, takes):
    """Need an estimator that has to be fitted."""
    fits = estimator.__sklearn_tags__().requires_fit
    return None if fits else "it learns nothing, and works unfitted"


def stateless(estimator, takes):
    """Need an estimator that learns nothing."""
    fits = estimator.__sklearn_tags__().requires_fit
    return "it has to be fitted" if fits else None


def has_parameter(name):
    """Need a parameter of this name, here or in a nested estimator.

    Parameters
    ----------
    name : str
        Name of the parameter.

    Returns
    -------
    need : callable
        As in `CaseCheck`.
    """

    def need(estimator, takes):
        return None if parameter_path(estimator, name) else f"it has no parameter {name}"

    return need


# --- tools of the checks ----------------------------------------------------------------------


def seeded_clone(estimator):
    """Clone an estimator and fix every seed in it.

    Parameters
    ----------
    estimator : estimator
        What to clone.

    Returns
    -------
    clone : estimator
        Unfitted, with 0 for each `random_state` that is None.
    """
    copy = clone(estimator)
    seeds = {
        path: 0
        for path, value in copy.get_params().items()
        if path.rpartition("__")[2] == "random_state" and value is None
    }
    return copy.set_params(**seeds)


def parameter_path(estimator, name):
    """Find a parameter, also in nested estimators.

    Parameters
    ----------
    estimator : estimator
        Where to look.
    name : str
        Name of the parameter.

    Returns
    -------
    path : str or None
        Such as ``"spectra__n_jobs"``.
    """
    paths = [path for path in estimator.get_params() if path.rpartition("__")[2] == name]
    return min(paths, key=len, default=None)


@contextmanager
def seeded_numpy():
    """Fix NumPy's global generator, from which estimators without `random_state` draw."""
    state = np.random.get_state()  # noqa: NPY002 - sklearn draws from the global one
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def fitted(estimator, X, y):
    """Fit a clone, reproducibly.

    Parameters
    ----------
    estimator : estimator
        What to fit.
    X, y : list, array-like
        Input and diagnoses.

    Returns
    -------
    fitted : estimator
        The fitted clone.
    """
    with seeded_numpy():
        return seeded_clone(estimator).fit(X, y)


def answers(estimator, X):
    """Ask an estimator everything it can answer.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.
    X : list
        Its input.

    Returns
    -------
    answers : dict of str to list or ndarray
        By the name of the method.
    """
    names = [name for name in ANSWER_METHODS if hasattr(estimator, name)]
    assert names, f"{estimator!r} has none of {ANSWER_METHODS}: there is nothing to check."
    return {name: getattr(estimator, name)(X) for name in names}


def assert_same_answers(left, right, message, rtol=1e-7):
    """Compare two results of `answers`.

    Parameters
    ----------
    left, right : dict of str to list or ndarray
        The answers.
    message : str
        What it means if they differ.
    rtol : float, default=1e-7
        Relative tolerance.
    """
    assert list(left) == list(right), message
    for name in left:
        a, b = comparable(left[name]), comparable(right[name])
        assert a.shape == b.shape, f"{name}: {message} (shapes {a.shape} and {b.shape})"
        if a.dtype.kind == "f" and b.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-9, err_msg=f"{name}: {message}")
        else:
            assert (a == b).all(), f"{name}: {message}\n{a}\n{b}"


def comparable(answer):
    """Make an array of an answer: examinations become a row of all their numbers.

    Parameters
    ----------
    answer : list or ndarray or DataFrame
        What a method returned.

    Returns
    -------
    array : ndarray
        A row per case.
    """
    if not isinstance(answer, list):
        return np.asarray(answer)
    rows = [_numbers(item) if isinstance(item, Examination) else [np.nan] for item in answer]
    table = np.full((len(rows), max(map(len, rows))), np.nan)
    for row, numbers in zip(table, rows, strict=True):
        row[: len(numbers)] = numbers
    return table


def take(answers_, indices):
    """Rows of the answers.

    Parameters
    ----------
    answers_ : dict of str to list or ndarray
        As from `answers`.
    indices : sequence of int
        Which rows.

    Returns
    -------
    answers : dict of str to list or ndarray
        The same for these rows.
    """
    return {
        name: [answer[i] for i in indices] if isinstance(answer, list) else answer[list(indices)]
        for name, answer in answers_.items()
    }


def parameters_of_init(estimator):
    """Names of the constructor's parameters.

    Parameters
    ----------
    estimator : estimator
        The estimator.

    Returns
    -------
    names : list of str
        In order.
    """
    return [
        name for name in inspect.signature(type(estimator).__init__).parameters if name != "self"
    ]


def _numbers(examination):
    """All measures, spectra and context of an examination as one row."""
    table = layer_table(examination)
    row = [len(table.layers)]
    for values in table.measures.values():
        row += values.tolist()
    row += [*table.network.values(), *table.context.values()]
    for layer in examination.layers:
        row += [layer.n_params, *np.sort(layer.spectrum.nodes), layer.spectrum.trace]
    return row
