"""Bytes that graphs keep, against what is known to be saved; and what may be used."""

import gc

import pytest
import torch
from torch import nn
from torch.nn import functional

from hessdiag.curvature.network import available_memory, first_graph_bytes, second_graph_bytes
from hessdiag.testing import AllocatedBytes

N, IN, OUT = 7, 5, 3
X = torch.randn(N, IN, dtype=torch.float64)


@pytest.fixture
def weight():
    return nn.Parameter(torch.randn(IN, OUT, dtype=torch.float64))


def test_a_graph_keeps_what_its_backward_pass_reads(weight):
    # X @ W keeps X, tanh keeps its result, the sum nothing.
    kept = first_graph_bytes(lambda: torch.tanh(X @ weight).sum(), [weight])
    assert kept == 8 * (N * IN + N * OUT)
    known = first_graph_bytes(lambda: torch.tanh(X @ weight).sum(), [weight], [X])
    assert known == 8 * N * OUT


def test_parameters_and_views_of_one_storage_count_once(weight):
    assert first_graph_bytes(lambda: (weight * weight).sum(), [weight]) == 0
    shared = torch.ones(2, N, IN, dtype=torch.float64)
    kept = first_graph_bytes(lambda: ((shared[0] + shared[1]) @ weight).sum(), [weight])
    assert kept == 8 * N * IN
    kept = first_graph_bytes(lambda: ((shared[0] @ weight) + (shared[1] @ weight)).sum(), [weight])
    assert kept == 8 * 2 * N * IN


def test_a_graph_for_two_passes_keeps_more(weight):
    # Squares: the gradient 2 X'(X W) reads X and X W again.
    once, twice = (
        count(lambda: (X @ weight).square().sum(), [weight], [X])
        for count in (first_graph_bytes, second_graph_bytes)
    )
    assert once == 8 * N * OUT
    assert twice > once
    # The gradient of a linear function depends on nothing.
    assert second_graph_bytes(lambda: (X @ weight).sum(), [weight], [X]) == 0


def test_what_has_no_graph_keeps_nothing(weight):
    for count in (first_graph_bytes, second_graph_bytes):
        assert count(lambda: (X @ weight.detach()).exp().sum(), [weight]) == 0


@pytest.mark.parametrize("count", [first_graph_bytes, second_graph_bytes])
def test_counting_leaves_no_trace_and_holds_nothing(count):
    layer = nn.Linear(IN, OUT).double()
    count(lambda: functional.gelu(layer(X)).sum(), list(layer.parameters()))
    gc.collect()
    gc.disable()
    try:
        with AllocatedBytes() as allocated:
            count(lambda: functional.softmax(layer(X), 1).exp().sum(), list(layer.parameters()))
        assert allocated.held == 0
    finally:
        gc.enable()
    assert all(p.grad is None for p in layer.parameters())


def test_bytes_grow_with_samples_alone():
    layer = nn.Sequential(nn.Linear(IN, OUT), nn.LayerNorm(OUT), nn.GELU()).double()
    counts = [
        second_graph_bytes(
            lambda n=n: layer(X[:1].repeat(n, 1)).square().sum(), list(layer.parameters())
        )
        for n in (1, 2, 3, 6)
    ]
    share = counts[1] - counts[0]
    assert share > 0
    assert counts[2] - counts[1] == share
    assert counts[3] - counts[2] == 3 * share


def test_half_of_what_is_free_may_be_used(monkeypatch):
    monkeypatch.setattr("os.sysconf", {"SC_AVPHYS_PAGES": 100, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert available_memory() == available_memory("cpu") == 50 * 4096

    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr("os.sysconf", unknown)
    assert available_memory() == 4 * 2**30
