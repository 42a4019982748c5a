"""Factors of all layers from one forward pass, against `jacrev` of the net, however layers run."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import jacobians_of, parts_of
from torch import nn

from hessdiag.curvature.factors import (
    DenseFactor,
    EmbeddingFactor,
    OuterFactor,
    capture_factors,
    each_factor,
    join_factors,
    watching,
)
from hessdiag.curvature.factors import _capture as capture

N = 5


def factors_of(parts, weights=None):
    """Capture chunk by chunk, and join."""
    found, start = {block.name: [] for block in parts.blocks}, 0
    n_samples = sum(chunk.n_samples for chunk in parts.chunks)
    for chunk in parts.chunks:
        own = None if weights is None else weights[start : start + chunk.n_samples]
        built = capture_factors(parts.copy, chunk, parts.blocks, parts.outputs_of, n_samples, own)
        for name, factor in built.items():
            found[name].append(factor)
        start += chunk.n_samples
    return {name: join_factors(pieces) for name, pieces in found.items()}


def check(module, X, kinds=None, **given):
    """Compare with the dense Jacobians; say which kinds of factors are due."""
    parts = parts_of(module, X, **given)
    found, expected = factors_of(parts), jacobians_of(parts)
    assert list(found) == list(expected)
    for name, factor in found.items():
        torch.testing.assert_close(factor.dense(), expected[name], rtol=1e-9, atol=1e-11)
    if kinds is not None:
        assert {name: type(factor) for name, factor in found.items()} == kinds
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in parts.copy.modules())
    return found


class Branches(nn.Module):
    """A layer called on two branches, one whose result is dropped, one that is never called."""

    def __init__(self):
        super().__init__()
        self.shared, self.head = nn.Linear(3, 3), nn.Linear(3, 2)
        self.dropped, self.unused = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        self.dropped(x)
        return self.head(
            self.shared(x).sin() * self.shared(x.flip(1)) + self.shared(x[:, [0, 0, 1]])
        )


class InPlace(nn.Module):
    """Works in place on what layers send, and adds in place on top."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(3, 3) for _ in range(3))

    def forward(self, x):
        hidden = self.first(x)
        hidden.mul_(2).relu_()
        hidden = self.second(hidden)
        hidden += x
        hidden[:, 0] = 0
        return self.third(hidden.sigmoid_())


class OverwrittenInput(nn.Module):
    """Writes over what a layer received after it has run, as is allowed where it is not saved."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(3, 3), nn.Linear(3, 2)
        self.first.weight.requires_grad_(False)

    def forward(self, x):
        x = x.clone()
        hidden = self.first(x)
        x.zero_()
        return self.head(hidden.tanh() + x)


class PositionsOfTwoKinds(nn.Module):
    """Calls one layer on vectors and on sequences of them."""

    def __init__(self):
        super().__init__()
        self.shared, self.head = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.shared(x).tanh().mean(dim=1) + self.shared(x[:, 0]))


class ByName(nn.Module):
    """Hands a layer what it receives by name."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(torch.sin(self.inner(input=x)))


LINEAR = dict.fromkeys(("shared", "head"), OuterFactor)


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize(
    ("make", "shape", "kinds"),
    [
        (Branches, (3,), LINEAR | {"dropped": OuterFactor, "unused": DenseFactor}),
        (InPlace, (3,), dict.fromkeys(("first", "second", "third"), OuterFactor)),
        (OverwrittenInput, (3,), {"first": DenseFactor, "head": OuterFactor}),
        (PositionsOfTwoKinds, (4, 3), LINEAR),
        (ByName, (3,), {"inner": OuterFactor, "head": OuterFactor}),
    ],
)
def test_however_layers_are_called(make, shape, kinds, batch_size):
    torch.manual_seed(0)
    check(make(), torch.randn(N, *shape), kinds, batch_size=batch_size)


