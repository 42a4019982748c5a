"""Leave-one-out from Gram matrices against dense inverses, left-out solves and real retraining."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.examination._leave_one_out import (
    leave_one_out,
    output_hessian_roots,
    weighted_gram,
    weighted_gram_from_jacobian,
)

RIDGES = np.array([0.03, 1.0, 40.0])


def softmax(outputs):
    exponentials = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def cross_entropy_case(n_samples, n_outputs, n_parameters, seed=0):
    """Random Jacobian, with residuals and output Hessians of softmax cross-entropy."""
    rng = np.random.default_rng(seed)
    jacobian = rng.normal(size=(n_samples * n_outputs, n_parameters))
    p = softmax(rng.normal(size=(n_samples, n_outputs)))
    hessian = p[:, :, None] * (np.eye(n_outputs) - p[:, None, :])
    one_hot = np.eye(n_outputs)[rng.integers(n_outputs, size=n_samples)]
    return jacobian, hessian, p - one_hot


def general_case(n_samples, n_outputs, n_parameters, rank, seed=0):
    """Output Hessians of a given rank; residuals reach outside their range."""
    rng = np.random.default_rng(seed)
    jacobian = rng.normal(size=(n_samples * n_outputs, n_parameters))
    factors = rng.normal(size=(n_samples, n_outputs, rank))
    return (
        jacobian,
        factors @ factors.transpose(0, 2, 1),
        rng.normal(size=(n_samples, n_outputs)),
    )


def brute_force(jacobian, hessian, residuals, ridge):
    """Remove each sample from the dense (p, p) quadratic model and solve again."""
    n_samples, n_outputs = residuals.shape
    blocks = jacobian.reshape(n_samples, n_outputs, -1)
    terms = np.einsum("ncp,ncd,ndq->npq", blocks, hessian, blocks)
    total = terms.sum(axis=0) + ridge * np.eye(jacobian.shape[1])
    inverse = np.linalg.inv(total)
    gradients = np.einsum("ncp,nc->np", blocks, residuals)
    shifts = np.stack(
        [
            block @ np.linalg.solve(total - term, gradient)
            for block, term, gradient in zip(blocks, terms, gradients)
        ]
    )
    leverages = np.einsum("npq,qp->n", terms, inverse)
    return shifts, leverages, np.einsum("np,pq,nq->n", gradients, inverse, gradients)


CASES = {
    "cross-entropy": cross_entropy_case(7, 3, 50),
    "cross-entropy, few parameters": cross_entropy_case(12, 4, 5),
    "two classes": cross_entropy_case(9, 2, 12),
    "one output": general_case(8, 1, 20, 1),
    "one output, few parameters": general_case(20, 1, 4, 1),
    "full rank": general_case(6, 3, 30, 3),
    "full rank, few parameters": general_case(9, 3, 4, 3),
    "outside the range": general_case(6, 4, 40, 2),
    "outside the range, few parameters": general_case(10, 4, 6, 2),
    "one sample": cross_entropy_case(1, 3, 5),
    "one sample, one output": general_case(1, 1, 3, 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("route", ["gram", "jacobian"])
def test_leave_one_out_equals_removing_each_sample_from_the_quadratic_model(case, route):
    jacobian, hessian, residuals = case
    roots, gram = output_hessian_roots(hessian), jacobian @ jacobian.T
    if route == "gram":
        weighted = weighted_gram(gram, roots, jacobian.shape[1])
    else:
        weighted = weighted_gram_from_jacobian(jacobian, roots)
    left = leave_one_out(weighted, gram, residuals, RIDGES)
    for index, ridge in enumerate(RIDGES):
        shifts, leverages, influences = brute_force(jacobian, hessian, residuals, ridge)
        np.testing.assert_allclose(left.shifts[index], shifts, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(left.leverages[index], leverages, rtol=1e-9)
        np.testing.assert_allclose(left.self_influences[index], influences, rtol=1e-8)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_both_routes_yield_the_spectrum_of_the_dense_matrix(case):
    jacobian, hessian, _ = case
    n_samples, n_outputs = hessian.shape[:2]
    blocks = jacobian.reshape(n_samples, n_outputs, -1)
    dense = np.einsum("ncp,ncd,ndq->pq", blocks, hessian, blocks)
    roots = output_hessian_roots(hessian)
    full = weighted_gram(jacobian @ jacobian.T, roots, jacobian.shape[1])
    thin = weighted_gram_from_jacobian(jacobian, roots)
    expected = np.linalg.eigvalsh(dense)[::-1]
    assert full.rank_bound == thin.rank_bound == min(n_samples * roots.shape[2], len(expected))
    for weighted in (full, thin):
        found = np.zeros(max(len(expected), len(weighted.eigenvalues)))
        found[: len(weighted.eigenvalues)] = weighted.eigenvalues
        padded = np.zeros_like(found)
        padded[: len(expected)] = expected
        np.testing.assert_allclose(found, padded, atol=1e-11 * expected[0])
        assert (np.diff(weighted.eigenvalues) <= 0).all()
        assert (weighted.eigenvalues >= 0).all()


def test_ridge_regression_equals_refitting_without_each_sample():
    rng = np.random.default_rng(0)
    x, y, ridge = rng.normal(size=(15, 4)), rng.normal(size=(15, 2)), 0.7
    jacobian = np.einsum("nf,cd->ncdf", x, np.eye(2)).reshape(30, 8)

    def fit(keep):
        return np.linalg.solve(x[keep].T @ x[keep] + ridge * np.eye(4), x[keep].T @ y[keep])

    outputs = x @ fit(np.arange(15))
    roots = output_hessian_roots(np.tile(np.eye(2), (15, 1, 1)))
    left = leave_one_out(
        weighted_gram_from_jacobian(jacobian, roots), jacobian @ jacobian.T, outputs - y, [ridge]
    )
    refitted = np.stack([x[n] @ fit(np.arange(15) != n) for n in range(15)])
    np.testing.assert_allclose(outputs + left.shifts[0], refitted, rtol=1e-10)


def fit_softmax(x, y, n_classes, ridge):
    """Train a linear softmax model with a ridge by Newton's method, to convergence."""
    n_features = x.shape[1]
    theta, one_hot = np.zeros((n_classes, n_features)), np.eye(n_classes)[y]
    for _ in range(50):
        p = softmax(x @ theta.T)
        gradient = (p - one_hot).T @ x + ridge * theta
        output_hessian = p[:, :, None] * (np.eye(n_classes) - p[:, None, :])
        hessian = np.einsum("ncd,nf,ng->cfdg", output_hessian, x, x).reshape(theta.size, theta.size)
        step = np.linalg.solve(hessian + ridge * np.eye(theta.size), gradient.ravel())
        theta = theta - step.reshape(theta.shape)
        if np.abs(gradient).max() < 1e-11:
            return theta
    raise AssertionError("Newton's method did not converge")


