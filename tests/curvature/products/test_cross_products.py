"""Products with the blocks between layers, against the dense Hessian of all layers together."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import joint_hessian, parts_of
from torch import nn

from hessdiag.curvature.products import CrossProducts

N = 5
NAMES = ["first", "norm", "last", "idle"]


class Network(nn.Module):
    """Layers behind each other, the first of them called twice, and one that is not used."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(3, 3), nn.LayerNorm(3)
        self.last, self.idle = nn.Linear(3, 2), nn.Linear(2, 1)

    def forward(self, x):
        return self.last(self.norm(self.first(torch.tanh(self.first(x)))).sigmoid())


def network_parts(batch_size=None, layers=None, seed=0):
    torch.manual_seed(seed)
    return parts_of(Network(), torch.randn(N, 3), batch_size=batch_size, layers=layers)


def products_of(parts):
    """Products with the Hessian of a smooth sum over samples, chunk by chunk."""
    scalars = [lambda X=chunk.X: loss(parts.outputs_of(X)) for chunk in parts.chunks]
    return CrossProducts(scalars, parts.blocks)


def loss(outputs):
    return (outputs**4).sum() + outputs.exp().sum()


def dense_blocks(parts):
    X = torch.cat([chunk.X for chunk in parts.chunks])
    return joint_hessian(loss(parts.outputs_of(X)), parts.blocks)


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("k", [1, 3])
def test_columns_of_every_pair_of_layers(batch_size, k):
    parts = network_parts(batch_size)
    expected, products = dense_blocks(parts), products_of(parts)
    sizes = {block.name: block.n_params for block in parts.blocks}
    for name in NAMES:
        vectors = torch.randn(k, sizes[name], dtype=torch.float64)
        found = products.columns(name, vectors, NAMES)
        assert list(found) == NAMES
        for other, image in found.items():
            block = expected[other, name]
            torch.testing.assert_close(image, vectors @ block.T, rtol=1e-9, atol=1e-11)
        # Those of the layer itself are its local Hessian's.
        torch.testing.assert_close(found[name], products.products({name: vectors})[name])
        squares = products.squared_norms(name, vectors, NAMES)
        assert squares.shape == (k, len(NAMES))
        lengths = [found[other].square().sum(1).numpy() for other in NAMES]
        np.testing.assert_allclose(squares, np.stack(lengths, axis=1), rtol=1e-12)
    assert all(not block.any() for (a, b), block in expected.items() if "idle" in (a, b))


def test_some_layers_in_an_order_of_one_s_own():
    parts = network_parts()
    products, expected = products_of(parts), dense_blocks(parts)
    vectors = torch.eye(parts.blocks[1].n_params, dtype=torch.float64)
    found = products.columns("norm", vectors, ["last", "first"])
    assert list(found) == ["last", "first"]
    for other, image in found.items():
        torch.testing.assert_close(image, expected[other, "norm"].T, rtol=1e-9, atol=1e-11)


def test_groups_of_several_parameters():
    layers = {"one": ["last.bias", "first.weight"], "two": ["first.bias", "norm", "last.weight"]}
    parts = network_parts(layers=layers)
    expected = dense_blocks(parts)
    vectors = torch.eye(parts.blocks[0].n_params, dtype=torch.float64)
    found = products_of(parts).columns("one", vectors, ["one", "two"])
    for other, image in found.items():
        torch.testing.assert_close(image, expected[other, "one"].T, rtol=1e-9, atol=1e-11)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 100), st.sampled_from([None, 2]), st.permutations(NAMES[:3]))
def test_a_block_is_the_transpose_of_its_opposite(seed, batch_size, names):
    one, other, _ = names
    parts = network_parts(batch_size, seed=seed)
    products = products_of(parts)
    sizes = {block.name: block.n_params for block in parts.blocks}
    u = torch.randn(2, sizes[one], dtype=torch.float64)
    v = torch.randn(2, sizes[other], dtype=torch.float64)
    there = (products.columns(one, u, [other])[other] * v).sum(1)
    back = (products.columns(other, v, [one])[one] * u).sum(1)
    torch.testing.assert_close(there, back, rtol=1e-9, atol=1e-11)


def test_order_of_samples_and_chunks_does_not_matter():
    parts = network_parts()
    vectors = torch.randn(2, parts.blocks[0].n_params, dtype=torch.float64)
    expected = products_of(parts).columns("first", vectors, NAMES)
    chunk = parts.chunks[0]
    order = torch.randperm(N)
    rows = [order[:1], order[1:4], order[4:]]
    scalars = [lambda X=chunk.X[part]: loss(parts.outputs_of(X)) for part in rows]
    found = CrossProducts(scalars, parts.blocks).columns("first", vectors, NAMES)
    for name, image in found.items():
        torch.testing.assert_close(image, expected[name], rtol=1e-9, atol=1e-11)
