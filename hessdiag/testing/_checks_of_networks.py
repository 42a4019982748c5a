"""Checks that networks and surroundings are left alone, and that sick networks are handled."""

from __future__ import annotations

import copy
import gc
import warnings

import numpy as np
import torch
from joblib import parallel_config

from hessdiag.cases import NetworkCase
from hessdiag.features import (
    SkippedCase,
    SkippedCaseWarning,
    counted_examinations,
    forget_examinations,
)
from hessdiag.testing._case_check import (
    answers,
    assert_same_answers,
    case_check,
    classifier,
    comparable,
    fitted,
    has_parameter,
    parameter_path,
    take,
    takes_cases,
)
from hessdiag.testing._network_state import network_state, state_changes, surroundings_state


@case_check(takes_cases)
def check_fit_does_not_touch_networks(estimator, trial):
    """Fit leaves parameters, gradients, modes, hooks, buffers, data and generators alone."""
    cases = _lived_in(trial.cases)
    # A classifier may draw from NumPy's generator where it has no random_state of its own.
    numpy_generator = classifier(estimator, trial.takes) is not None
    with _Untouched(cases, "fit", numpy_generator):
        estimator.fit(cases, trial.y)


@case_check(takes_cases)
def check_answers_do_not_touch_networks(estimator, trial):
    """Transform and predict leave networks and generators alone."""
    cases = _lived_in(trial.cases)
    fit = fitted(estimator, trial.cases, trial.y)
    with _Untouched(cases, "an answer"):
        answers(fit, cases)


@case_check(takes_cases)
def check_error_does_not_touch_networks(estimator, trial):
    """After an error the networks are as they were."""
    cases = [*_lived_in(trial.cases[:3]), _sick(trial.cases[3])]
    if path := parameter_path(estimator, "on_error"):
        estimator.set_params(**{path: "raise"})
    with _Untouched(cases, "an error in fit", numpy_generator=False):
        try:
            estimator.fit(cases, trial.y[:4])
            answers(estimator, cases)
        except ValueError:
            pass
        else:
            raise AssertionError("Expected an error for a network with NaN parameters, found none.")


@case_check(takes_cases)
def check_error_before_work(estimator, trial):
    """A sick network at the end of the list is found before the first one is examined."""
    cases = [*trial.cases, _sick(trial.cases[0])]
    y = [*trial.y, trial.y[0]]
    with counted_examinations() as calls:
        try:
            answers(estimator.fit(cases, y), cases)
        except ValueError as error:
            text = "\n".join([str(error), *getattr(error, "__notes__", [])])
        else:
            raise AssertionError("Expected an error for a network with NaN parameters, found none.")
    assert not calls, f"{len(calls)} networks were examined before the error was found."
    for word in ("NaN", str(len(cases) - 1)):
        assert word in text, f"The message does not name {word!r}: {text}"


@case_check(takes_cases, has_parameter("on_error"))
def check_on_error_warn(estimator, trial):
    """One sick network is skipped with a warning; the answers for the others stay."""
    estimator.set_params(**{parameter_path(estimator, "on_error"): "warn"})
    fit = fitted(estimator, trial.cases, trial.y)
    healthy = answers(fit, trial.cases)
    index = 2
    cases = list(trial.cases)
    cases[index] = _sick(cases[index])
    others = [i for i in range(len(cases)) if i != index]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with_sick = answers(fit, cases)
    skipped = [w for w in caught if issubclass(w.category, SkippedCaseWarning)]
    assert skipped, "A network was skipped without a SkippedCaseWarning."
    assert str(index) in str(skipped[0].message), "The warning does not say which network it was."
    for name, answer in with_sick.items():
        assert len(answer) == len(cases), f"{name} has no place for the skipped network."
        item = answer[index]
        blank = isinstance(item, (SkippedCase, str)) or bool(
            np.isnan(np.asarray(item, dtype=float)).all()
        )
        assert blank, f"{name} gave {item!r} for a network that was not examined."
    assert_same_answers(
        take(healthy, others), take(with_sick, others), "The sick network changed other answers."
    )


@case_check(takes_cases, has_parameter("on_error"))
def check_on_error_warn_in_fit(estimator, trial):
    """Fit with one sick network among healthy ones equals fit without it."""
    estimator.set_params(**{parameter_path(estimator, "on_error"): "warn"})
    cases = [trial.cases[0], _sick(trial.cases[1]), *trial.cases[1:]]
    y = [trial.y[0], trial.y[1], *trial.y[1:]]
    without = answers(fitted(estimator, trial.cases, trial.y), trial.cases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedCaseWarning)
        fit = fitted(estimator, cases, y)
    assert_same_answers(without, answers(fit, trial.cases), "The skipped network left a trace.")


