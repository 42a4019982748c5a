"""Products by double backward and by sample-wise Hessians, against dense matrices."""

import warnings

import numpy as np
import pytest
import torch
from dense_oracle import dense_hessians, make_net
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.curvature.products import _hessian_products as hessian_products
from hessdiag.curvature.products import _linear_hessian as linear_hessian
from hessdiag.curvature.products._linear_hessian import LinearHessian, linear_hessians


def permuted(matrix, pieces, width, fan_in):
    """Reorder a matrix over (o, [a, 1]) into the order of a block's parameters."""
    index = np.arange(width * (fan_in + 1)).reshape(width, fan_in + 1)
    places = {"weight": index[:, :-1].ravel(), "bias": index[:, -1]}
    order = np.concatenate([places[piece] for piece in pieces])
    return matrix[np.ix_(order, order)]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([("weight", "bias"), ("bias", "weight"), ("weight",), ("bias",)]),
    st.booleans(),
)
def test_linear_hessians_are_sums_of_kronecker_products(n, width, fan_in, pieces, by_pairs):
    torch.manual_seed(n * width * fan_in)
    inputs, matrices = torch.randn(n, fan_in).double(), torch.randn(n, width, width).double()
    matrices = matrices + matrices.mT
    expected = sum(
        np.kron(h.numpy(), np.outer(a, a))
        for h, a in zip(matrices, np.column_stack([inputs.numpy(), np.ones(n)]))
    )
    expected = permuted(expected, pieces, width, fan_in)
    hessian = LinearHessian(inputs, matrices, pieces)
    before = linear_hessian.MAX_OUTER_ENTRIES
    linear_hessian.MAX_OUTER_ENTRIES = 0 if by_pairs else before
    try:
        np.testing.assert_allclose(hessian.dense().numpy(), expected, atol=1e-12)
    finally:
        linear_hessian.MAX_OUTER_ENTRIES = before
    vectors = torch.randn(3, len(expected)).double()
    np.testing.assert_allclose(
        hessian.products(vectors).numpy(), vectors.numpy() @ expected, atol=1e-12
    )


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("kind", ["gelu", "frozen", "prelu", "norms"])
def test_linear_hessians_of_nets(kind, batch_size, monkeypatch):
    monkeypatch.setattr(linear_hessian, "COLUMNS_AT_ONCE", 2)
    net, X, y = make_net(kind, "cross_entropy")
    expected = dense_hessians(net, X, y)
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float64", batch_size=batch_size)
        factors = problem.factors(weighted=True)
        blocks = [block for block in problem.blocks if block.kind == "Linear"]
        for name, hessian in linear_hessians(problem, blocks, factors).items():
            np.testing.assert_allclose(hessian.dense().numpy(), expected[name], atol=1e-12)


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("vectorized", [True, False])
@pytest.mark.parametrize("kind", ["gelu", "embedding", "lstm", "attention", "tied", "dict_input"])
def test_double_backward_equals_dense(kind, vectorized, batch_size, monkeypatch):
    if not vectorized:
        monkeypatch.setattr(hessian_products, "_batched", lambda *args: None)
    net, X, y = make_net(kind, "mse")
    expected = dense_hessians(net, X, y)
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float64", batch_size=batch_size)
        products = problem.whole_products()
        vectors = {b.name: torch.randn(2, b.n_params).double() for b in problem.blocks}
        images = products.products(vectors)
        for name, image in images.items():
            np.testing.assert_allclose(image, vectors[name].numpy() @ expected[name], atol=1e-9)
            dense = products.dense(name, batch_size=5)
            np.testing.assert_allclose(dense, expected[name], atol=1e-9)


def test_sparse_gradients_count():
    net, X, y = make_net("embedding", "mse")
    net.module_[0].sparse = True
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float64")
        net.module_[0].sparse = False
        factor = problem.factors()["0"]
        plain = prepare(net, X, y, dtype="float64").factors()["0"]
        torch.testing.assert_close(factor.dense(), plain.dense())


def test_warnings_on_the_way_back_are_no_errors():
    # As torch 2.4 gives them where a network keeps checkpoints.
    x = torch.linspace(-1, 1, 3).requires_grad_()
    output = x.sin()
    output.register_hook(lambda _: warnings.warn("deprecated", FutureWarning, stacklevel=1))
    with pytest.warns(FutureWarning, match="deprecated"):
        (found,) = hessian_products.vector_jacobian_products([output], [x], [torch.eye(3)])
    torch.testing.assert_close(found, x.detach().cos().diag())
