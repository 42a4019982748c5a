"""Hessians of linear layers by samples: which losses and nets they hold for, laws they obey."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import joint_hessian, parts_of
from torch import nn
from torch.nn import functional

from hessdiag.curvature.factors import capture_factors, join_factors
from hessdiag.curvature.network import output_curvature
from hessdiag.curvature.products import linear_hessians
from hessdiag.curvature.products._linear_hessian import LinearHessian

N = 5
CLASSES = torch.tensor([0, 1, 1, 2, 0])
LOSSES = {
    "cross-entropy": lambda z: functional.cross_entropy(z, CLASSES),
    "indefinite": lambda z: (z[:, 0] * z[:, 1]).sum() + z[:, 2].square().sum(),
    "concave": lambda z: -(z**4).sum(),
    "linear": lambda z: z.sum(),
}


def problem_of(parts, loss):
    """What `linear_hessians` takes of a problem, with weighted factors beside it."""
    z = parts.outputs_of(torch.cat([chunk.X for chunk in parts.chunks])).detach()
    known, offsets = output_curvature(loss, z), [0]
    factors = {block.name: [] for block in parts.blocks}
    for chunk in parts.chunks:
        weights = known.factors[offsets[-1] :][: chunk.n_samples]
        offsets.append(offsets[-1] + chunk.n_samples)
        built = capture_factors(parts.copy, chunk, parts.blocks, parts.outputs_of, N, weights)
        for name, factor in built.items():
            factors[name].append(factor)
    problem = SimpleNamespace(
        keeps_derivatives=True,
        outputs=known,
        chunks=parts.chunks,
        offsets=offsets,
        outputs_of=parts.outputs_of,
    )
    return problem, {name: join_factors(pieces) for name, pieces in factors.items()}


class Force(nn.Module):
    """Sends on the derivative of a smooth potential: the forward pass itself differentiates."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.potential = nn.Linear(4, 3, bias=False).requires_grad_(False)

    def forward(self, x):
        hidden = self.inner(x)
        energy = functional.softplus(self.potential(hidden)).square().sum()
        (force,) = torch.autograd.grad(energy, hidden, create_graph=True)
        return force[:, :3]


class Skipping(nn.Module):
    """Two layers that multiply each other, the one without a bias, and one of width one."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(3, 4, bias=False)
        self.gate, self.last = nn.Linear(3, 1), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(self.left(x).tanh() * self.right(x) + self.gate(x).sigmoid())


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("loss", LOSSES)
def test_matrices_and_products_are_those_of_the_dense_hessian(loss, batch_size):
    torch.manual_seed(0)
    parts = parts_of(Skipping(), torch.randn(N, 3), batch_size=batch_size)
    X = torch.cat([chunk.X for chunk in parts.chunks])
    expected = joint_hessian(LOSSES[loss](parts.outputs_of(X)), parts.blocks)
    problem, factors = problem_of(parts, LOSSES[loss])
    found = linear_hessians(problem, parts.blocks, factors)
    assert list(found) == ["left", "right", "gate", "last"]
    for block in parts.blocks:
        local, hessian = expected[block.name, block.name], found[block.name]
        torch.testing.assert_close(hessian.dense(), local, rtol=1e-9, atol=1e-11)
        vectors = torch.randn(2, block.n_params, dtype=torch.float64)
        torch.testing.assert_close(
            hessian.products(vectors), vectors @ local, rtol=1e-9, atol=1e-11
        )


def test_nets_that_differentiate_in_their_forward_pass():
    """Kept derivatives refuse the third, so that all is recorded plainly."""
    torch.manual_seed(0)
    parts = parts_of(Force(), torch.randn(N, 3))
    problem, factors = problem_of(parts, LOSSES["cross-entropy"])
    outputs = parts.outputs_of(parts.chunks[0].X)
    expected = joint_hessian(LOSSES["cross-entropy"](outputs), parts.blocks)
    assert factors["inner"].is_plain
    found = linear_hessians(problem, parts.blocks, factors)["inner"].dense()
    torch.testing.assert_close(found, expected["inner", "inner"], rtol=1e-9, atol=1e-11)


hessians = st.tuples(*(st.integers(1, 4) for _ in range(3)), st.integers(0, 1000))


def drawn(sizes, pieces=("weight", "bias")):
    n, width, fan_in, seed = sizes
    torch.manual_seed(seed)
    matrices = torch.randn(n, width, width, dtype=torch.float64)
    return LinearHessian(
        torch.randn(n, fan_in, dtype=torch.float64), matrices + matrices.mT, pieces
    )


@settings(deadline=None, max_examples=25)
@given(hessians)
def test_they_are_symmetric_and_sums_over_samples(sizes):
    hessian = drawn(sizes)
    matrix = hessian.dense()
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-12, atol=1e-12)
    each = [
        LinearHessian(a[None], h[None], hessian.pieces).dense()
        for a, h in zip(hessian.inputs, hessian.matrices)
    ]
    torch.testing.assert_close(sum(each), matrix)
    order = torch.randperm(len(each))
    shuffled = LinearHessian(hessian.inputs[order], hessian.matrices[order], hessian.pieces)
    torch.testing.assert_close(shuffled.dense(), matrix)


@settings(deadline=None, max_examples=25)
@given(hessians, st.integers(1, 3))
def test_products_are_linear(sizes, k):
    hessian = drawn(sizes, ("bias", "weight"))
    u, v = torch.randn(2, k, sum(hessian.sizes), dtype=torch.float64)
    torch.testing.assert_close(
        hessian.products(u - 2 * v), hessian.products(u) - 2 * hessian.products(v)
    )