@pytest.mark.parametrize("sample_size", [(3, 6), (3, 60)])
def test_normalizations_of_many_positions_are_summed_at_once(sample_size):
    """Beyond four values sent for every derivative, sweeps are summed column by column."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.BatchNorm1d(3), nn.Tanh(), nn.GroupNorm(3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3, 2)
    )
    module.insert(4, nn.AdaptiveAvgPool1d(1))
    check(module, torch.randn(N, *sample_size))


def test_tokens_of_several_calls_add_up():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(6, 3, padding_idx=2), nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.table(x).mean(1).tanh() * self.table(x[:, 0]))

    torch.manual_seed(0)
    X = torch.randint(6, (N, 4))
    kinds = {"table": EmbeddingFactor, "head": OuterFactor}
    check(Words(), X, kinds)
    check(Words(), X, kinds, batch_size=2)


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_that_training_scales_are_derivatives_all_the_same(sparse):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(15, 2))
    X = torch.randint(4, (N, 5))
    expected = jacobians_of(parts_of(module, X))["0"]
    module[0].sparse, module[0].scale_grad_by_freq = sparse, not sparse
    parts = parts_of(module, X)
    assert module[0].scale_grad_by_freq is not sparse
    torch.testing.assert_close(factors_of(parts)["0"].dense(), expected)


def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3), nn.Tanh(), nn.Flatten())
    return module.append(nn.Linear(9, 4)).append(nn.GELU()).append(nn.Linear(4, 2))


@settings(deadline=None, max_examples=10)
@given(st.integers(1, N), st.integers(1, 3), st.integers(0, 100))
def test_weights_and_chunks(batch_size, rank, seed):
    """Factors of B'J in any chunks are those of J, each sample multiplied by its own B."""
    parts = parts_of(network(), torch.randn(N, 2, 4), batch_size=batch_size)
    torch.manual_seed(seed)
    weights = torch.randn(N, 2, rank, dtype=torch.float64)
    found, expected = factors_of(parts, weights), jacobians_of(parts)
    for name, factor in found.items():
        assert factor.n_outputs == rank
        weighted = torch.einsum("ncp,ncr->nrp", expected[name], weights)
        torch.testing.assert_close(factor.dense(), weighted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "layers",
    [
        {"all": "*"},
        {"biases": "*.bias", "rest": ["*.weight"]},
        {"last": ["6.bias"], "first": ["0.weight"]},
        ["6", "0"],
    ],
)
def test_groups_and_single_parameters(layers):
    check(network(), torch.randn(N, 2, 4), layers=layers)


def test_single_samples_and_single_outputs():
    check(nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)), torch.randn(1, 3))
    check(nn.Linear(3, 1), torch.randn(N, 3))


def test_factors_come_one_by_one_in_the_order_of_layers():
    parts = parts_of(network(), torch.randn(N, 2, 4))
    blocks = parts.blocks[::-1]
    chunk = parts.chunks[0]
    names = [name for name, _ in each_factor(parts.copy, chunk, blocks, parts.outputs_of, N)]
    assert names == [block.name for block in blocks]


def test_what_is_dense_and_too_large_is_not_built(monkeypatch):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.head = nn.Parameter(torch.ones(3)), nn.Linear(3, 2)

        def forward(self, x):
            return self.head((x * self.scale).sin())

    parts = parts_of(Mixed(), torch.randn(N, 3))
    bytes_of_two = 2 * N * 2 * 3 * 8
    for available, built in ((bytes_of_two, True), (bytes_of_two - 1, False)):
        monkeypatch.setattr(capture, "available_memory", lambda device, free=available: free)
        found = factors_of(parts)
        assert (found["module"] is not None) == built
        assert isinstance(found["head"], OuterFactor)


def test_watching_sees_every_call_as_it_was_sent():
    layer, other = nn.Linear(2, 2), nn.LSTM(2, 2)
    x, z = torch.ones(1, 2), torch.zeros(1, 2)
    with watching([layer, other]) as records:
        sent = [layer(x), layer(z)]
        other(x)
        plain = sent[0].clone()
        sent[0].zero_()
    first, second = records[id(layer)]
    assert torch.equal(first[0], x)
    assert torch.equal(second[0], z)
    assert torch.equal(first[2], plain)
    assert first[2].requires_grad
    assert not first[0].requires_grad
    assert records[id(other)] == [None]  # it sends more than a tensor
    # What is written over afterwards shows in its version.
    assert first[0]._version == first[1]
    x.zero_()
    assert first[0]._version > first[1]
    assert not layer._forward_hooks


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_watching_ends_with_an_error(error):
    layer = nn.Linear(2, 2)
    with pytest.raises(error), watching([layer]):
        raise error
    assert not layer._forward_hooks


def test_gradients_and_parameters_stay_as_they_were():
    parts = parts_of(network(), torch.randn(N, 2, 4))
    before = {name: p.clone() for name, p in parts.copy.named_parameters()}
    factors_of(parts)
    for name, parameter in parts.copy.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, before[name])
