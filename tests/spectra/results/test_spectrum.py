"""Spectrum: what it accepts, what it says, and its density."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.integrate import trapezoid

from hessdiag.spectra import Spectrum

eigenvalues = hnp.arrays(
    float, st.integers(1, 20), elements=st.floats(-100, 100, allow_subnormal=False)
)


@given(eigenvalues, st.integers(0, 10))
def test_eigenvalues_go_in_and_come_out(values, n_more):
    spectrum = Spectrum.from_eigenvalues(values, values.size + n_more, resolution=0.0)
    expected = np.sort(np.append(values, np.zeros(n_more)))
    np.testing.assert_array_equal(spectrum.eigenvalues(), expected)
    assert spectrum.weights.sum() == pytest.approx(1)
    assert spectrum.trace == pytest.approx(values.sum(), abs=1e-9)
    assert spectrum.max_eigenvalue == expected[-1]
    assert spectrum.min_eigenvalue == expected[0]
    n_null = np.count_nonzero(expected == 0)
    assert np.count_nonzero(spectrum.nodes == 0) == (n_null > 0)


def test_rounding_counts_as_null_space():
    spectrum = Spectrum.from_eigenvalues([1.0, 1e-17, -1e-17])
    np.testing.assert_array_equal(spectrum.nodes, [0.0, 1.0])
    np.testing.assert_allclose(spectrum.weights, [2 / 3, 1 / 3])


def test_density_integrates_to_one_and_has_the_right_moments():
    spectrum = Spectrum(10, False, [-1.0, 0.5, 2.0], [0.2, 0.5, 0.3], 6.5)
    grid = np.linspace(-10, 10, 20001)
    for bandwidth in (None, 0.3):
        density = spectrum.density(grid, bandwidth)
        assert trapezoid(density, grid) == pytest.approx(1, rel=1e-6)
        mean = spectrum.nodes @ spectrum.weights
        assert trapezoid(density * grid, grid) == pytest.approx(mean, rel=1e-6)
    with pytest.raises(ValueError, match="positive bandwidth"):
        spectrum.density(grid, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, True, [1.0, 2.0], [1.0], 3.0), "one shape"),
        ((2, True, [], [], 0.0), "at least one node"),
        ((2, True, [1.0, 2.0], [0.5, 0.6], 3.0), "sum to 1"),
        ((2, True, [1.0, 2.0], [1.5, -0.5], 3.0), "nonnegative"),
        ((0, True, [1.0], [1.0], 3.0), "n_params=0"),
        ((1, True, [1.0, 2.0], [0.5, 0.5], 3.0), "at most n_params=1"),
        ((2, True, [1.0, 2.0], [0.5, 0.5], 3.0, 0.0, "fisher"), "'fisher'"),
    ],
)
def test_inconsistent_parts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Spectrum(*arguments)


def test_it_is_frozen_and_survives_pickling():
    spectrum = Spectrum.from_eigenvalues([2.0, -1.0], gn_gap=0.5)
    with pytest.raises(ValueError, match="read-only"):
        spectrum.nodes[0] = 0.0
    with pytest.raises(AttributeError):
        spectrum.trace = 0.0
    again = pickle.loads(pickle.dumps(spectrum))
    np.testing.assert_array_equal(again.nodes, spectrum.nodes)
    assert repr(again) == repr(spectrum)
    assert again.gn_gap == 0.5


def test_a_quadrature_has_no_eigenvalues_and_nan_is_nan():
    with pytest.raises(ValueError, match="method='exact'"):
        Spectrum(10, False, [1.0], [1.0], 10.0).eigenvalues()
    undefined = Spectrum.from_eigenvalues([1.0, np.inf], 5)
    assert np.isnan(undefined.trace)
    assert np.isnan(undefined.max_eigenvalue)
    assert undefined.n_params == 5
