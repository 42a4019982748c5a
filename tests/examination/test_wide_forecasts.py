"""Forecasts against kernel regression without the pair; comparisons against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.kernel_ridge import KernelRidge

from hessdiag.examination import arc_cosine_kernel, left_out_residuals
from hessdiag.examination._wide_forecasts import (
    DEPTHS,
    TEMPERS,
    WideForecasts,
    compare_classes,
    compare_numbers,
    entropy_of,
    to_probabilities,
)
from hessdiag.examination._wide_kernel import RIDGES

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3))
NEW = RNG.standard_normal((12, 3))
SMOOTH = np.column_stack([np.sin(2 * X[:, 0]), X[:, 1] * X[:, 2]])
LINEAR = X @ RNG.standard_normal((3, 1)) + 0.3 * RNG.standard_normal((40, 1))


def kernel_between(rows, columns, depth):
    """Kernel of all pairs, from the square kernel of both sets together."""
    both = np.vstack([rows, columns])
    products = both @ both.T / (np.square(X).sum() / len(X)) + 1.0
    return arc_cosine_kernel(products, depth)[: len(rows), len(rows) :]


def test_kernel_between_sets_is_that_of_both_together():
    both = np.vstack([NEW, X])
    squared = np.square(NEW).sum(axis=1), np.square(X).sum(axis=1)
    for depth in (0, 1, 3):
        found = arc_cosine_kernel(NEW @ X.T, depth, squared)
        expected = arc_cosine_kernel(both @ both.T, depth)[:12, 12:]
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("targets", [SMOOTH, LINEAR])
def test_kernel_and_ridge_are_the_best_for_samples_left_out(targets):
    found = WideForecasts(X @ X.T, targets)
    centred, sizes = targets - targets.mean(axis=0), {}
    for depth in DEPTHS:
        kernel = kernel_between(X, X, depth)
        ridges = RIDGES * np.trace(kernel) / len(kernel)
        left = left_out_residuals(kernel, centred, ridges)
        sizes |= {
            (depth, np.log10(ridge)): (np.square(rest).sum(), rest)
            for ridge, rest in zip(RIDGES, left, strict=True)
        }
    best = min(sizes, key=lambda key: sizes[key][0])
    assert (found.depth, found.log10_ridge) == pytest.approx(best)
    np.testing.assert_allclose(found.left_out, centred - sizes[best][1], atol=1e-10)
    assert found.variance == pytest.approx(targets.var(axis=0).sum())


@pytest.mark.parametrize("targets", [SMOOTH, LINEAR])
def test_forecasts_are_those_of_regressions_without_the_pair(targets):
    found = WideForecasts(X @ X.T, targets)
    pairs = RNG.integers(40, size=(12, 2))
    pairs[:3, 1] = pairs[:3, 0]
    products, squared = NEW @ X.T, np.square(NEW).sum(axis=1)
    by_all, without = found.at(products, squared, pairs)
    kernel, across = kernel_between(X, X, found.depth), kernel_between(NEW, X, found.depth)
    ridge = 10**found.log10_ridge * np.trace(kernel) / len(kernel)
    centred = targets - targets.mean(axis=0)
    model = KernelRidge(alpha=ridge, kernel="precomputed").fit(kernel, centred)
    np.testing.assert_allclose(by_all, model.predict(across), atol=1e-8)
    for row, pair in enumerate(pairs):
        rest = np.setdiff1d(np.arange(40), pair)
        model = KernelRidge(alpha=ridge, kernel="precomputed")
        model.fit(kernel[np.ix_(rest, rest)], centred[rest])
        np.testing.assert_allclose(
            without[row], model.predict(across[[row]][:, rest])[0], atol=1e-8
        )


def test_left_out_is_what_is_forecast_at_a_sample_without_it():
    found = WideForecasts(X @ X.T, SMOOTH)
    itself = np.repeat(np.arange(40)[:, None], 2, axis=1)
    _, without = found.at(X @ X.T, np.square(X).sum(axis=1), itself)
    np.testing.assert_allclose(without, found.left_out, atol=1e-9)


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-5, 5), unit=st.floats(0.1, 10))
def test_forecasts_do_not_depend_on_units(scale, shift, unit):
    pairs = np.array([[0, 1], [2, 2]])
    squared = np.square(NEW[:2]).sum(axis=1)
    plain = WideForecasts(X @ X.T, SMOOTH).at(NEW[:2] @ X.T, squared, pairs)
    moved = WideForecasts(scale**2 * X @ X.T, unit * SMOOTH + shift)
    moved = moved.at(scale**2 * NEW[:2] @ X.T, scale**2 * squared, pairs)
    for left, right in zip(plain, moved, strict=True):
        np.testing.assert_allclose(unit * left, right, rtol=1e-4, atol=1e-6)


def test_comparison_of_classes_is_by_its_formulas():
    logits = 3 * RNG.standard_normal((50, 3))
    forecasts = 0.3 * RNG.standard_normal((50, 3))
    mean, variance, attainable = np.array([0.5, 0.3, 0.2]), 0.62, 0.7
    found = compare_classes(logits, forecasts, mean, variance, attainable)
    q = to_probabilities(forecasts, mean)
    np.testing.assert_allclose(q.sum(axis=1), 1.0)
    assert q.min() > 0
    entropy = -(mean * np.log(mean)).sum()
    assert entropy_of(mean) == pytest.approx(entropy)

    def loss(factor):
        return -(q * log_softmax(factor * logits, axis=1)).sum() / 50 / entropy

    losses = [loss(factor) for factor in TEMPERS]
    P = softmax(logits, axis=1) - mean
    cosine = (P * forecasts).sum() / np.linalg.norm(P) / np.linalg.norm(forecasts)
    assert found == pytest.approx(
        {
            "distance": np.square(P - forecasts).sum() / 50 / variance,
            "agreement": cosine,
            "loss": loss(1.0),
            "tempered_loss": min(*losses, 1.0),
            "log_temper": np.log(TEMPERS[np.argmin(losses)]),
            "excess": loss(1.0) - attainable,
            "tempering_gain": loss(1.0) - min(*losses, 1.0),
            "other_class": np.mean(q.argmax(axis=1) != logits.argmax(axis=1)),
        }
    )


def test_comparison_of_numbers_is_by_its_formulas():
    forecasts = RNG.standard_normal((50, 2))
    predictions = 3.0 + 2.0 * forecasts + 0.1 * RNG.standard_normal((50, 2))
    mean, variance, attainable = np.array([3.0, 3.0]), 2.5, 0.2
    found = compare_numbers(predictions, forecasts, mean, variance, attainable)
    P = predictions - mean
    slope = (P * forecasts).sum() / np.square(P).sum()
    loss = np.square(P - forecasts).sum() / 50 / variance + attainable
    tempered = np.square(slope * P - forecasts).sum() / 50 / variance + attainable
    assert 0.4 < slope < 0.6
    assert np.isnan(found.pop("other_class"))
    assert found == pytest.approx(
        {
            "distance": loss - attainable,
            "agreement": slope * np.linalg.norm(P) / np.linalg.norm(forecasts),
            "loss": loss,
            "tempered_loss": tempered,
            "log_temper": np.log(slope),
            "excess": loss - attainable,
            "tempering_gain": loss - tempered,
        }
    )


def test_a_net_that_is_too_sure_is_told_so():
    likely = softmax(RNG.standard_normal((200, 2)), axis=1)
    mean = likely.mean(axis=0)
    known = (likely - mean, mean, 1 - np.square(mean).sum(), 0.5)
    calm = compare_classes(np.log(likely), *known)
    loud = compare_classes(10 * np.log(likely), *known)
    assert abs(calm["log_temper"]) < 0.1 > calm["tempering_gain"]
    assert loud["log_temper"] == pytest.approx(-np.log(10), abs=0.1)
    assert loud["tempered_loss"] == pytest.approx(calm["loss"], rel=1e-2)
    assert calm["other_class"] == loud["other_class"] == 0.0
