"""Diagnoses, gains, intervals and domain from one table; sklearn's own suite in full."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from hessdiag.diagnosis import CONSTRAINTS, GAINS, LONGER, TableDiagnoser
from hessdiag.diagnosis._gains import ERRORS, check_gains, from_learning_scale, to_learning_scale
from hessdiag.diagnosis._kernel_regression import mean_squared_differences
from hessdiag.labels import DIAGNOSES, label_gains, label_probabilities


@parametrize_with_checks([TableDiagnoser(), TableDiagnoser(gamma=0.5, class_weight=None)])
def test_sklearn_suite(estimator, check):
    check(estimator)


def test_suite_is_run_in_full():
    names = [check.func.__name__ for _, check in estimator_checks_generator(TableDiagnoser())]
    assert len(names) > 45
    for name in (
        "check_classifiers_train",
        "check_n_features_in",
        "check_class_weight_classifiers",
    ):
        assert name in names


def make_table(seed=0, n_groups=24, size=12, n_features=6):
    """Networks whose gains follow two columns, up to noise and an offset of their data set."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), size)
    X = rng.normal(size=(len(groups), n_features)) + 0.3 * rng.normal(size=(n_groups, 1))[groups]
    noise = 0.05 * rng.normal(size=(len(groups), 2))
    gains = 0.15 * X[:, :2] + 0.03 * rng.normal(size=(n_groups, 2))[groups] + noise
    return X, label_gains(*gains.T), gains, groups


@pytest.fixture(scope="module")
def fitted():
    X, y, gains, groups = make_table(n_groups=80, size=8)
    return TableDiagnoser().fit(X, y, gains=gains, groups=groups)


def test_answers_on_unseen_groups(fitted):
    X, y, gains, _ = make_table(1, n_groups=80)
    predicted, intervals = fitted.predict_gains(X, return_interval=True)
    for column in range(2):
        assert np.corrcoef(predicted[:, column], gains[:, column])[0, 1] > 0.8
    inside = (gains >= intervals[:, :, 0]) & (gains <= intervals[:, :, 1])
    np.testing.assert_allclose(inside.mean(axis=0), 0.9, atol=0.06)
    assert fitted.score(X, y) > 0.7
    probabilities = fitted.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    # Calibration in the large, class by class, at equal weight of the classes.
    weight = (1 / np.unique(y, return_counts=True)[1])[np.searchsorted(DIAGNOSES, y)]
    mean = np.average(probabilities, axis=0, weights=weight)
    np.testing.assert_allclose(mean, 1 / 3, atol=0.06)


@pytest.mark.parametrize("scale", [0.3, 1, 3])
def test_gains_and_diagnoses_agree(fitted, scale):
    X = scale * np.random.default_rng(3).normal(size=(300, 6))
    gains, intervals = fitted.predict_gains(X, return_interval=True, coverage=0.05)
    assert (label_gains(*gains.T) == fitted.predict(X)).all()
    assert (gains >= intervals[:, :, 0]).all()
    assert (gains <= intervals[:, :, 1]).all()
    for diagnosis in DIAGNOSES:
        asked = np.full(len(X), diagnosis)
        assert (label_gains(*fitted.predict_gains(X, diagnoses=asked).T) == diagnosis).all()


def test_answers_for_left_out_groups_are_those_of_a_refit():
    X, y, gains, groups = make_table(2)
    model = TableDiagnoser().fit(X, y, gains=gains, groups=groups)
    differences = []
    for group in range(4):
        own = groups == group
        other = clone(model).fit(X[~own], y[~own], gains=gains[~own], groups=groups[~own])
        # Scaling, mean and class weights were learned with the group: a small difference.
        raw = other._answers(X[own])[0][:, 3:5]
        differences.append(to_learning_scale(model.left_out_gains_[own]) - raw)
    assert np.abs(np.concatenate(differences)).mean() < 0.1