@pytest.mark.parametrize("n_classes", [2, 3])
def test_softmax_regression_is_close_to_retraining_without_each_sample(n_classes):
    rng = np.random.default_rng(1)
    n_samples, n_features, ridge = 60, 6, 1.0
    x = rng.normal(size=(n_samples, n_features))
    logits = x @ rng.normal(size=(n_classes, n_features)).T
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    outputs = x @ fit_softmax(x, y, n_classes, ridge).T
    p = softmax(outputs)
    hessian = p[:, :, None] * (np.eye(n_classes) - p[:, None, :])
    jacobian = np.einsum("nf,cd->ncdf", x, np.eye(n_classes)).reshape(n_samples * n_classes, -1)
    gram = jacobian @ jacobian.T
    left = leave_one_out(
        weighted_gram(gram, output_hessian_roots(hessian)), gram, p - np.eye(n_classes)[y], [ridge]
    )
    keep = ~np.eye(n_samples, dtype=bool)
    retrained = np.stack(
        [x[n] @ fit_softmax(x[keep[n]], y[keep[n]], n_classes, ridge).T for n in range(n_samples)]
    )
    # The change itself, not only the output, which hardly moves: size and direction.
    change = retrained - outputs
    assert np.corrcoef(left.shifts[0].ravel(), change.ravel())[0, 1] > 0.99
    assert np.linalg.norm(left.shifts[0] - change) < 0.12 * np.linalg.norm(change)

    def mean_loss(z):
        return -np.log(softmax(z)[np.arange(n_samples), y]).mean()

    true_gap = mean_loss(retrained) - mean_loss(outputs)
    assert true_gap > 0
    assert mean_loss(outputs + left.shifts[0]) - mean_loss(outputs) == pytest.approx(
        true_gap, rel=0.1
    )


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1e4])
@pytest.mark.parametrize(
    ("route", "n_parameters", "tolerance"),
    # From K alone, eigenvalues that should be zero are rounding of the largest one.
    [("jacobian", 6, 1e-12), ("jacobian", 20, 1e-12), ("gram", 20, 1e-12), ("gram", 6, 1e-7)],
)
def test_range_form_keeps_its_digits_at_extreme_ridges(scale, route, n_parameters, tolerance):
    """Against 50-digit arithmetic, for ridges from 1e-8 of the largest eigenvalue upwards."""
    mpmath = pytest.importorskip("mpmath")
    jacobian, hessian, residuals = cross_entropy_case(5, 3, n_parameters, seed=3)
    roots, gram = output_hessian_roots(hessian), jacobian @ jacobian.T
    if route == "gram":
        weighted = weighted_gram(gram, roots)
    else:
        weighted = weighted_gram_from_jacobian(jacobian, roots)
    ridge = float(scale * weighted.eigenvalues[0])
    left = leave_one_out(weighted, gram, residuals, [ridge])
    with mpmath.workdps(50):
        blocks = [mpmath.matrix(block.tolist()) for block in jacobian.reshape(5, 3, -1)]
        # Exact softmax Hessians from the diagonal, whose rows sum to zero in any precision.
        hessians = []
        for n in range(5):
            p = [mpmath.mpf(float(v)) for v in (residuals[n] - np.floor(residuals[n]))]
            p = [v / mpmath.fsum(p) for v in p]
            hessians.append(
                mpmath.matrix(3, 3) + mpmath.diag(p) - mpmath.matrix(p) * mpmath.matrix(p).T
            )
        expected = np.empty_like(residuals)
        eye = mpmath.eye(n_parameters)
        for n in range(5):
            rest = ridge * eye
            for m in range(5):
                if m != n:
                    rest += blocks[m].T * hessians[m] * blocks[m]
            gradient = blocks[n].T * mpmath.matrix(residuals[n].tolist())
            shift = blocks[n] * mpmath.lu_solve(rest, gradient)
            expected[n] = [float(v) for v in shift]
    error = np.linalg.norm(left.shifts[0] - expected) / np.linalg.norm(expected)
    assert error < tolerance


