"""Jacobians sample by sample, vectorized or one after the other, against `jacrev` of the batch."""

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from parts import jacobians_of, parts_of
from torch import nn

from hessdiag.curvature.factors import _per_sample as per_sample
from hessdiag.curvature.factors._per_sample import per_sample_factor

N = 4


def check(module, X, vectorized, monkeypatch, **given):
    """Compare; say whether one vectorized pass is enough."""
    loops = []
    looped = per_sample._looped
    monkeypatch.setattr(per_sample, "_looped", lambda *args: loops.append(1) or looped(*args))
    parts = parts_of(module, X, **given)
    expected = jacobians_of(parts)
    for block in parts.blocks:
        found = per_sample_factor(parts.copy, parts.chunks[0], block, parts.outputs_of)
        torch.testing.assert_close(found.dense(), expected[block.name], rtol=1e-9, atol=1e-11)
        weights = torch.randn(N, found.n_outputs, 3, dtype=torch.float64)
        weighted = per_sample_factor(parts.copy, parts.chunks[0], block, parts.outputs_of, weights)
        torch.testing.assert_close(
            weighted.dense(), torch.einsum("ncp,ncr->nrp", found.dense(), weights)
        )
    assert (not loops) == vectorized


class Tied(nn.Module):
    """One weight in two layers, under two names."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(3, 3), nn.Linear(3, 3)
        self.up.weight = self.down.weight

    def forward(self, x):
        return self.up(torch.tanh(self.down(x)))


class Branching(nn.Module):
    """Decides by the numbers of each batch, as vectorized passes cannot."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x):
        rows = [self.inner(row) if row.sum() > 0 else -self.inner(2 * row).exp() for row in x]
        return torch.stack(rows)


class Partly(nn.Module):
    """Owns a parameter that does not reach the outputs."""

    def __init__(self):
        super().__init__()
        self.scale, self.idle = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(2))

    def forward(self, x):
        return (x * self.scale).sin()


@pytest.mark.parametrize(("make", "vectorized"), [(Tied, True), (Branching, False), (Partly, True)])
def test_jacobians_are_those_of_the_batch(make, vectorized, monkeypatch):
    torch.manual_seed(0)
    check(make(), torch.randn(N, 3), vectorized, monkeypatch)


def test_groups_of_parameters_are_one_matrix(monkeypatch):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    check(module, torch.randn(N, 3), True, monkeypatch, layers={"odd": ["2.bias", "0.weight"]})


def test_sparse_gradients_are_taken_one_by_one(monkeypatch):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(5, 2, sparse=True), nn.Flatten(), nn.Linear(6, 2))
    X = torch.randint(5, (N, 3))
    parts = parts_of(module, X)
    found = per_sample_factor(parts.copy, parts.chunks[0], parts.blocks[0], parts.outputs_of)
    monkeypatch.setattr(per_sample, "_vectorized", lambda *args: None)
    looped = per_sample_factor(parts.copy, parts.chunks[0], parts.blocks[0], parts.outputs_of)
    torch.testing.assert_close(looped.dense(), found.dense())
    assert found.dense().any()


Pair = namedtuple("Pair", ["left", "right"])


class Trees(nn.Module):
    """Takes what it receives in a tree."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2))

    def forward(self, x):
        left, right = x.values() if isinstance(x, dict) else x
        return torch.tanh(left @ self.weight) * right


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("form", [dict, list, tuple, Pair])
def test_inputs_may_be_trees(form, loop, monkeypatch):
    torch.manual_seed(0)
    left, right = torch.randn(N, 3).double(), torch.randn(N, 1).double()
    tree = {"left": left, "right": right}
    tree = tree if form is dict else Pair(left, right) if form is Pair else form([left, right])
    module = Trees().double()
    block = SimpleNamespace(parameters=(module.weight,), n_params=6)
    chunk = SimpleNamespace(X=tree, n_samples=N)
    if loop:
        monkeypatch.setattr(per_sample, "_vectorized", lambda *args: None)
    else:
        monkeypatch.setattr(per_sample, "_looped", None)
    found = per_sample_factor(module, chunk, block, module).dense()
    expected = torch.func.jacrev(lambda w: torch.tanh(left @ w) * right)(module.weight.detach())
    torch.testing.assert_close(found, expected.flatten(2))


def test_outputs_that_depend_on_nothing_have_a_jacobian_of_zeros(monkeypatch):
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x.detach()[:, :2]

    parts = parts_of(Constant(), torch.randn(N, 3))
    monkeypatch.setattr(per_sample, "_vectorized", lambda *args: None)
    found = per_sample_factor(parts.copy, parts.chunks[0], parts.blocks[0], parts.outputs_of)
    assert found.dense().shape == (N, 2, 3)
    assert not found.dense().any()


def test_a_vectorized_pass_that_is_wrong_is_done_again_one_by_one(monkeypatch):
    """A derivative whose rule for batches says something else."""

    class Slope(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return 3 * x**2

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def vmap(info, in_dims, x):
            return Slope.apply(x) + 1, in_dims[0]

    class Cube(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, d):
            return d * Slope.apply(*ctx.saved_tensors)

    class Cubed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 2)

        def forward(self, x):
            return Cube.apply(self.inner(x))

    torch.manual_seed(0)
    parts = parts_of(Cubed(), torch.randn(N, 3))
    block, chunk = parts.blocks[0], parts.chunks[0]
    loops, looped = [], per_sample._looped
    monkeypatch.setattr(per_sample, "_looped", lambda *args: loops.append(1) or looped(*args))
    found = per_sample_factor(parts.copy, chunk, block, parts.outputs_of).dense()
    assert loops
    hidden = parts.copy.module_.inner(chunk.X).detach()
    plain = jacobians_of(parts_of(nn.Sequential(nn.Linear(3, 2)), chunk.X))["0"]
    torch.testing.assert_close(found, 3 * hidden[:, :, None] ** 2 * plain)