@case_check(takes_cases)
def check_computed_once(estimator, trial):
    """Each network is examined once, however often fit and the answers are asked for."""
    with counted_examinations() as calls:
        for _ in range(2):
            answers(fitted(estimator, trial.cases, trial.y), trial.cases)
    twice = sorted({name for name in calls if calls.count(name) > 1})
    assert not twice, f"{twice} were examined more than once: keep results by content."


@case_check(takes_cases)
def check_changed_network_examined_again(estimator, trial):
    """A network whose parameters changed is a new one, even if it is the same object."""
    case = copy.deepcopy(trial.cases[0])
    fit = fitted(estimator, trial.cases, trial.y)
    with counted_examinations() as calls:
        answers(fit, [case])
        expected = 2 * len(calls)
        with torch.no_grad():
            case.net.module_.head.weight.mul_(1.5)
        answers(fit, [case])
    assert len(calls) == expected, "The changed network was answered from memory."


@case_check(takes_cases)
def check_n_jobs_equivalence(estimator, trial):
    """Worker processes give the answers of this process."""
    X = trial.cases[:4]
    serial = answers(fitted(estimator, trial.cases, trial.y), X)
    forget_examinations()
    with parallel_config("loky", n_jobs=2):
        fit = fitted(estimator, trial.cases, trial.y)
        parallel = answers(fit, X)
    assert_same_answers(serial, parallel, "Two processes give another answer than one.", rtol=1e-6)


@case_check(takes_cases)
def check_read_only_data(estimator, trial):
    """Data in read-only memory, as worker processes get it, gives the same answer."""
    cases = []
    for case in trial.cases:
        X, y = np.array(case.X), np.array(case.y)
        X.flags.writeable = y.flags.writeable = False
        cases.append(NetworkCase(case.net, X, y, name=case.name))
    usual = answers(fitted(estimator, trial.cases, trial.y), trial.cases)
    forget_examinations()
    frozen = answers(fitted(estimator, cases, trial.y), cases)
    assert_same_answers(usual, frozen, "Read-only data gives another answer.")


@case_check(takes_cases)
def check_network_released(estimator, trial):
    """A network can be freed after it was looked at: nothing in the process holds it."""
    import weakref

    case = copy.deepcopy(trial.cases[0])
    watch = weakref.ref(case.net)
    fit = fitted(estimator, [case, *trial.cases[1:]], trial.y)
    answers(fit, [case])
    del case
    gc.collect()
    assert watch() is None, "The network is still held after the answer: memory would grow."


@case_check()
def check_no_warnings(estimator, trial):
    """Healthy networks give no warning."""
    forget_examinations()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = answers(fitted(estimator, trial.X, trial.y), trial.X)
    for name, values in answer.items():
        assert comparable(values).size, f"{name} is empty."


def _lived_in(cases):
    """Copies of cases whose networks were left in train mode, with gradients and a hook."""
    copies = [copy.deepcopy(case) for case in cases]
    for index, case in enumerate(copies):
        module = case.net.module_
        module.train(index % 2 == 0)
        for position, parameter in enumerate(module.parameters()):
            if position % 2 == 0:
                parameter.grad = torch.full_like(parameter, float(index + 1))
        module.head.register_forward_hook(_harmless_hook)
    return copies


def _harmless_hook(module, arguments, output):
    """Do nothing."""


def _sick(case):
    """A copy of a case whose network has a NaN in it."""
    case = copy.deepcopy(case)
    with torch.no_grad():
        case.net.module_.head.weight.view(-1)[0] = float("nan")
    return case


class _Untouched:
    """Compare networks and surroundings before and after a block."""

    def __init__(self, cases, what, numpy_generator=True):
        self.cases = cases
        self.what = what
        self.numpy_generator = numpy_generator

    def __enter__(self):
        forget_examinations()
        self.states = [network_state(case) for case in self.cases]
        self.surroundings = surroundings_state(self.numpy_generator)
        return self

    def __exit__(self, kind, error, traceback):
        if error is not None:
            return
        changes = state_changes(self.surroundings, surroundings_state(self.numpy_generator))
        assert not changes, f"{self.what} changed {changes}."
        for index, (case, before) in enumerate(zip(self.cases, self.states, strict=True)):
            changes = state_changes(before, network_state(case))
            assert not changes, f"{self.what} changed {changes} of network {index}."
