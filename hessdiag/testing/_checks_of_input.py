"""Checks of what is accepted as input, and of how anything else is refused."""

from __future__ import annotations

import numpy as np

from hessdiag.features import LayerSpectra
from hessdiag.testing._case_check import (
    ANSWER_METHODS,
    answers,
    assert_same_answers,
    case_check,
    classifier,
    fitted,
    list_transformer,
    takes_cases,
)
from hessdiag.testing._make_case import make_case


@case_check()
def check_rejects_single_network(estimator, trial):
    """A single network is refused; the message asks for a list."""
    for message in _refusals(estimator, trial, trial.X[0], TypeError):
        assert "list" in message, f"The message does not ask for a list: {message}"
        assert type(trial.X[0]).__name__ in message, f"It does not say what it found: {message}"


@case_check(takes_cases)
def check_rejects_bare_net(estimator, trial):
    """A skorch net without its data is refused; the message names NetworkCase."""
    for message in _refusals(estimator, trial, trial.cases[0].net, TypeError):
        assert "NetworkCase" in message, f"The message does not say what to do: {message}"


@case_check()
def check_rejects_empty_list(estimator, trial):
    """An empty list is refused as such."""
    for message in _refusals(estimator, trial, [], ValueError):
        assert "empty" in message, f"The message does not say that the list is empty: {message}"


@case_check()
def check_rejects_wrong_items(estimator, trial):
    """A list with something else in it is refused; the message says what and where."""
    X = [*trial.X[:-1], "a network"]
    for message in _refusals(estimator, trial, X, TypeError):
        assert "str" in message, f"The message does not name the type found: {message}"
        assert str(len(X) - 1) in message, f"The message does not say where: {message}"


@case_check()
def check_rejects_other_containers(estimator, trial):
    """None, tables, dicts, sets and generators are refused."""
    n_cases = len(trial.X)
    for other in (None, np.zeros((n_cases, 3)), dict(enumerate(trial.X)), (x for x in trial.X)):
        for message in _refusals(estimator, trial, other, TypeError):
            assert type(other).__name__ in message, f"It does not say what it found: {message}"


@case_check()
def check_accepts_tuple(estimator, trial):
    """A tuple is as good as a list."""
    X = trial.X
    as_list = answers(fitted(estimator, X, trial.y), X)
    as_tuple = answers(fitted(estimator, tuple(X), trial.y), tuple(X))
    assert_same_answers(as_list, as_tuple, "A tuple gives another answer than a list.")


@case_check()
def check_list_not_changed(estimator, trial):
    """The list and its items stay the same objects."""
    X = trial.X
    before = [id(item) for item in X]
    answers(fitted(estimator, X, trial.y), X)
    assert [id(item) for item in X] == before, "fit or an answer changed the list it was given."


@case_check(takes_cases)
def check_accepts_examinations(estimator, trial):
    """What is examined already passes through, and gives the same answer."""
    fit = fitted(estimator, trial.cases, trial.y)
    if list_transformer(estimator, trial.takes) is None:
        first = fit
    else:
        first = getattr(fit, "spectra_", LayerSpectra())
    examined = first.transform(trial.cases)
    message = "Examinations give another answer than their networks."
    assert_same_answers(answers(fit, trial.cases), answers(fit, examined), message)


@case_check()
def check_accepts_all_kinds(estimator, trial):
    """Classifiers, binary classifiers and regressors of several depths stand in one list."""
    kinds = ("classifier", "binary", "regressor")
    cases = [make_case(kind, n_samples=20, width=3, depth=d) for kind in kinds for d in (1, 3)]
    X = trial.given(cases)
    fit = fitted(estimator, X, np.resize(trial.y[:3], len(X)))
    for name, answer in answers(fit, X).items():
        assert len(answer) == len(X), f"{name} lost some of the kinds."


@case_check()
def check_accepts_one_case(estimator, trial):
    """A list of one network gets one answer."""
    fit = fitted(estimator, trial.X, trial.y)
    for name, answer in answers(fit, trial.X[:1]).items():
        assert len(answer) == 1, f"{name} of one network gave {len(answer)} answers."


@case_check(classifier)
def check_rejects_other_lengths(estimator, trial):
    """X and y of different length are refused; the message has both numbers."""
    n_cases = len(trial.X)
    message = _message(ValueError, estimator.fit, trial.X, trial.y[:-1])
    for number in (n_cases, n_cases - 1):
        assert str(number) in message, f"The message does not have {number} in it: {message}"


@case_check(classifier)
def check_rejects_missing_y(estimator, trial):
    """Fit without diagnoses is refused; the message speaks of y."""
    message = _message((ValueError, TypeError), estimator.fit, trial.X, None)
    assert "y" in message.split() or "diagnos" in message, f"Not about y: {message}"


@case_check(classifier)
def check_rejects_one_class(estimator, trial):
    """One class alone is refused as such."""
    y = np.array([trial.y[0]] * len(trial.X))
    message = _message(ValueError, estimator.fit, trial.X, y)
    assert trial.y[0] in message or "one class" in message, f"Not about the class: {message}"


@case_check(classifier)
def check_accepts_any_container_of_y(estimator, trial):
    """Diagnoses may be a list, an array of str or of object, or a Series; they stay as they are."""
    X, y = trial.X, trial.y
    forms = [y.tolist(), y.astype(object), y]
    try:
        import pandas as pd
    except ImportError:
        pass
    else:
        forms.append(pd.Series(y, index=np.arange(len(y))[::-1]))
    first = None
    for form in forms:
        copy = list(form)
        answer = answers(fitted(estimator, X, form), X)
        assert list(form) == copy, "fit changed y."
        first = answer if first is None else first
        assert_same_answers(first, answer, f"y as {type(form).__name__} gives another answer.")


def _refusals(estimator, trial, X, error):
    """Messages with which fit, and every answer of a fitted estimator, refuse an input."""
    length = len(X) if hasattr(X, "__len__") else len(trial.y)
    yield _message(error, estimator.fit, X, trial.y[:length])
    fit = fitted(estimator, trial.X, trial.y)
    for name in [name for name in ANSWER_METHODS if hasattr(fit, name)]:
        yield _message(error, getattr(fit, name), X)


def _message(error, function, X, *rest):
    """Message of the error that a call must raise."""
    found = f"{type(X).__name__}" + (f" of {len(X)}" if hasattr(X, "__len__") else "")
    expected = error.__name__ if isinstance(error, type) else " or ".join(e.__name__ for e in error)
    where = f"{function.__name__}({found})"
    try:
        function(X, *rest)
    except error as raised:
        return str(raised)
    except Exception as raised:
        raise AssertionError(
            f"Expected {where} to raise {expected}, found {type(raised).__name__}: {raised}."
        ) from raised
    raise AssertionError(f"Expected {where} to raise {expected}, found no error.")