def test_ways_of_constraining_with_gaps():
    X, y, gains, groups = make_table()
    rng = np.random.default_rng(0)
    parts = 0.2 * X[:, 2:5] + 0.02 * rng.normal(size=(len(X), 3))
    parts[rng.random(parts.shape) < 0.2] = np.nan
    frame = pd.DataFrame(np.hstack([gains, parts]), columns=[*GAINS, *CONSTRAINTS])
    models = [
        TableDiagnoser().fit(X, y, gains=given, groups=groups)
        for given in (frame, frame.to_numpy(), frame.to_dict("list"))
    ]
    found = [model.predict_constraints(X) for model in models]
    for column in range(3):
        assert np.corrcoef(found[0][:, column], X[:, 2 + column])[0, 1] > 0.85
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    two = TableDiagnoser().fit(X, y, gains=gains, groups=groups)
    np.testing.assert_allclose(two.predict_gains(X), models[0].predict_gains(X))
    with pytest.raises(ValueError, match="knows only two"):
        two.predict_constraints(X)
    never = np.hstack([gains, parts])
    never[:, 4] = np.nan
    assert check_gains(never, len(X)).parts is None


def with_longer(gains, longer):
    """Gains by name, with that of training longer."""
    return dict(zip((*GAINS, LONGER), (*gains.T, longer), strict=True))


def make_longer(X, groups, seed=0):
    """Gains of training longer, which two columns tell; measured on half of the groups only."""
    rng = np.random.default_rng(seed)
    longer = 0.1 * (X[:, 0] - X[:, 4]) + 0.03 * rng.normal(size=len(X))
    return np.where(groups % 2 == 0, longer, np.nan)


def test_training_longer_is_learned_from_those_that_were_trained_longer():
    X, y, gains, groups = make_table(n_groups=80, size=8)
    longer = make_longer(X, groups)
    model = TableDiagnoser().fit(X, y, gains=with_longer(gains, longer), groups=groups)
    assert model.gain_names_ == (*GAINS, LONGER)
    new, _, _, new_groups = make_table(1, n_groups=80, size=8)
    found, intervals = model.predict_gains(new, return_interval=True)
    assert found.shape == (len(new), 3)
    assert intervals.shape == (len(new), 3, 2)
    assert model.left_out_gains_.shape == (len(X), 3)
    # A ridge regression of the measured ones alone, written out.
    known = np.isfinite(longer)
    weight = (len(y) / 3 / np.unique(y, return_counts=True)[1])[np.searchsorted(DIAGNOSES, y)]
    U, V = (model.scores_.transform(part) for part in (X[known], new))
    targets = np.arcsinh(longer[known] / 0.05)
    mean = np.average(targets, weights=weight[known])

    def kernel(left, right):
        return np.exp(-0.2 * ((left[:, None] - right) ** 2).mean(axis=2))

    ridge = np.diag(0.5 / weight[known])
    coefficients = np.linalg.solve(kernel(U, U) + ridge, targets - mean)
    expected = 0.05 * np.sinh(mean + kernel(V, U) @ coefficients)
    np.testing.assert_allclose(found[:, 2], expected, rtol=1e-6, atol=1e-9)
    # And so is each group's own, left out: by all other measured ones.
    own = groups[known] == 0
    rest = np.ix_(~own, ~own)
    centred = np.linalg.solve((kernel(U, U) + ridge)[rest], targets[~own] - mean)
    expected = 0.05 * np.sinh(mean + kernel(U[own], U[~own]) @ centred)
    np.testing.assert_allclose(model.left_out_gains_[groups == 0, 2], expected, rtol=1e-6)
    measured = make_longer(new, 2 * new_groups, seed=1)
    assert np.corrcoef(found[:, 2], measured)[0, 1] > 0.8
    inside = (measured >= intervals[:, 2, 0]) & (measured <= intervals[:, 2, 1])
    assert abs(inside.mean() - 0.9) < 0.06
    assert (found >= intervals[:, :, 0]).all()
    assert (found <= intervals[:, :, 1]).all()


def test_training_longer_moves_nothing_else():
    X, y, gains, groups = make_table()
    longer = make_longer(X, groups)
    parts = 0.2 * X[:, 2:5]
    ways = dict(zip(CONSTRAINTS, parts.T, strict=True))
    new = make_table(1)[0]
    new[:5, 2] = np.nan  # a gap is filled several times
    for more in ({}, ways):
        plain = TableDiagnoser().fit(X, y, gains=with_longer(gains, longer * np.nan) | more)
        model = TableDiagnoser().fit(X, y, gains=with_longer(gains, longer) | more)
        assert plain.gain_names_ == GAINS
        np.testing.assert_allclose(model.predict_proba(new), plain.predict_proba(new))
        found, before = (m.predict_gains(new, return_interval=True) for m in (model, plain))
        np.testing.assert_allclose(found[0][:, :2], before[0])
        np.testing.assert_allclose(found[1][:, :2], before[1])
        if more:
            np.testing.assert_allclose(
                model.predict_constraints(new), plain.predict_constraints(new)
            )


