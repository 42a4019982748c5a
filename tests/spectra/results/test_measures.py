"""Measures against brute force on the full list of eigenvalues, and their laws."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hessdiag import spectra as sp

eigenvalues = hnp.arrays(
    float, st.integers(1, 12), elements=st.floats(-10, 10).map(lambda e: round(e, 3))
)


def brute_force(v):
    """All measures from a full list of eigenvalues, as the textbooks write them."""
    size = np.abs(v)
    positive = v[v > 0]
    q = size[size > 0] / size.sum()
    above = positive[positive > 1e-8 * positive.max()] if positive.size else positive
    return {
        "trace": v.sum(),
        "max_eigenvalue": v.max(),
        "min_eigenvalue": v.min(),
        "negative_mass": -v[v < 0].sum() / size.sum(),
        "stable_rank": np.linalg.norm(np.diag(v)) ** 2 / np.linalg.norm(np.diag(v), 2) ** 2,
        "participation_ratio": size.sum() ** 2 / (v**2).sum(),
        "effective_rank": np.exp(-(q * np.log(q)).sum()),
        "n_outliers": (v > 10 * above.mean()).sum() if above.size else 0,
        "condition_number": positive.max() / positive.min() if positive.size else np.nan,
    }


@given(eigenvalues, st.integers(0, 5))
def test_measures_equal_brute_force(v, n_null):
    v = np.append(v, np.zeros(n_null))
    assume(np.abs(v).max() > 0)
    spectrum = sp.Spectrum.from_eigenvalues(v)
    expected = brute_force(v)
    for name in ("stable_rank", "participation_ratio", "effective_rank"):
        expected[name + "_fraction"] = expected[name] / v.size
    assert set(sp.MEASURES) == {*expected, "tail_exponent"}
    for name, value in expected.items():
        assert sp.MEASURES[name](spectrum) == pytest.approx(
            value, rel=1e-9, abs=1e-9, nan_ok=True
        ), name
    alpha = 0.7
    dimension = np.maximum(v, 0) / (np.maximum(v, 0) + alpha)
    assert sp.effective_dimension(spectrum, alpha) == pytest.approx(dimension.sum())


@given(eigenvalues, st.floats(1e-6, 1e6))
def test_ranks_and_shares_do_not_depend_on_scale(v, scale):
    assume(np.abs(v).max() > 0.01)
    one, other = (sp.Spectrum.from_eigenvalues(w) for w in (v, v * scale))
    for name in set(sp.MEASURES) - {"trace", "max_eigenvalue", "min_eigenvalue", "n_outliers"}:
        first, second = sp.MEASURES[name](one), sp.MEASURES[name](other)
        assert first == pytest.approx(second, rel=1e-6, abs=1e-9, nan_ok=True), name


@given(eigenvalues)
def test_ranks_are_ordered_and_bounded(v):
    assume(np.abs(v).max() > 0.01)
    spectrum = sp.Spectrum.from_eigenvalues(v)
    rank = np.count_nonzero(spectrum.nodes)
    stable, participation = sp.stable_rank(spectrum), sp.participation_ratio(spectrum)
    effective = sp.effective_rank(spectrum)
    tolerance = 1 + 1e-9
    assert stable * tolerance >= 1
    assert stable <= participation * tolerance
    assert participation <= effective * tolerance
    assert effective <= rank * tolerance


@pytest.mark.parametrize("exponent", [0.0, 0.5, 2.0])
def test_tail_exponent_of_a_power_law(exponent):
    v = np.arange(1, 50.0) ** -exponent
    assert sp.tail_exponent(sp.Spectrum.from_eigenvalues(v, 100)) == pytest.approx(exponent)


def test_zero_matrix_and_nan_are_defined():
    zero = sp.Spectrum.from_eigenvalues([0.0, 0.0])
    for name in ("trace", "stable_rank", "participation_ratio", "effective_rank", "n_outliers"):
        assert sp.MEASURES[name](zero) == 0
    assert np.isnan(sp.condition_number(zero))
    undefined = sp.Spectrum.undefined(3)
    for name, measure in sp.MEASURES.items():
        assert np.isnan(measure(undefined)), name
    with pytest.raises(ValueError, match="positive ridge"):
        sp.effective_dimension(zero, 0.0)
