"""Weighted quantiles against NumPy's, and coverage on groups that were never seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.diagnosis._gain_intervals import GainIntervals, weighted_quantiles


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), min_size=1, max_size=12))
def test_quantiles_are_those_of_repeated_samples(pairs):
    values, counts = (np.array(part, dtype=float) for part in zip(*pairs, strict=True))
    if counts.sum() == 0:
        return
    repeated = np.repeat(values, counts.astype(int))
    # Levels that fall on no step of the distribution, where rounding would decide.
    levels = [0.01234, 0.2567, 0.51379, 0.9731]
    expected = np.quantile(repeated, levels, method="inverted_cdf")
    found = weighted_quantiles(values, (counts / counts.sum())[None], levels)
    np.testing.assert_array_equal(found[0], expected)


def test_weights_by_brute_force():
    rng = np.random.default_rng(0)
    Z, new = rng.normal(size=(20, 3)), rng.normal(size=(4, 3))
    model = GainIntervals().fit(Z, rng.normal(size=(20, 2)), np.arange(20) % 5)
    weights = model.weights(new)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    for row, z in zip(weights, new, strict=True):
        raw = [np.exp(-2 * np.sum((z - other) ** 2)) + 1e-6 for other in Z]
        np.testing.assert_allclose(row, np.array(raw) / np.sum(raw))


def grouped(rng, n_groups, size=15):
    """Noise that grows with the prediction, and an offset of each group."""
    groups = np.repeat(np.arange(n_groups), size)
    z = rng.normal(size=(len(groups), 2))
    offset = rng.normal(size=(n_groups, 2))[groups]
    noise = 0.3 * np.exp(z) * rng.standard_t(4, size=z.shape)
    return z, z + 0.4 * offset + noise, groups


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_coverage_on_unseen_groups(coverage):
    rng = np.random.default_rng(0)
    model = GainIntervals().fit(*grouped(rng, 60))
    z, gains, _ = grouped(rng, 100)
    intervals = model.predict(z, coverage)
    inside = (gains >= intervals[:, :, 0]) & (gains <= intervals[:, :, 1])
    np.testing.assert_allclose(inside.mean(axis=0), coverage, atol=0.05)
    width = intervals[:, :, 1] - intervals[:, :, 0]
    assert width[z[:, 0] > 1, 0].mean() > 2 * width[z[:, 0] < -1, 0].mean()


def test_intervals_are_nested_and_far_ones_wide():
    rng = np.random.default_rng(0)
    z, gains, groups = grouped(rng, 40)
    model = GainIntervals().fit(z, gains, groups)
    narrow, wide = model.predict(z, 0.5), model.predict(z, 0.95)
    assert (wide[:, :, 0] <= narrow[:, :, 0]).all()
    assert (wide[:, :, 1] >= narrow[:, :, 1]).all()
    far = model.predict(np.full((1, 2), 1e3), 0.9)[0]
    assert (far[:, 0] < np.quantile(gains, 0.1, axis=0)).all()
    assert (far[:, 1] > np.quantile(gains, 0.9, axis=0)).all()
