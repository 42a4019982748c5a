"""Checks of the answers: their number, their order, and that they can be reproduced."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import accuracy_score

from hessdiag.features import forget_examinations
from hessdiag.testing._case_check import (
    answers,
    assert_same_answers,
    case_check,
    classifier,
    fitted,
    probabilistic,
    seeded_clone,
    table_transformer,
    take,
    transformer,
)


@case_check()
def check_lengths(estimator, trial):
    """There is one answer for each network."""
    fit = fitted(estimator, trial.X, trial.y)
    for name, answer in answers(fit, trial.X[:5]).items():
        assert len(answer) == 5, f"{name} of 5 networks gave {len(answer)} answers."


@case_check()
def check_order_equivariance(estimator, trial):
    """Another order of the networks gives the same answers in that order."""
    X = trial.X
    fit = fitted(estimator, X, trial.y)
    order = np.random.default_rng(0).permutation(len(X))
    permuted = answers(fit, [X[i] for i in order])
    assert_same_answers(take(answers(fit, X), order), permuted, "The order of the list matters.")


@case_check()
def check_subset_invariance(estimator, trial):
    """A network gets the same answer alone as in company."""
    X = trial.X
    fit = fitted(estimator, X, trial.y)
    together = answers(fit, X)
    for index in range(len(X)):
        forget_examinations()
        alone = answers(fit, X[index : index + 1])
        assert_same_answers(
            take(together, [index]), alone, f"Network {index} gets another answer alone."
        )


@case_check()
def check_repeated_networks(estimator, trial):
    """The same network twice in a list gets the same answer twice."""
    fit = fitted(estimator, trial.X, trial.y)
    answer = answers(fit, [trial.X[0], trial.X[1], trial.X[0]])
    assert_same_answers(take(answer, [0]), take(answer, [2]), "Repeated networks differ.")


@case_check()
def check_deterministic(estimator, trial):
    """Two clones with fixed seeds give the same answers, with nothing remembered."""
    X = trial.cases if trial.takes == "cases" else trial.X
    first = answers(fitted(estimator, X, trial.y), X)
    forget_examinations()
    second = answers(fitted(estimator, X, trial.y), X)
    assert_same_answers(first, second, "Two equal estimators give different answers.", rtol=0)


@case_check()
def check_fit_idempotent(estimator, trial):
    """A second fit changes nothing."""
    from hessdiag.testing._case_check import seeded_numpy

    X = trial.X
    estimator = seeded_clone(estimator)
    with seeded_numpy():
        first = answers(estimator.fit(X, trial.y), X)
    with seeded_numpy():
        second = answers(estimator.fit(X, trial.y), X)
    assert_same_answers(first, second, "Fitting again changes the answer.")


@case_check()
def check_fit_forgets(estimator, trial):
    """Fit forgets what was fitted before."""
    from hessdiag.testing._case_check import seeded_numpy

    X, y = trial.X, trial.y
    fresh = answers(fitted(estimator, X[3:], y[3:]), X)
    used = seeded_clone(estimator).fit(X[:6], y[:6])
    with seeded_numpy():
        used.fit(X[3:], y[3:])
    assert_same_answers(fresh, answers(used, X), "An earlier fit shines through.")


@case_check()
def check_answers_repeatable(estimator, trial):
    """Asking twice gives the same, and asking does not change the estimator."""
    fit = fitted(estimator, trial.X, trial.y)
    before = sorted(vars(fit))
    first, second = answers(fit, trial.X), answers(fit, trial.X)
    assert_same_answers(first, second, "The second answer differs from the first.", rtol=0)
    new = sorted(set(vars(fit)) - set(before))
    assert not new, f"An answer set the attributes {new}: only fit may."


# --- transformers -----------------------------------------------------------------------------


@case_check(transformer)
def check_fit_transform(estimator, trial):
    """fit_transform is fit, then transform."""
    X = trial.X
    both = {"transform": seeded_clone(estimator).fit_transform(X, trial.y)}
    apart = {"transform": fitted(estimator, X, trial.y).transform(X)}
    assert_same_answers(apart, both, "fit_transform differs from fit, then transform.")


@case_check(transformer)
def check_transformer_ignores_y(estimator, trial):
    """A transformer can be fitted without y, and y makes no difference."""
    X = trial.X
    with_y = {"transform": fitted(estimator, X, trial.y).transform(X)}
    without = {"transform": seeded_clone(estimator).fit(X).transform(X)}
    assert_same_answers(with_y, without, "The diagnoses leak into the transformation.")


@case_check(table_transformer)
def check_feature_names_out_match_width(estimator, trial):
    """There is one unique name for each column."""
    fit = fitted(estimator, trial.X, trial.y)
    names = list(fit.get_feature_names_out())
    table = fit.transform(trial.X)
    assert table.shape == (len(trial.X), len(names)), (
        f"{len(names)} names for a table of shape {table.shape}."
    )
    assert len(set(names)) == len(names), "Names of columns repeat."
    assert all(isinstance(name, str) for name in names), "Expected names that are strings."


@case_check(table_transformer)
def check_fixed_width(estimator, trial):
    """The width does not depend on the networks."""
    fit = fitted(estimator, trial.X, trial.y)
    widths = {fit.transform([x]).shape[1] for x in trial.X}
    widths |= {fitted(estimator, [x], trial.y[:1]).transform([x]).shape[1] for x in trial.X}
    assert len(widths) == 1, f"Networks of different depth give widths {sorted(widths)}."


@case_check(table_transformer)
def check_table_is_numeric(estimator, trial):
    """The table is made of floats, and none is infinite."""
    table = fitted(estimator, trial.X, trial.y).transform(trial.X)
    assert table.dtype.kind == "f", f"Expected floats, found {table.dtype}."
    columns = np.flatnonzero(np.isinf(table).any(axis=0))
    assert not len(columns), f"Columns {columns.tolist()} are infinite."
    assert not np.isnan(table).all(axis=1).any(), "A healthy network has a row of NaN."


@case_check(transformer)
def check_set_output_api(estimator, trial):
    """set_output returns the estimator and takes the words that pipelines pass on."""
    for word in (None, "default"):
        assert estimator.set_output(transform=word) is estimator


@case_check(table_transformer)
def check_pandas_output(estimator, trial):
    """set_output(transform="pandas") gives a frame with the same numbers under their names."""
    pd = _pandas()
    X = trial.X
    table = fitted(estimator, X, trial.y).transform(X)
    framed = seeded_clone(estimator).set_output(transform="pandas")
    for frame in (framed.fit(X, trial.y).transform(X), framed.fit_transform(X, trial.y)):
        assert isinstance(frame, pd.DataFrame), f"Expected a DataFrame, found {type(frame)}."
        assert list(frame.columns) == list(framed.get_feature_names_out())
        np.testing.assert_array_equal(frame.to_numpy(), table)


# --- classifiers ------------------------------------------------------------------------------


@case_check(classifier)
def check_classes_sorted(estimator, trial):
    """classes_ are the sorted unique diagnoses."""
    fit = fitted(estimator, trial.X, trial.y)
    assert list(fit.classes_) == sorted(set(trial.y.tolist()))


@case_check(classifier)
def check_predictions_are_classes(estimator, trial):
    """Every prediction is one of classes_, in an array with a row per network."""
    fit = fitted(estimator, trial.X, trial.y)
    predicted = fit.predict(trial.X)
    assert isinstance(predicted, np.ndarray), "Expected an array."
    assert predicted.shape == (len(trial.X),), f"Expected one row per network: {predicted.shape}"
    assert set(predicted.tolist()) <= set(np.asarray(fit.classes_).tolist())


@case_check(classifier)
def check_score_is_accuracy(estimator, trial):
    """Score is the share of right answers."""
    fit = fitted(estimator, trial.X, trial.y)
    expected = accuracy_score(trial.y, fit.predict(trial.X))
    score = fit.score(trial.X, trial.y)
    assert score == expected, f"score gave {score}, the share of right answers is {expected}."


@case_check(classifier)
def check_subset_of_classes(estimator, trial):
    """Two of the diagnoses are enough to learn from."""
    kept = [i for i, label in enumerate(trial.y) if label != trial.y[0]]
    X, y = [trial.X[i] for i in kept], trial.y[kept]
    fit = fitted(estimator, X, y)
    assert list(fit.classes_) == sorted(set(y.tolist()))
    assert set(fit.predict(trial.X).tolist()) <= set(y.tolist())


@case_check(classifier)
def check_learns_something(estimator, trial):
    """A network seen in fit is told apart from one of another diagnosis better than by chance."""
    fit = fitted(estimator, trial.X, trial.y)
    score = fit.score(trial.X, trial.y)
    assert score > 1 / 3, (
        f"On its own training networks it scores {score:.2f}, no better than chance."
    )


@case_check(probabilistic)
def check_predict_proba_sums(estimator, trial):
    """Probabilities have a column per class, lie between 0 and 1 and sum to 1."""
    fit = fitted(estimator, trial.X, trial.y)
    probabilities = fit.predict_proba(trial.X)
    expected = (len(trial.X), len(fit.classes_))
    assert probabilities.shape == expected, f"Expected {expected}, found {probabilities.shape}."
    assert probabilities.min() >= 0, "A probability is negative."
    assert probabilities.max() <= 1, "A probability is above 1."
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, err_msg="Rows do not sum to 1.")


@case_check(probabilistic)
def check_predict_is_most_probable(estimator, trial):
    """Predict names the class with the largest probability."""
    fit = fitted(estimator, trial.X, trial.y)
    probabilities = fit.predict_proba(trial.X)
    columns = np.searchsorted(fit.classes_, fit.predict(trial.X))
    chosen = probabilities[np.arange(len(columns)), columns]
    assert (chosen >= probabilities.max(axis=1) - 1e-12).all(), "A less probable class was named."


def _pandas():
    """Pandas, or a reason to skip."""
    from unittest import SkipTest

    try:
        import pandas as pd
    except ImportError as error:
        raise SkipTest("pandas is not installed") from error
    return pd
