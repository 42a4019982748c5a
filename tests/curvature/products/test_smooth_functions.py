"""Kept derivatives against autograd's own, function by function and in products with Hessians."""

import numpy as np
import pytest
import torch
from dense_oracle import dense_hessians
from skorch import NeuralNetRegressor
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from hessdiag.curvature.products import _smooth_functions as smooth_functions
from hessdiag.curvature.products._hessian_products import HessianProducts
from hessdiag.curvature.products._smooth_functions import POINTWISE, KeptDerivatives
from hessdiag.spectra import layer_spectra

TARGETS = torch.tensor([[0, 2, -100, 1], [3, 3, 0, 2]])
MASK = torch.tensor([[True, False, True, True], [False, True, False, False]]).repeat(2, 1)
SILENT = torch.tensor([[True, False, True, True], [False, False, False, False]]).repeat(2, 1)
CLASS_WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 3.0]).double()
BIAS = torch.linspace(-1, 1, 16, dtype=torch.float64).reshape(4, 4)


def attention(**keywords):
    return lambda z: functional.scaled_dot_product_attention(z, z.tanh(), z.flip(-1), **keywords)


# Functions of z (2, 4, 4).
CASES = {f"{i}_{f.__name__}": f for i, f in enumerate(POINTWISE)}
CASES |= {
    "gelu_tanh": lambda z: functional.gelu(z, approximate="tanh"),
    "softplus_sharp": lambda z: functional.softplus(z, 3.0, 1.0),
    "elu_steep": lambda z: nn.ELU(0.5)(z),
    "softmax": lambda z: functional.softmax(z, -1),
    "softmax_method": lambda z: z.softmax(dim=1),
    "softmax_other_dtype": lambda z: functional.softmax(z, dim=1, dtype=torch.float64),
    "log_softmax": lambda z: torch.log_softmax(z, 1),
    "cross_entropy": lambda z: functional.cross_entropy(z, TARGETS),
    "cross_entropy_all_count": lambda z: functional.cross_entropy(z, TARGETS.clamp(min=0)),
    "cross_entropy_of_sequences": lambda z: functional.cross_entropy(
        z.mT, TARGETS.clamp(min=0), reduction="none"
    ),
    "cross_entropy_of_rows": lambda z: functional.cross_entropy(
        z.flatten(0, 1), TARGETS.clamp(min=0).flatten(), CLASS_WEIGHTS
    ),
    "cross_entropy_of_one": lambda z: functional.cross_entropy(z[0, 1], TARGETS[0, 1]),
    "cross_entropy_weighted": nn.CrossEntropyLoss(weight=CLASS_WEIGHTS, reduction="sum"),
    "cross_entropy_smooth": nn.CrossEntropyLoss(label_smoothing=0.1),
    "cross_entropy_soft": lambda z: functional.cross_entropy(z, BIAS.softmax(1).expand(2, 4, 4)),
    "layer_norm": nn.LayerNorm(4).double(),
    "layer_norm_two_axes": nn.LayerNorm((4, 4), eps=0.1, bias=False).double(),
    "layer_norm_bare": lambda z: functional.layer_norm(z, (4,)),
    "attention": attention(),
    "attention_causal": attention(is_causal=True, scale=0.7),
    "attention_allowed": attention(attn_mask=MASK),
    "attention_silent": attention(attn_mask=SILENT),
    "attention_of_matrices": lambda z: attention()(z[0]),
    "attention_wide_values": lambda z: functional.scaled_dot_product_attention(
        z, z.sin(), torch.cat([z, z.flip(-1), z.exp()], dim=-1), is_causal=True
    ),
    "attention_heads": lambda z: attention()(z.view(2, 4, 2, 2).transpose(1, 2)),
    "attention_biased": attention(attn_mask=BIAS),
    "twice": lambda z: functional.gelu(functional.layer_norm(functional.silu(z), (4,)) * z),
}
WITH_TARGETS = {"cross_entropy_weighted", "cross_entropy_smooth"}


def value_of(case, z):
    result = CASES[case](z, TARGETS) if case in WITH_TARGETS else CASES[case](z)
    # A function whose gradient at the result is no constant.
    return (result * torch.arange(result.numel(), dtype=z.dtype).view_as(result).cos()).sum().exp()