def test_roots_restore_the_output_hessian_with_the_least_columns():
    _, hessian, _ = cross_entropy_case(6, 4, 1)
    roots = output_hessian_roots(hessian)
    assert roots.shape == (6, 4, 3)
    np.testing.assert_allclose(roots @ roots.transpose(0, 2, 1), hessian, atol=1e-15)
    assert output_hessian_roots(hessian, rank=2).shape == (6, 4, 2)


def test_roots_clip_negative_curvature():
    indefinite = np.array([np.diag([2.0, -1.0]), np.diag([-3.0, 0.0])])
    roots = output_hessian_roots(indefinite)
    assert roots.shape == (2, 2, 1)
    np.testing.assert_allclose(
        roots @ roots.transpose(0, 2, 1), [np.diag([2.0, 0.0]), np.zeros((2, 2))], atol=1e-15
    )
    np.testing.assert_array_equal(output_hessian_roots([[[-4.0]], [[9.0]]]).ravel(), [0.0, 3.0])


def test_saturated_cross_entropy_keeps_its_rank():
    """Rounding of `p - p^2` at p near 1 does not count as a column."""
    outputs = np.array([[14.0, 0.0, 1.0], [0.0, 12.0, -1.0], [0.0, 1.0, 11.0]])
    p = softmax(outputs)
    assert output_hessian_roots(p[:, :, None] * np.eye(3) - p[:, :, None] * p[:, None]).shape == (
        3,
        3,
        2,
    )


def test_leverage_near_one_stays_finite_and_positive():
    """A sample alone in its direction: the outputs move by `r K / alpha`, not by rounding."""
    jacobian = np.diag([1e6, 1.0])
    left = leave_one_out(
        weighted_gram(jacobian @ jacobian.T, np.ones((2, 1, 1))),
        jacobian @ jacobian.T,
        np.array([[1e-3], [1.0]]),
        [1e-4],
    )
    np.testing.assert_allclose(left.shifts[0].ravel(), [1e-3 * 1e12 / 1e-4, 1e4], rtol=1e-8)
    assert (left.leverages <= 1).all()


