"""Gauss-Newton products through the net, against J' Lambda J of dense derivatives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import jacobians_of, parts_of
from torch import nn
from torch.nn import functional

from hessdiag.curvature.network import flatten_outputs
from hessdiag.curvature.products import GaussNewtonProducts, OutputProducts

N, D = 6, 3
CLASSES = torch.tensor([0, 2, 1, 1, 0, 2])


class Network(nn.Module):
    """Three kinds of layers, one that does not reach the outputs, and one weight used twice."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)
        self.last, self.idle = nn.Linear(4, D), nn.Linear(4, 1)

    def forward(self, x):
        self.idle(x)
        return self.last(self.norm(self.first(torch.tanh(self.first(x)))).sigmoid())


LOSSES = {
    "cross-entropy": lambda z: functional.cross_entropy(z, CLASSES),
    "quartic": lambda z: (z**4).sum() / 7 - z.sin().sum(),
    "indefinite": lambda z: (z[:, 0] * z[:, 1]).sum() + z[:, 2].square().sum(),
    "linear": lambda z: z.sum(),
    "constant": lambda z: torch.ones((), dtype=z.dtype),
}


def products_of(parts, loss):
    chunks, start = [], 0
    for chunk in parts.chunks:
        chunks.append((chunk, start))
        start += chunk.n_samples
    X = torch.cat([chunk.X for chunk in parts.chunks])
    outputs = OutputProducts(loss, parts.outputs_of(X).detach())
    return GaussNewtonProducts(parts.outputs_of, chunks, outputs, parts.blocks)


def dense_matrices(parts, loss):
    """J' Lambda J with the whole second derivative of the loss in all outputs."""
    z = parts.outputs_of(torch.cat([chunk.X for chunk in parts.chunks])).detach()
    curvature = torch.autograd.functional.hessian(loss, z).view(z.numel(), z.numel())
    jacobians = {name: j.flatten(0, 1) for name, j in jacobians_of(parts).items()}
    return {name: rows.T @ curvature @ rows for name, rows in jacobians.items()}


def network_parts(batch_size=None, layers=None, seed=0):
    torch.manual_seed(seed)
    return parts_of(Network(), torch.randn(N, 4), batch_size=batch_size, layers=layers)


@pytest.mark.parametrize("batch_size", [None, 4, 1])
@pytest.mark.parametrize("loss", LOSSES)
def test_products_and_matrices(loss, batch_size):
    parts = network_parts(batch_size)
    products, expected = products_of(parts, LOSSES[loss]), dense_matrices(parts, LOSSES[loss])
    vectors = {b.name: torch.randn(3, b.n_params, dtype=torch.float64) for b in parts.blocks}
    images = products.products(vectors)
    assert list(images) == ["first", "norm", "last", "idle"]
    for name, image in images.items():
        torch.testing.assert_close(image, vectors[name] @ expected[name], rtol=1e-9, atol=1e-12)
        dense = products.dense(name, batch_size=5)
        torch.testing.assert_close(dense, expected[name], rtol=1e-9, atol=1e-12)
        assert torch.equal(dense, dense.T)
    assert not images["idle"].any()


def test_groups_are_one_matrix():
    parts = network_parts(layers={"two": ["first", "last.bias"], "rest": "last.weight"})
    expected = dense_matrices(parts, LOSSES["cross-entropy"])
    dense = products_of(parts, LOSSES["cross-entropy"]).dense("two")
    torch.testing.assert_close(dense, expected["two"], rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 100), st.integers(1, 4), st.sampled_from([None, 2]))
def test_they_are_linear_symmetric_and_positive(seed, k, batch_size):
    parts = network_parts(batch_size, seed=seed)
    products = products_of(parts, LOSSES["cross-entropy"])
    n_params = parts.blocks[0].n_params
    u, v = torch.randn(2, k, n_params, dtype=torch.float64)
    image_u, image_v, both = (products.products({"first": w})["first"] for w in (u, v, 2 * u - v))
    torch.testing.assert_close(both, 2 * image_u - image_v, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close((v * image_u).sum(1), (u * image_v).sum(1), rtol=1e-9, atol=1e-12)
    assert ((u * image_u).sum(1) > -1e-12).all()


@pytest.mark.parametrize(("batch_size", "passes"), [(None, 1), (2, 9)])
def test_what_is_recorded_is_kept_for_one_chunk_only(batch_size, passes):
    parts = network_parts(batch_size)
    products = products_of(parts, LOSSES["cross-entropy"])
    calls = []
    products.outputs_of = lambda X: calls.append(1) or parts.outputs_of(X)
    for _ in range(3):
        products.products({"first": torch.ones(1, parts.blocks[0].n_params, dtype=torch.float64)})
    assert len(calls) == passes
    assert products.records_anew == (batch_size is not None)


def test_a_net_without_gradients_has_matrices_of_zeros():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

        def forward(self, x):
            return x[:, :D]

    parts = parts_of(Constant(), torch.randn(N, 4))
    products = products_of(parts, LOSSES["cross-entropy"])
    assert not products.dense("module").any()
    assert products.dense("module").shape == (2, 2)


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_of_any_shape(shape, dtype):
    torch.manual_seed(0)
    z = torch.randn(shape, dtype=dtype)

    def loss(outputs):
        assert outputs.dtype == torch.float64
        return (flatten_outputs(outputs) ** 4).sum()

    products = OutputProducts(loss, z)
    flat = flatten_outputs(z).double()
    torch.testing.assert_close(products.residuals, 4 * flat**3)
    vectors = torch.randn(2, 3, flat.shape[1], dtype=dtype)
    for start in (0, 1, 2):
        images = products.products(vectors, start)
        assert images.dtype == dtype
        expected = 12 * flat[start : start + 3] ** 2 * vectors
        torch.testing.assert_close(images, expected.to(dtype))


@pytest.mark.parametrize("loss", ["linear", "constant"])
def test_losses_without_curvature_at_the_outputs(loss):
    products = OutputProducts(LOSSES[loss], torch.randn(N, D))
    assert (products.residuals == (1 if loss == "linear" else 0)).all()
    assert not products.products(torch.randn(2, N, D), 0).any()