@pytest.mark.parametrize("case", CASES)
def test_second_derivatives_are_those_of_autograd(case):
    if case == "attention_silent" and not smooth_functions.SILENT_ROWS_ARE_ZERO:
        pytest.skip("torch before 2.5 gives nan where nothing may be looked at")
    torch.manual_seed(0)
    z = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    with sdpa_kernel([SDPBackend.MATH]):
        expected = torch.autograd.functional.hessian(lambda z: value_of(case, z), z)
        with KeptDerivatives():
            value = value_of(case, z)
        assert value.item() == pytest.approx(value_of(case, z).item(), rel=1e-12)
    (gradient,) = torch.autograd.grad(value, z, create_graph=True)
    identity = torch.eye(z.numel(), dtype=z.dtype).view(-1, *z.shape)
    (found,) = torch.autograd.grad(gradient, z, identity, retain_graph=True, is_grads_batched=True)
    np.testing.assert_allclose(found.view_as(expected), expected, rtol=1e-9, atol=1e-11)
    (row,) = torch.autograd.grad(gradient, z, identity[5], retain_graph=True)
    np.testing.assert_allclose(row, found[5], rtol=1e-12, atol=1e-13)
    (again,) = torch.autograd.grad(value, z)
    np.testing.assert_allclose(again, gradient.detach(), rtol=1e-12, atol=1e-13)


def test_silent_rows_are_what_torch_makes_of_them():
    z = torch.linspace(-1, 1, 32).view(2, 4, 4).requires_grad_()
    with sdpa_kernel([SDPBackend.MATH]):
        expected = CASES["attention_silent"](z)
        with KeptDerivatives():
            found = CASES["attention_silent"](z)
    torch.testing.assert_close(found, expected, equal_nan=True)


@pytest.mark.parametrize("function", [functional.elu, functional.silu, functional.celu])
def test_what_works_in_place_is_left_alone(function):
    z = torch.randn(3, requires_grad=True)
    with KeptDerivatives():
        work = z * 2
        assert function(work, inplace=True) is work


def test_what_is_not_differentiated_is_left_alone(monkeypatch):
    monkeypatch.setattr(smooth_functions, "_record_pointwise", None)
    with KeptDerivatives():
        torch.testing.assert_close(torch.randn(3).tanh().shape, (3,))
        with torch.no_grad():
            functional.gelu(torch.randn(3, requires_grad=True))


class Force(nn.Module):
    """The derivative of a smooth potential: the forward pass differentiates."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(2, 3), nn.Linear(3, 1)

    def forward(self, x):
        x = x.detach().requires_grad_(True)
        with torch.enable_grad():
            potential = self.outer(functional.softplus(self.inner(x))).sum()
            (force,) = torch.autograd.grad(potential, x, create_graph=True)
        return force


def test_third_derivatives_are_taken_where_the_forward_pass_differentiates():
    torch.manual_seed(0)
    X = np.random.default_rng(0).standard_normal((6, 2)).astype("float32")
    net = NeuralNetRegressor(Force(), max_epochs=1, train_split=None, verbose=0).fit(X, 2 * X)
    expected = dense_hessians(net, X, 2 * X)
    found = layer_spectra(net, X, 2 * X, dtype="float64", method="exact")
    for name, matrix in expected.items():
        values = np.linalg.eigvalsh(matrix)
        np.testing.assert_allclose(
            np.sort(found[name].nodes), values, atol=1e-7 * np.abs(values).max()
        )


def test_third_derivatives_are_refused():
    z = torch.randn(3, requires_grad=True)
    with KeptDerivatives():
        value = functional.gelu(z).sum()
    (first,) = torch.autograd.grad(value, z, create_graph=True)
    with pytest.raises(RuntimeError, match="third derivatives"):
        torch.autograd.grad(first.sum(), z, create_graph=True)


def test_products_record_once_and_keep():
    torch.manual_seed(0)
    calls = []

    class Block:
        name, parameters, n_params = "w", (torch.randn(5, requires_grad=True),), 5

    def scalar():
        calls.append(1)
        return functional.gelu(Block.parameters[0]).square().sum()

    products = HessianProducts([scalar], [Block])
    vectors = torch.randn(3, 5)
    first = products.products({"w": vectors})["w"]
    expected = torch.autograd.functional.hessian(
        lambda w: functional.gelu(w).square().sum(), Block.parameters[0]
    )
    torch.testing.assert_close(first, vectors @ expected)
    torch.testing.assert_close(products.dense("w"), expected)
    assert calls == [1]
