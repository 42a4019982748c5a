"""Lengths of rows, and factors of some samples, against dense Jacobians."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.curvature.factors import (
    DenseFactor,
    EmbeddingFactor,
    OuterFactor,
    rows_of,
    squared_row_norms,
)
from hessdiag.curvature.factors import _factor_norms as factor_norms

sizes = st.integers(1, 4)


@st.composite
def factors(draw):
    """A factor of any kind, in float64."""
    kind = draw(st.sampled_from(["outer", "dense", "embedding"]))
    n, d, t, o, i = (draw(sizes) for _ in range(5))
    torch.manual_seed(draw(st.integers(0, 1000)))
    if kind == "dense":
        return DenseFactor(torch.randn(n, d, o * i).double())
    if kind == "embedding":
        return EmbeddingFactor(torch.randint(3, (n, t)), torch.randn(n, d, t, o).double(), 3)
    groups, t = draw(st.integers(1, 2)), draw(st.sampled_from([t, 9]))
    pieces = draw(st.sampled_from([("weight", "bias"), ("bias", "weight"), ("weight",), ("bias",)]))
    inputs, sweeps = torch.randn(n, groups, t, i), torch.randn(n, d, groups, t, o)
    return OuterFactor(inputs.double(), sweeps.double(), pieces, draw(st.booleans()))


@settings(deadline=None, max_examples=80)
@given(factors(), st.data())
def test_norms_and_rows_are_those_of_the_dense_jacobian(factor, data):
    jacobian = factor.dense()
    norms = squared_row_norms(factor)
    assert norms.dtype == torch.float64
    torch.testing.assert_close(norms, jacobian.square().sum(dim=2))
    start = data.draw(st.integers(0, factor.n_samples - 1))
    some = data.draw(st.lists(st.integers(0, factor.n_samples - 1), min_size=1, max_size=4))
    for part in (slice(start, factor.n_samples), torch.tensor(some)):
        rows = rows_of(factor, part)
        assert type(rows) is type(factor)
        assert rows.n_params == factor.n_params
        torch.testing.assert_close(rows.dense(), jacobian[part])
        torch.testing.assert_close(squared_row_norms(rows), norms[part])


def outer(groups, positions, fan_in, pieces):
    inputs = torch.randn(7, groups, positions, fan_in, dtype=torch.float64)
    return OuterFactor(inputs, torch.randn(7, 2, groups, positions, 2).double(), pieces)


@pytest.mark.parametrize(
    "factor",
    [
        DenseFactor(torch.randn(7, 2, 3).double()),
        EmbeddingFactor(torch.randint(3, (7, 4)), torch.randn(7, 2, 4, 2).double(), 3),
        outer(2, 1, 3, ["weight"]),  # by pairs of positions
        outer(2, 1, 3, ["weight", "bias"]),
        outer(1, 9, 2, ["weight"]),  # by entries of the Jacobian
        outer(1, 9, 2, ["weight", "bias"]),
        outer(1, 9, 2, ["bias"]),
    ],
    ids=["dense", "embedding", "pairs", "pairs, bias", "entries", "entries, bias", "bias"],
)
def test_some_samples_at_a_time_give_the_same(factor, monkeypatch):
    expected = factor.dense().square().sum(dim=2)
    for entries in (10**7, 50, 1):
        monkeypatch.setattr(factor_norms, "MAX_BLOCK_ENTRIES", entries)
        torch.testing.assert_close(squared_row_norms(factor), expected)


@pytest.mark.parametrize("t", [1, 9])
def test_single_precision_is_summed_in_double(t):
    """Squares beyond the largest number of single precision are finite."""
    inputs, sweeps = torch.full((2, 1, t, 2), 1e15), torch.full((2, 1, 1, t, 2), 1e10)
    norms = squared_row_norms(OuterFactor(inputs, sweeps, ("weight",)))
    expected = torch.full((2, 1), 4 * (t * 1e25) ** 2, dtype=torch.float64)
    torch.testing.assert_close(norms, expected, rtol=1e-5, atol=0)


def test_what_is_not_a_number_stays_with_its_sample():
    factor = OuterFactor(torch.randn(3, 1, 2, 2), torch.randn(3, 1, 1, 2, 2), ("weight", "bias"))
    factor.inputs[1, 0, 0, 0] = torch.nan
    norms = squared_row_norms(factor)
    assert norms.isnan().flatten().tolist() == [False, True, False]