def test_what_was_never_trained_longer_is_as_it_was():
    X, y, gains, groups = make_table()
    nowhere = np.full(len(X), np.nan)
    once = np.where(groups == 3, 0.2, np.nan)  # nothing would be left to leave out
    old = TableDiagnoser().fit(X, y, gains=gains, groups=groups)
    for longer in (nowhere, once):
        model = TableDiagnoser().fit(X, y, gains=with_longer(gains, longer), groups=groups)
        assert model.gain_names_ == old.gain_names_ == GAINS
        for left, right in zip(
            model.predict_gains(X, return_interval=True),
            old.predict_gains(X, return_interval=True),
            strict=True,
        ):
            np.testing.assert_array_equal(left, right)
        np.testing.assert_array_equal(model.predict_proba(X), old.predict_proba(X))
        np.testing.assert_array_equal(model.left_out_gains_, old.left_out_gains_)
    assert TableDiagnoser().fit(X, y).gain_names_ == ()


def with_errors(gains, errors):
    """Gains and their standard errors by name."""
    return dict(zip((*GAINS, *ERRORS), (*gains.T, *errors.T), strict=True))


def test_labels_that_could_be_others_say_less():
    X, y, gains, groups = make_table()
    # Almost without regularization, what was learned is what is answered.
    exact = TableDiagnoser(5.0, 1e-6)
    errors = np.full_like(gains, 0.1)
    indicators = (y[:, None] == DIAGNOSES).astype(float)
    for given, expected in (
        (gains, indicators),
        (with_errors(gains, np.zeros_like(gains)), indicators),
        (with_errors(gains, errors), label_probabilities(gains, errors)),
    ):
        answers = exact.fit(X, y, gains=given, groups=groups)._answers(X)[0]
        np.testing.assert_allclose(answers[:, :3], expected, atol=1e-3)
    # Labels by another rule than that of the gains are taken as they are.
    other = np.roll(y, 1)
    models = [
        TableDiagnoser(0.5).fit(X, other, gains=given, groups=groups)
        for given in (gains, with_errors(gains, errors))
    ]
    np.testing.assert_array_equal(*(model.predict_proba(X) for model in models))


def test_errors_are_checked():
    X, y, gains, _ = make_table()
    with pytest.raises(ValueError, match="at least 0, found -1"):
        TableDiagnoser().fit(X, y, gains=with_errors(gains, np.full_like(gains, -1)))


def left_out_loss(model, y):
    """Log loss of left-out probabilities, each class counting alike."""
    weight = (1 / np.unique(y, return_counts=True)[1])[np.searchsorted(DIAGNOSES, y)]
    right = model.left_out_probabilities_[np.arange(len(y)), np.searchsorted(DIAGNOSES, y)]
    return -np.average(np.log(right), weights=weight)


def test_scale_with_the_lowest_log_loss_is_chosen():
    X, y, gains, groups = make_table()
    losses = {}
    for gamma in (0.01, 0.3, 30.0):
        model = TableDiagnoser(gamma).fit(X, y, gains=gains, groups=groups)
        assert model.gamma_ == gamma
        losses[gamma] = left_out_loss(model, y)
    best = min(losses, key=losses.get)
    chosen = TableDiagnoser([0.01, 0.3, 30.0]).fit(X, y, gains=gains, groups=groups)
    alone = TableDiagnoser(best).fit(X, y, gains=gains, groups=groups)
    assert chosen.gamma_ == best
    np.testing.assert_array_equal(chosen.predict_proba(X), alone.predict_proba(X))


def test_leading_columns_make_up_their_share():
    X, y, gains, groups = make_table(3)
    leading = np.arange(6) < 2
    for share in (0.2, 0.9):
        model = TableDiagnoser(leading_share=share)
        model.fit(X, y, gains=gains, groups=groups, leading=leading)
        U = model.scores_.transform(X)
        both = [mean_squared_differences(part, part) for part in (U[:, :2], U[:, 2:])]
        squared = mean_squared_differences(model.reference_, model.reference_)
        np.testing.assert_allclose(squared, share * both[0] + (1 - share) * both[1], atol=1e-9)
        np.testing.assert_allclose(model.domain_score(X), 0.0, atol=1e-6)
    # Two of six columns with a third of the weight are columns like all others.
    third = TableDiagnoser(leading_share=1 / 3)
    third.fit(X, y, gains=gains, groups=groups, leading=leading)
    plain = TableDiagnoser().fit(X, y, gains=gains, groups=groups)
    assert (third.leading_share_, plain.leading_share_) == (1 / 3, None)
    new = make_table(4)[0]
    np.testing.assert_allclose(third.predict_proba(new), plain.predict_proba(new), atol=1e-9)