def test_zero_residuals_and_zero_gram_move_nothing():
    jacobian, hessian, residuals = CASES["cross-entropy"]
    roots, gram = output_hessian_roots(hessian), jacobian @ jacobian.T
    left = leave_one_out(weighted_gram(gram, roots), gram, 0 * residuals, RIDGES)
    assert not left.shifts.any()
    assert not left.self_influences.any()
    for weighted in (
        weighted_gram(0 * gram, roots),
        weighted_gram_from_jacobian(np.zeros((21, 4)), roots),
    ):
        left = leave_one_out(weighted, 0 * gram, residuals, RIDGES)
        assert not left.shifts.any()
        assert not left.leverages.any()


def test_not_finite_is_nan_without_warnings():
    jacobian, hessian, residuals = CASES["cross-entropy"]
    roots, gram = output_hessian_roots(hessian), jacobian @ jacobian.T
    bad = gram.copy()
    bad[0, 0] = np.inf
    for weighted in (
        weighted_gram(bad, roots),
        weighted_gram_from_jacobian(jacobian * np.nan, roots),
        weighted_gram_from_jacobian(np.full((21, 2), np.nan), roots),
        weighted_gram(gram, output_hessian_roots(hessian * np.nan)),
    ):
        assert np.isnan(weighted.eigenvalues).all()
        assert np.isnan(leave_one_out(weighted, gram, residuals, RIDGES).shifts).all()


def test_old_name_of_a_keyword_works_for_one_release():
    jacobian, hessian, _ = CASES["cross-entropy"]
    gram, roots = jacobian @ jacobian.T, output_hessian_roots(hessian)
    with pytest.warns(FutureWarning, match="Expected n_params as keyword of weighted_gram"):
        found = weighted_gram(gram, roots, n_parameters=2)
    assert found.rank_bound == weighted_gram(gram, roots, n_params=2).rank_bound == 2
    with pytest.warns(FutureWarning), pytest.raises(TypeError, match="n_parameters"):
        weighted_gram(gram, roots, n_parameters=2, n_params=3)


def test_errors_name_the_expected_shape():
    jacobian, hessian, residuals = CASES["cross-entropy"]
    roots, gram = output_hessian_roots(hessian), jacobian @ jacobian.T
    weighted = weighted_gram(gram, roots)
    with pytest.raises(ValueError, match=r"\(N, C, C\), found \(7, 3\)"):
        output_hessian_roots(residuals)
    with pytest.raises(ValueError, match="Expected rank between 1 and C = 3, found 4"):
        output_hessian_roots(hessian, rank=4)
    with pytest.raises(ValueError, match=r"Expected roots of shape \(N, C, R\)"):
        weighted_gram(gram, residuals)
    with pytest.raises(ValueError, match=r"Expected gram .* \(21, 21\) .* found \(20, 20\)"):
        weighted_gram(gram[1:, 1:], roots)
    with pytest.raises(ValueError, match=r"Expected jacobian .* \(21, p\)"):
        weighted_gram_from_jacobian(jacobian[1:], roots)
    with pytest.raises(ValueError, match=r"Expected residuals of shape \(N, C\) = \(7, 3\)"):
        leave_one_out(weighted, gram, residuals[1:], RIDGES)
    with pytest.raises(ValueError, match="finite positive"):
        leave_one_out(weighted, gram, residuals, [1.0, 0.0])


@settings(max_examples=40, deadline=None)
@given(
    n_samples=st.integers(1, 6),
    n_outputs=st.integers(1, 4),
    n_parameters=st.integers(1, 30),
    ridge=st.floats(1e-2, 1e3),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_any_case_equals_brute_force(n_samples, n_outputs, n_parameters, ridge, seed, data):
    rank = data.draw(st.integers(1, n_outputs))
    case = general_case(n_samples, n_outputs, n_parameters, rank, seed)
    jacobian, hessian, residuals = case
    weighted = weighted_gram_from_jacobian(jacobian, output_hessian_roots(hessian))
    left = leave_one_out(weighted, jacobian @ jacobian.T, residuals, [ridge])
    shifts, leverages, influences = brute_force(*case, ridge)
    size = np.abs(shifts).max()
    np.testing.assert_allclose(left.shifts[0], shifts, rtol=1e-6, atol=1e-8 * size)
    np.testing.assert_allclose(left.leverages[0], leverages, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(left.self_influences[0], influences, rtol=1e-6)
