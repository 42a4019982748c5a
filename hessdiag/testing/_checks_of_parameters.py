"""Checks of constructor, parameters and what is shown of them."""

from __future__ import annotations

import pickle

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from hessdiag.testing._case_check import (
    answers,
    assert_same_answers,
    case_check,
    classifier,
    fitted,
    learns,
    parameter_path,
    parameters_of_init,
    stateless,
)


@case_check()
def check_default_constructible(estimator, trial):
    """The class can be made without arguments."""
    made = type(estimator)()
    assert isinstance(made, type(estimator))


@case_check()
def check_no_attributes_set_in_init(estimator, trial):
    """The constructor sets its parameters and nothing else."""
    made = type(estimator)()
    extra = sorted(set(vars(made)) - set(parameters_of_init(made)))
    assert not extra, (
        f"{type(estimator).__name__}.__init__ sets {extra}, which are not parameters. "
        "Set them in fit, with a trailing underscore."
    )


@case_check()
def check_parameters_stored_as_given(estimator, trial):
    """The constructor neither copies, converts nor checks a parameter."""
    values = {name: object() for name in parameters_of_init(estimator)}
    made = type(estimator)(**values)
    changed = [name for name, value in values.items() if getattr(made, name) is not value]
    assert not changed, f"The constructor changed {changed}: store parameters as they are given."


@case_check()
def check_fit_returns_self(estimator, trial):
    """Fit returns the estimator itself."""
    result = estimator.fit(trial.X, trial.y)
    assert result is estimator, f"fit returned {type(result).__name__}, expected the estimator."


@case_check()
def check_clone_and_get_params(estimator, trial):
    """get_params names every parameter, and a clone has the same ones and is not fitted."""
    shallow = estimator.get_params(deep=False)
    assert sorted(shallow) == sorted(parameters_of_init(estimator))
    fit = fitted(estimator, trial.X, trial.y)
    copy = clone(fit)
    learned = [name for name in vars(copy) if name.endswith("_") and not name.startswith("_")]
    assert not learned, f"A clone carries {learned}: a clone must not be fitted."
    assert repr(copy.get_params()) == repr(fit.get_params()), "A clone has other parameters."


@case_check()
def check_set_params_nested(estimator, trial):
    """set_params takes what get_params gave, and reaches into nested estimators."""
    before = repr(estimator.get_params())
    assert estimator.set_params(**estimator.get_params()) is estimator
    assert repr(estimator.get_params()) == before, "set_params(**get_params()) changed something."
    for path, value in estimator.get_params().items():
        part = estimator
        *parents, name = path.split("__")
        for parent in parents:
            part = getattr(part, parent) if hasattr(part, parent) else dict(part.steps)[parent]
        if hasattr(part, name):
            assert getattr(part, name) is value, f"get_params()['{path}'] is not the nested value."
            marker = object()
            estimator.set_params(**{path: marker})
            assert getattr(part, name) is marker, f"set_params({path}=...) did not arrive."
            estimator.set_params(**{path: value})


@case_check()
def check_set_params_rejects_unknown(estimator, trial):
    """set_params refuses a name that is no parameter."""
    message = _message(ValueError, estimator.set_params, no_such_parameter=1)
    assert message is not None, "set_params accepted 'no_such_parameter'."
    assert "no_such_parameter" in message


@case_check()
def check_repr(estimator, trial):
    """Repr and HTML name the class, before and after fit, and stay short after fit."""
    name = type(estimator).__name__
    fit = fitted(estimator, trial.X, trial.y)
    for shown in (estimator, fit):
        assert name in repr(shown)
        assert name in shown._repr_html_()
    assert len(repr(fit)) < 2000, "The repr of a fitted estimator shows more than its parameters."


@case_check()
def check_tags(estimator, trial):
    """The tags say that the input is not a table."""
    tags = estimator.__sklearn_tags__()
    assert not tags.input_tags.two_d_array, (
        "input_tags.two_d_array is True: sklearn would convert lists of networks to arrays."
    )