def test_share_with_the_lowest_log_loss_is_chosen():
    X, y, gains, groups = make_table(3)
    known = {"gains": gains, "groups": groups}
    shares, found = (0.1, 0.5, 0.9), []
    # The first two columns hold what is to be known.
    for leading in (np.arange(6) < 2, np.arange(6) >= 2):
        losses = {}
        for share in shares:
            model = TableDiagnoser(leading_share=share).fit(X, y, leading=leading, **known)
            losses[share] = left_out_loss(model, y)
        chosen = TableDiagnoser(leading_share=shares).fit(X, y, leading=leading, **known)
        found.append(chosen.leading_share_)
        assert chosen.leading_share_ == min(losses, key=losses.get)
        alone = TableDiagnoser(leading_share=found[-1]).fit(X, y, leading=leading, **known)
        np.testing.assert_array_equal(chosen.predict_proba(X), alone.predict_proba(X))
    assert found[0] >= found[1]


@pytest.mark.parametrize("leading", [np.zeros(6, dtype=bool), np.ones(6, dtype=bool)])
def test_all_or_none_lead_alike(leading):
    X, y, gains, groups = make_table(3)
    model = TableDiagnoser().fit(X, y, gains=gains, groups=groups, leading=leading)
    plain = TableDiagnoser().fit(X, y, gains=gains, groups=groups)
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))


def test_domain(fitted):
    X, *_ = make_table(5)
    assert (fitted.domain_score(X) > 1).mean() < 0.1
    assert (fitted.domain_score(X + 30) > 1).all()
    assert (fitted.domain_score(make_table(n_groups=80, size=8)[0]) < 1e-6).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gains": np.zeros((288, 3))}, r"shape \(288, 2\)"),
        ({"gains": np.zeros((5, 2))}, r"found shape \(5, 2\)"),
        ({"gains": np.full((288, 2), np.nan)}, "576 that are NaN"),
        ({"gains": {"gain_widening": np.zeros(288)}}, "gain_constraining"),
        ({"gains": {**dict.fromkeys(GAINS, np.zeros(288)), LONGER: np.zeros(5)}}, r"\(288,\)"),
        ({"groups": np.zeros(288)}, "at least two groups"),
        ({"groups": np.arange(5)}, "inconsistent"),
        ({"y": np.arange(288) % 2}, "where gains are given"),
        ({"y": np.full(288, "well-fit")}, "one class"),
        ({"leading": np.ones(5, dtype=bool)}, r"6 columns, found shape \(5,\)"),
        ({"leading": np.arange(6)}, "boolean"),
    ],
)
def test_bad_input(change, words):
    X, y, gains, groups = make_table()
    given = {"y": y, "gains": gains, "groups": groups} | change
    with pytest.raises(ValueError, match=words):
        TableDiagnoser().fit(X, **given)


@pytest.mark.parametrize(
    "parameters",
    [
        {"gamma": 0},
        {"gamma": ()},
        {"gamma": (0.5, -1.0)},
        {"gamma": ["x"]},
        {"ridge": -1},
        {"leading_share": 1.0},
        {"leading_share": (0.5, 0.0)},
        {"leading_share": ()},
        {"class_weight": "even"},
    ],
)
def test_bad_parameters(parameters):
    X, y, *_ = make_table()
    with pytest.raises(ValueError, match=next(iter(parameters))):
        TableDiagnoser(**parameters).fit(X, y, leading=np.arange(6) < 2)


def test_gains_need_gains(fitted):
    X, y, *_ = make_table()
    with pytest.raises(ValueError, match="was fitted without"):
        TableDiagnoser().fit(X, y).predict_gains(X)
    with pytest.raises(NotFittedError):
        TableDiagnoser().predict_gains(X)
    with pytest.raises(ValueError, match="coverage between 0 and 1"):
        fitted.predict_gains(X, return_interval=True, coverage=1.0)


def test_learning_scale_is_undone():
    gains = np.array([-2.0, -0.01, 0.0, 0.05, 30.0])
    np.testing.assert_allclose(from_learning_scale(to_learning_scale(gains)), gains)
