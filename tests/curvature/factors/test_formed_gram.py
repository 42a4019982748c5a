"""Gram matrices that are formed once: what is kept of the factor, and when it pays."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.curvature.factors import DenseFactor, OuterFactor, form_gram, gram_pays


def factor_of(n=4, d=2, t=3, width=3, fan_in=5, dtype=torch.float64, pieces=("weight", "bias")):
    torch.manual_seed(0)
    inputs, sweeps = torch.randn(n, 1, t, fan_in), torch.randn(n, d, 1, t, width)
    return OuterFactor(inputs.to(dtype), sweeps.to(dtype), pieces)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_kept_in_its_own_precision_and_known_by_the_factor_s_sizes(dtype):
    factor = factor_of(dtype=dtype)
    formed = form_gram(factor)
    assert formed.dtype == formed.matrix.dtype == dtype
    assert formed.epsilon == torch.finfo(dtype).eps
    assert formed.gram().dtype == torch.float64
    for name in ("n_samples", "n_outputs", "n_params"):
        assert getattr(formed, name) == getattr(factor, name)
    assert not formed.prefers_dense
    assert formed.condensed() is formed
    assert formed.narrowed() is formed
    torch.testing.assert_close(formed.matrix, formed.matrix.T)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))
def test_products_are_linear_and_those_of_the_dense_jacobian(n, d, t, k):
    factor = factor_of(n, d, t)
    formed, rows = form_gram(factor), factor.dense().flatten(0, 1)
    outputs, others = torch.randn(2, k, n, d, dtype=torch.float64)
    images = formed.gram_products(outputs)
    assert images.shape == outputs.shape
    torch.testing.assert_close(images.flatten(1), outputs.flatten(1) @ rows @ rows.T)
    torch.testing.assert_close(
        formed.gram_products(outputs - 2 * others), images - 2 * formed.gram_products(others)
    )


def test_what_is_not_a_number_is_seen():
    factor = factor_of()
    factor.sweeps[0, 0, 0, 0, 0] = torch.nan
    assert not form_gram(factor).is_finite


shapes = st.tuples(*(st.integers(1, 200) for _ in range(5)))


@settings(deadline=None, max_examples=100)
@given(shapes, st.integers(0, 10**4))
def test_it_pays_the_more_the_more_products_are_due(shape, n_products):
    n, d, t, width, fan_in = shape
    factor = OuterFactor(
        torch.empty(n, 1, t, fan_in, device="meta"),
        torch.empty(n, d, 1, t, width, device="meta"),
        ("weight",),
    )
    assert not gram_pays(factor, 0)
    if gram_pays(factor, n_products):
        assert gram_pays(factor, n_products + 1)
        assert gram_pays(factor, 10 * n_products)
        # Only if reading it takes less time than a product without it.
        n_rows = n * d
        assert 10 * n_rows**2 < 2 * n * t * width * (fan_in + d)
        assert n_rows**2 <= 30_000_000


def test_other_kinds_of_factors_have_no_such_form():
    assert not gram_pays(DenseFactor(torch.empty(1, 1, 10**6)), 10**6)
