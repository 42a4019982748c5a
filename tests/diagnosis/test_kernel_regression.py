"""Closed forms against doing it: refitting without each group, and without missing targets."""

import numpy as np
import pytest
from scipy.stats import norm, rankdata
from sklearn.kernel_ridge import KernelRidge

from hessdiag.diagnosis._kernel_regression import KernelRegression, kernel_predict
from hessdiag.diagnosis._normal_scores import NormalScores

GAMMA, RIDGE = 0.4, 0.3


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    U = rng.normal(size=(40, 5))
    Y = np.column_stack([np.sin(U[:, 0]), U[:, 1] * U[:, 2], rng.normal(size=40)])
    return U, Y, rng.uniform(0.2, 3, 40), rng.integers(0, 6, 40)


def naive(U, Y, weight, new):
    """sklearn's kernel ridge, with the weighted mean taken off by hand."""
    mean = np.average(Y, axis=0, weights=weight)
    model = KernelRidge(kernel="rbf", gamma=GAMMA / U.shape[1], alpha=RIDGE)
    return model.fit(U, Y - mean, sample_weight=weight).predict(new) + mean


def test_predictions(problem):
    U, Y, weight, groups = problem
    solved = KernelRegression(GAMMA, RIDGE).fit(U, weight, groups).solve(Y)
    new = np.random.default_rng(1).normal(size=(7, 5))
    predicted, distances = kernel_predict(new, U, GAMMA, solved.mean, solved.coefficients)
    np.testing.assert_allclose(predicted, naive(U, Y, weight, new), atol=1e-10)
    pairs = np.sqrt(((new[:, None] - U) ** 2).mean(axis=2))
    np.testing.assert_allclose(distances, pairs.min(axis=1), atol=1e-10)


def test_left_out_is_refitted(problem):
    U, Y, weight, groups = problem
    # The mean is the one of all rows, so that targets of mean zero are refitted exactly.
    Y = Y - np.average(Y, axis=0, weights=weight)
    model = KernelRegression(GAMMA, RIDGE).fit(U, weight, groups)
    solved = model.solve(Y)
    ridge = KernelRidge(kernel="rbf", gamma=GAMMA / U.shape[1], alpha=RIDGE)
    for group in np.unique(groups):
        own = groups == group
        ridge.fit(U[~own], Y[~own], sample_weight=weight[~own])
        np.testing.assert_allclose(solved.left_out[own], ridge.predict(U[own]), atol=1e-10)
        pairs = np.sqrt(((U[own][:, None] - U[~own]) ** 2).mean(axis=2)).min(axis=1)
        np.testing.assert_allclose(model.nearest_left_out_[own], pairs, atol=1e-10)


def test_missing_targets_are_left_out(problem):
    U, Y, weight, groups = problem
    known = np.random.default_rng(2).random(40) < 0.7
    gappy = Y.copy()
    gappy[~known, 1] = np.nan
    solved = KernelRegression(GAMMA, RIDGE).fit(U, weight, groups).solve(gappy)
    new = np.random.default_rng(3).normal(size=(5, 5))
    predicted, _ = kernel_predict(new, U, GAMMA, solved.mean, solved.coefficients)
    expected = naive(U[known], Y[known], weight[known], new)
    np.testing.assert_allclose(predicted[:, 1], expected[:, 1], atol=1e-10)
    np.testing.assert_allclose(predicted[:, [0, 2]], naive(U, Y, weight, new)[:, [0, 2]])


def test_left_out_with_missing_targets_is_refitted(problem):
    U, Y, weight, groups = problem
    known = np.random.default_rng(2).random(40) < 0.6
    known[groups == 5] = False  # of a whole group nothing is known
    Y[:, 1] -= np.average(Y[known, 1], weights=weight[known])
    gappy = np.where((np.arange(3) == 1) & ~known[:, None], np.nan, Y)
    solved = KernelRegression(GAMMA, RIDGE).fit(U, weight, groups).solve(gappy)
    ridge = KernelRidge(kernel="rbf", gamma=GAMMA / U.shape[1], alpha=RIDGE)
    for group in np.unique(groups):
        own, rest = groups == group, known & (groups != group)
        ridge.fit(U[rest], Y[rest, 1], sample_weight=weight[rest])
        np.testing.assert_allclose(solved.left_out[own, 1], ridge.predict(U[own]), atol=1e-10)
    whole = KernelRegression(GAMMA, RIDGE).fit(U, weight, groups).solve(Y)
    np.testing.assert_allclose(solved.left_out[:, [0, 2]], whole.left_out[:, [0, 2]], atol=1e-12)


def test_too_little_ridge_is_told():
    same = np.zeros((4, 2))
    with pytest.raises(ValueError, match="Raise `ridge`"):
        KernelRegression(1.0, -1.0).fit(same, np.ones(4), np.arange(4))


def test_normal_scores_are_those_of_mid_ranks():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=50), rng.integers(0, 4, 50), np.full(50, 3.0)])
    X[::7, 0] = np.nan
    scores = NormalScores().fit(X).transform(X)
    for column, score in zip(X.T, scores.T, strict=True):
        known = np.isfinite(column)
        ranks = rankdata(column[known]) - 0.5
        np.testing.assert_allclose(score[known], norm.ppf(ranks / known.sum()), atol=1e-12)
        assert (score[~known] == 0).all()


def test_normal_scores_beyond_the_reference_keep_moving():
    X = np.arange(20.0)[:, None]
    scores = NormalScores().fit(X)
    line = scores.transform(np.array([[-100.0], [-1], [0], [19], [20], [1000]]))[:, 0]
    assert (np.diff(line) > 0).all()
    assert line[-1] == pytest.approx(norm.ppf(19.5 / 20) + np.log1p(981 / 9.5))
    assert NormalScores().fit(np.full((3, 1), np.nan)).transform(np.ones((1, 1))) == 0


def test_normal_scores_are_blind_to_monotone_transformations():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    inside = np.clip(rng.normal(size=(9, 3)), X.min(axis=0), X.max(axis=0))
    plain = NormalScores().fit(X).transform(inside)
    np.testing.assert_allclose(NormalScores().fit(np.exp(X)).transform(np.exp(inside)), plain)