@case_check()
def check_fit_sets_no_parameters(estimator, trial):
    """Fit changes no parameter, nor a nested estimator that was passed in."""
    before = {name: (id(value), repr(value)) for name, value in estimator.get_params().items()}
    nested = {
        name: sorted(vars(value))
        for name, value in estimator.get_params().items()
        if hasattr(value, "get_params")
    }
    estimator.fit(trial.X, trial.y)
    after = {name: (id(value), repr(value)) for name, value in estimator.get_params().items()}
    changed = [name for name in before if before[name] != after.get(name)]
    assert not changed, f"fit changed the parameters {changed}: it must work on clones and copies."
    for name, attributes in nested.items():
        now = sorted(vars(estimator.get_params()[name]))
        assert now == attributes, f"fit fitted the nested {name} itself: clone it first."


@case_check()
def check_rejects_bad_parameters_in_fit_not_init(estimator, trial):
    """A nonsensical value is accepted by the constructor and refused by fit, by name."""
    for name in parameters_of_init(estimator):
        bad = clone(estimator).set_params(**{name: _Nonsense()})
        message = _message((ValueError, TypeError), bad.fit, trial.X, trial.y)
        assert message is not None, (
            f"fit accepted nonsense for {name!r}: list it in _parameter_constraints."
        )
        assert name in message, f"The message does not name {name}: {message}"


@case_check(learns)
def check_unfitted_raises_not_fitted(estimator, trial):
    """Before fit every answer raises NotFittedError, and check_is_fitted agrees."""
    X = trial.X
    methods = ("transform", "predict", "predict_proba", "decision_function")
    for name in [name for name in methods if hasattr(estimator, name)]:
        message = _message(NotFittedError, getattr(estimator, name), X)
        assert message is not None, f"{name} of an unfitted estimator gave an answer."
        assert "fit" in message, f"The message does not say to fit: {message}"
    fit = fitted(estimator, X, trial.y)
    check_is_fitted(fit)


@case_check(stateless)
def check_stateless_works_unfitted(estimator, trial):
    """What learns nothing answers the same before and after fit."""
    before = answers(estimator, trial.X)
    after = answers(fitted(estimator, trial.X, trial.y), trial.X)
    assert_same_answers(before, after, "It says that it needs no fit, but fit changes the answer.")


@case_check(learns)
def check_failed_fit_leaves_unfitted(estimator, trial):
    """A fit that fails does not leave something that looks fitted."""
    _message(ValueError, estimator.fit, [], trial.y[:0])
    message = _message(NotFittedError, check_is_fitted, estimator)
    assert message is not None, "After a failed fit the estimator claims to be fitted."


@case_check()
def check_pickle(estimator, trial):
    """A pickled estimator answers as before."""
    X = trial.X
    fit = fitted(estimator, X, trial.y)
    copy = pickle.loads(pickle.dumps(fit))
    assert_same_answers(answers(fit, X), answers(copy, X), "Pickling changed the answer.")


@case_check()
def check_fitted_holds_no_networks(estimator, trial):
    """Networks are data: a fitted estimator does not keep them."""
    content = pickle.dumps(fitted(estimator, trial.X, trial.y))
    for kind in (b"NetworkCase", b"skorch", b"torch"):
        assert kind not in content, (
            f"The fitted estimator holds an object of {kind.decode()}: keep numbers, not networks."
        )


@case_check(classifier)
def check_estimator_type(estimator, trial):
    """Tags and type say classifier, and that y is needed."""
    tags = estimator.__sklearn_tags__()
    assert tags.estimator_type == "classifier"
    assert tags.target_tags.required, "A classifier must declare that it needs y."
    assert parameter_path(estimator, "X") is None, "Networks must not be parameters."


def _message(error, function, *arguments, **keywords):
    """Message of the error that a call raises; None where it raises nothing."""
    try:
        function(*arguments, **keywords)
    except error as raised:
        return str(raised)
    return None


class _Nonsense:
    """Something that no parameter can be."""

    def __repr__(self):
        return "<nonsense>"

    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__

    def __array__(self, *args, **kwargs):
        return np.array("nonsense")
