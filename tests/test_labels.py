"""The label rule, written down as a table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdiag.labels import (
    DELTA,
    DIAGNOSES,
    is_unsure,
    label_gains,
    label_probabilities,
    nearest_gains,
)

O, U, W = DIAGNOSES  # noqa: E741

RULE = [
    # widening, constraining, diagnosis
    (0.00, 0.00, W),
    (-1.0, -2.0, W),
    (0.049, 0.049, W),
    (0.05, 0.00, U),  # a gain of exactly delta counts
    (0.00, 0.05, O),
    (0.05, 0.0499, U),
    (0.30, 0.10, U),
    (0.10, 0.30, O),
    (0.20, 0.20, O),  # a tie is mended without making the network larger
    (0.05, 0.05, O),
    (-0.5, 0.06, O),
    (0.06, -0.5, U),
]


@pytest.mark.parametrize(("widening", "constraining", "diagnosis"), RULE)
def test_rule(widening, constraining, diagnosis):
    assert label_gains(widening, constraining) == diagnosis
    assert label_gains([widening], [constraining]).tolist() == [diagnosis]


def test_delta():
    assert DELTA == 0.05
    assert label_gains(0.1, 0.0, delta=0.2) == W
    assert label_gains(0.1, 0.0, delta=0.1) == U


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_gains_have_no_diagnosis(bad):
    with pytest.raises(ValueError, match="finite"):
        label_gains([0.1, bad], [0.1, 0.2])
    with pytest.raises(ValueError, match="finite"):
        label_gains([0.1, 0.1], [0.1, bad])


gains = st.floats(-0.2, 0.3)
errors = st.floats(0, 0.2)


@given(gains, gains, errors, errors)
def test_unsure_by_brute_force(widening, constraining, error_w, error_c):
    label = label_gains(widening, constraining)
    steps = np.linspace(-1, 1, 21)
    moved = {
        str(label_gains(widening + a * error_w, constraining + b * error_c))
        for a in steps
        for b in steps
    }
    assert bool(is_unsure(widening, constraining, error_w, error_c)) == (moved != {str(label)})


@given(gains, gains)
def test_missing_errors_count_as_none(widening, constraining):
    assert not is_unsure(widening, constraining, np.nan, np.nan)


@given(st.lists(st.tuples(gains, gains, errors, errors), min_size=1, max_size=8))
def test_arrays_are_their_elements(rows):
    w, c, ew, ec = np.array(rows).T
    assert label_gains(w, c).tolist() == [str(label_gains(a, b)) for a, b, _, _ in rows]
    assert is_unsure(w, c, ew, ec).tolist() == [bool(is_unsure(*row)) for row in rows]


@given(gains, gains, st.sampled_from(DIAGNOSES))
def test_nearest_gains_by_brute_force(widening, constraining, diagnosis):
    point = np.array([widening, constraining])
    (moved,) = nearest_gains(point[None], [diagnosis])
    assert label_gains(*moved) == diagnosis
    if label_gains(*point) == diagnosis:
        assert (moved == point).all()
    grid = np.linspace(-0.25, 0.35, 121)
    others = np.array([(w, c) for w in grid for c in grid])
    others = others[label_gains(*others.T) == diagnosis]
    nearest = np.linalg.norm(others - point, axis=1).min()
    assert np.linalg.norm(moved - point) <= nearest + 1e-9


def test_label_probabilities_by_drawing_gains():
    rng = np.random.default_rng(0)
    measured, error = 0.1 * rng.normal(size=(20, 2)), 0.08 * np.abs(rng.normal(size=(20, 2)))
    error[:2, 0], error[1:3, 1] = 0, 0
    drawn = measured + error * rng.normal(size=(20_000, 20, 2))
    names = label_gains(drawn[..., 0], drawn[..., 1])
    shares = np.stack([(names == name).mean(axis=0) for name in DIAGNOSES], axis=1)
    found = label_probabilities(measured, error)
    np.testing.assert_allclose(found, shares, atol=0.015)
    np.testing.assert_allclose(found.sum(axis=1), 1)


@given(gains, gains)
def test_label_probabilities_without_error_are_the_label(widening, constraining):
    for error in (0.0, np.nan):
        found = label_probabilities([[widening, constraining]], [[error, error]])
        # Gains within rounding of a border are on either side of it.
        if min(abs(widening - DELTA), abs(constraining - DELTA)) < 1e-6:
            continue
        if abs(widening - constraining) < 1e-6:
            continue
        assert DIAGNOSES[found[0].argmax()] == label_gains(widening, constraining)
        assert found.max() > 1 - 1e-9
