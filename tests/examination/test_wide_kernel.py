"""Kernels of wide layers against samples of such layers, and left-out residuals by leaving out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge

from hessdiag.examination import arc_cosine_kernel, left_out_residuals, wide_kernel_statistics

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3))


def fitted(kernel, targets, ridge):
    """Left-out residuals by leaving out."""
    rows = []
    for n in range(len(kernel)):
        rest = np.delete(np.arange(len(kernel)), n)
        model = KernelRidge(alpha=ridge, kernel="precomputed")
        model.fit(kernel[np.ix_(rest, rest)], targets[rest])
        rows.append(targets[n] - model.predict(kernel[[n]][:, rest])[0])
    return np.array(rows)


def test_kernel_is_the_mean_over_random_units():
    weights = RNG.standard_normal((400_000, 3))
    hidden = np.maximum(X[:6] @ weights.T, 0.0)
    expected = 2 * hidden @ hidden.T / len(weights)
    np.testing.assert_allclose(arc_cosine_kernel(X[:6] @ X[:6].T), expected, atol=0.03)


def test_kernel_keeps_lengths_and_nests():
    kernel = X @ X.T
    np.testing.assert_allclose(np.diag(arc_cosine_kernel(kernel, 3)), np.diag(kernel), rtol=1e-6)
    twice = arc_cosine_kernel(arc_cosine_kernel(kernel))
    np.testing.assert_allclose(arc_cosine_kernel(kernel, 2), twice)
    np.testing.assert_array_equal(arc_cosine_kernel(kernel, 0), kernel)


@pytest.mark.parametrize("ridge", [1e-2, 1.0, 30.0])
def test_left_out_residuals_are_those_of_leaving_out(ridge):
    kernel = arc_cosine_kernel(X @ X.T + 1.0)
    targets = RNG.standard_normal((40, 2))
    found = left_out_residuals(kernel, targets, [ridge])[0]
    np.testing.assert_allclose(found, fitted(kernel, targets, ridge), atol=1e-8)


def test_a_net_that_memorizes_and_one_that_misses():
    signal = np.sign(X[:, :1]) + 0.1
    noisy = signal * np.sign(RNG.uniform(-0.25, 0.75, (40, 1)))
    memorizing = wide_kernel_statistics(X @ X.T, noisy, noisy)
    knowing = wide_kernel_statistics(X @ X.T, noisy, 0.5 * signal)
    missing = wide_kernel_statistics(X @ X.T, signal, np.full((40, 1), signal.mean()))
    assert memorizing["attainable_gap"] < knowing["attainable_gap"] < missing["attainable_gap"]
    assert memorizing["memorized_share"] > 0.5 > 0.2 > missing["memorized_share"]
    assert missing["missed_share"] > 0.3 > 0.2 > memorizing["missed_share"]
    assert missing["residual_predictability"] > 0.3
    assert memorizing["residual_predictability"] == memorizing["recoverable_share"] == 0.0
    assert missing["prediction_predictability"] == 0.0


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-5, 5), unit=st.floats(0.1, 10))
def test_statistics_do_not_depend_on_units(scale, shift, unit):
    targets = X[:, :2] ** 2
    predictions = 0.7 * targets + 0.1
    plain = wide_kernel_statistics(X @ X.T, targets, predictions)
    moved = wide_kernel_statistics(
        scale**2 * X @ X.T, unit * targets + shift, unit * predictions + shift
    )
    assert moved == pytest.approx(plain, rel=1e-5, abs=1e-7)


def test_gap_is_the_balance_of_missed_and_memorized():
    found = wide_kernel_statistics(X @ X.T, X[:, :2] ** 2, X[:, 1:] * 0.2)
    assert found["missed_share"] - found["memorized_share"] == pytest.approx(
        found["attainable_gap"]
    )


@pytest.mark.parametrize(
    ("products", "targets", "predictions"),
    [
        (X @ X.T, np.ones((40, 1)), np.ones((40, 1))),
        (X @ X.T * np.nan, X[:, :1], X[:, :1]),
        (X @ X.T, X[:, :1], X[:, :1] * np.inf),
        (np.ones((2, 2)), np.eye(2), np.eye(2)),
    ],
)
def test_what_is_not_defined_is_nan(products, targets, predictions):
    assert np.isnan(list(wide_kernel_statistics(products, targets, predictions).values())).all()


def test_inputs_that_do_not_vary_tell_nothing():
    found = wide_kernel_statistics(np.zeros((40, 40)), X[:, :1], X[:, :1])
    assert found["attainable_r2"] == pytest.approx(0.0, abs=0.1)
