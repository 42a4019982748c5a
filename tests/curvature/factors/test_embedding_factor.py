"""Factors of tables that are looked up: what only they do, beside the definition they share."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.curvature.factors import DenseFactor, EmbeddingFactor

sizes = st.integers(1, 4)


def factor_of(n=4, d=2, t=5, width=3, rows=6, seed=0):
    torch.manual_seed(seed)
    return EmbeddingFactor(torch.randint(rows, (n, t)), torch.randn(n, d, t, width).double(), rows)


def definition(factor):
    """Add every position's sweeps to the row of its token."""
    jacobian = torch.zeros(
        factor.n_samples, factor.n_outputs, factor.n_rows, factor.width, dtype=torch.float64
    )
    for n, tokens in enumerate(factor.index.tolist()):
        for t, token in enumerate(tokens):
            jacobian[n, :, token] += factor.sweeps[n, :, t]
    return jacobian.flatten(2)


@settings(deadline=None, max_examples=30)
@given(sizes, sizes, sizes, sizes, st.booleans(), st.integers(0, 1000))
def test_gauss_newton_products(n, d, t, width, signed, seed):
    factor = factor_of(n, d, t, width, seed=seed)
    rows = definition(factor).flatten(0, 1)
    signs = torch.sign(torch.randn(n, d)) if signed else None
    matrix = rows.T @ rows if signs is None else rows.T @ (signs.double().view(-1, 1) * rows)
    vectors = torch.randn(3, factor.n_params).double()
    torch.testing.assert_close(factor.gauss_newton(vectors, signs), vectors @ matrix)
    outputs = torch.randn(2, n, d).double()
    expected = (outputs.flatten(1) @ rows @ rows.T).view_as(outputs)
    torch.testing.assert_close(factor.gram_products(outputs), expected)


@pytest.mark.parametrize("entries", [1, 100, 10**7])
def test_gram_matrices_are_summed_over_parts_of_the_width(entries, monkeypatch):
    monkeypatch.setattr("hessdiag.curvature.factors._embedding_factor.MAX_BLOCK_ENTRIES", entries)
    factor = factor_of(width=7)
    rows = definition(factor).flatten(0, 1)
    torch.testing.assert_close(factor.gram(), rows @ rows.T)
    single = EmbeddingFactor(factor.index, factor.sweeps.float(), factor.n_rows)
    assert single.gram().dtype == torch.float64
    torch.testing.assert_close(single.gram(), rows @ rows.T, rtol=1e-5, atol=1e-5)


def test_tokens_that_do_not_occur_take_no_room():
    few = factor_of()
    huge = EmbeddingFactor(few.index * 10**8, few.sweeps, 10**9)
    assert huge.n_params == 3 * 10**9
    torch.testing.assert_close(huge.gram(), few.gram())
    assert not huge.prefers_dense


def test_which_token_is_which_does_not_matter_for_gram_matrices():
    factor = factor_of()
    renamed = EmbeddingFactor(torch.randperm(6)[factor.index], factor.sweeps, 6)
    torch.testing.assert_close(renamed.gram(), factor.gram())
    order = torch.randperm(5)
    shuffled = EmbeddingFactor(factor.index[:, order], factor.sweeps[:, :, order], 6)
    torch.testing.assert_close(shuffled.dense(), factor.dense())


def test_samples_of_different_lengths_are_padded_by_nothing():
    short, long = factor_of(n=2, t=2), factor_of(n=3, t=5, seed=1)
    joined = EmbeddingFactor.joined([short, long])
    assert joined.positions == 5
    torch.testing.assert_close(joined.dense(), torch.cat([definition(short), definition(long)]))
    torch.testing.assert_close(
        joined.gram(), DenseFactor(torch.cat([definition(short), definition(long)])).gram()
    )


def test_calls_of_different_lengths_add_up():
    short, long = factor_of(t=2), factor_of(t=5, seed=1)
    added = EmbeddingFactor.added([short, long])
    torch.testing.assert_close(added.dense(), definition(short) + definition(long))


def test_forms_and_finiteness():
    factor = factor_of()
    assert factor.condensed() is factor
    assert factor.narrowed() is factor
    assert factor.is_finite
    for value in (torch.nan, torch.inf):
        spoiled = EmbeddingFactor(factor.index, factor.sweeps.clone(), factor.n_rows)
        spoiled.sweeps[1, 0, 2, 1] = value
        assert not spoiled.is_finite
