"""Gram matrices from sweeps and inputs alone, against the sum over pairs of positions by loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.curvature.factors import _gram_by_positions as module
from hessdiag.curvature.factors._gram_by_positions import gram_by_positions

sizes = st.integers(1, 4)
FLAGS = [(True, True), (True, False), (False, True)]


def drawn(n, d, t, width, fan_in, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, t, width).double(), torch.randn(n, t, fan_in).double()


def by_loops(sweeps, inputs, weight, bias):
    n, d, t, _ = sweeps.shape
    gram = torch.zeros(n, d, n, d, dtype=torch.float64)
    for i in range(n):
        for j in range(n):
            for u in range(t):
                for w in range(t):
                    inner = weight * (inputs[i, u] @ inputs[j, w]) + bias
                    gram[i, :, j] += inner * sweeps[i, :, u] @ sweeps[j, :, w].T
    return gram.view(n * d, n * d)


@settings(deadline=None, max_examples=40)
@given(sizes, sizes, sizes, sizes, sizes, st.sampled_from(FLAGS), st.sampled_from([1, 200, 10**7]))
def test_it_is_the_sum_over_pairs_of_positions(n, d, t, width, fan_in, flags, entries):
    sweeps, inputs = drawn(n, d, t, width, fan_in)
    before = module.MAX_BLOCK_ENTRIES
    module.MAX_BLOCK_ENTRIES = entries
    try:
        found = gram_by_positions(sweeps, inputs, *flags, torch.float64)
    finally:
        module.MAX_BLOCK_ENTRIES = before
    torch.testing.assert_close(found, by_loops(sweeps, inputs, *flags), rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(found, found.T, rtol=1e-12, atol=1e-12)
    assert torch.linalg.eigvalsh(found)[0] > -1e-9 * found.diagonal().sum()


@pytest.mark.parametrize(("weight", "bias"), FLAGS)
def test_order_of_positions_and_of_samples(weight, bias):
    sweeps, inputs = drawn(4, 2, 5, 3, 2)
    plain = gram_by_positions(sweeps, inputs, weight, bias, torch.float64)
    places, samples = torch.randperm(5), torch.randperm(4)
    found = gram_by_positions(sweeps[:, :, places], inputs[:, places], weight, bias, torch.float64)
    torch.testing.assert_close(found, plain)
    found = gram_by_positions(sweeps[samples], inputs[samples], weight, bias, torch.float64)
    rows = torch.arange(8).view(4, 2)[samples].reshape(-1)
    torch.testing.assert_close(found, plain[rows][:, rows])


def test_memory_may_lie_any_way():
    sweeps, inputs = drawn(3, 2, 4, 5, 6)
    plain = gram_by_positions(sweeps, inputs, True, True, torch.float64)
    turned = gram_by_positions(
        sweeps.mT.contiguous().mT, inputs.mT.contiguous().mT, True, True, torch.float64
    )
    torch.testing.assert_close(turned, plain)
    # Nothing that was given is written to.
    torch.testing.assert_close(sweeps, drawn(3, 2, 4, 5, 6)[0], rtol=0, atol=0)


@pytest.mark.parametrize("t", [1, 3])
def test_sums_are_in_the_precision_asked_for(t):
    sweeps, inputs = drawn(3, 2, t, 3, 2)
    exact = gram_by_positions(sweeps, inputs, True, True, torch.float64)
    raised = gram_by_positions(sweeps.float(), inputs.float(), True, True, torch.float64)
    single = gram_by_positions(sweeps.float(), inputs.float(), True, True, torch.float32)
    assert raised.dtype == torch.float64
    assert single.dtype == torch.float32
    torch.testing.assert_close(raised, exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(single.double(), raised, rtol=1e-5, atol=1e-5)
    huge = gram_by_positions(
        1e15 * sweeps.float(), 1e15 * inputs.float(), True, False, torch.float64
    )
    assert torch.isfinite(huge).all()
