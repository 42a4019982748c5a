"""Functions that keep their derivatives, of both orders, against finite differences."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

from hessdiag.curvature.products._kept_derivatives import (
    CrossEntropy,
    LogSoftmax,
    Normalize,
    Pointwise,
    Product,
    Softmax,
)

TARGET = torch.tensor([[0, 2, 1], [3, 3, 0]])
WEIGHTS = torch.tensor([[1.0, 0.5, 2.0], [0.0, 3.0, 1.0]], dtype=torch.float64)
# Entries that count for nothing, as where a query may look at no key.
SILENT = torch.zeros(2, 3, 1, dtype=torch.bool)
SILENT[0, 1] = SILENT[1, 2] = True

# name -> (function, what it takes; plain torch of the same)
CASES = {
    "pointwise": (lambda z: Pointwise.apply(z, torch.tanh), torch.tanh),
    "pointwise_cubed": (lambda z: Pointwise.apply(z, lambda x: x**3), lambda z: z**3),
    "softmax": (lambda z: Softmax.apply(z, -1, None), lambda z: z.softmax(-1)),
    "softmax_first_axis": (lambda z: Softmax.apply(z, 0, None), lambda z: z.softmax(0)),
    "softmax_silent": (
        lambda z: Softmax.apply(z, -1, SILENT),
        lambda z: z.softmax(-1).masked_fill(SILENT, 0.0),
    ),
    "log_softmax": (lambda z: LogSoftmax.apply(z, 1), lambda z: z.log_softmax(1)),
    "cross_entropy": (
        lambda z: CrossEntropy.apply(z, TARGET, None),
        lambda z: functional.cross_entropy(z.movedim(-1, 1), TARGET, reduction="none"),
    ),
    "cross_entropy_weighted": (
        lambda z: CrossEntropy.apply(z, TARGET, WEIGHTS),
        lambda z: WEIGHTS * functional.cross_entropy(z.movedim(-1, 1), TARGET, reduction="none"),
    ),
    "normalize": (
        lambda z: Normalize.apply(z, [4], 1e-5),
        lambda z: functional.layer_norm(z, [4], eps=1e-5),
    ),
    "normalize_two_axes": (
        lambda z: Normalize.apply(z, [3, 4], 0.5),
        lambda z: functional.layer_norm(z, [3, 4], eps=0.5),
    ),
}


def leaf(*shape, seed=0):
    torch.manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("case", CASES)
def test_values_and_both_derivatives(case):
    kept, plain = CASES[case]
    z = leaf(2, 3, 4)
    torch.testing.assert_close(kept(z), plain(z), rtol=1e-12, atol=1e-12)
    assert gradcheck(kept, (z,))
    assert gradgradcheck(kept, (z,))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("needed", [(True, True), (True, False), (False, True)])
def test_products_of_matrices(transposed, needed):
    left, right = leaf(2, 3, 4), leaf(2, 5, 4, seed=1) if transposed else leaf(2, 4, 5, seed=1)
    sides = tuple(side.detach().requires_grad_(n) for side, n in zip((left, right), needed))

    def kept(left, right):
        return Product.apply(left, right, transposed)

    torch.testing.assert_close(kept(*sides), left @ (right.mT if transposed else right))
    assert gradcheck(kept, sides)
    assert gradgradcheck(kept, sides)


def test_products_of_a_matrix_with_itself():
    def kept(z):
        return Product.apply(z, z.sin(), True)

    assert gradgradcheck(kept, (leaf(2, 3, 3),))


@pytest.mark.parametrize("case", [*CASES, "product"])
def test_a_second_derivative_may_be_taken_in_many_directions_at_once(case):
    kept = CASES[case][0] if case in CASES else lambda z: Product.apply(z, z.cos(), True)
    z = leaf(2, 3, 4)
    out = kept(z)
    (gradient,) = torch.autograd.grad((out * out.detach().cos()).sum(), z, create_graph=True)
    directions = torch.randn(5, *z.shape, dtype=z.dtype)
    (together,) = torch.autograd.grad(
        gradient, z, directions, retain_graph=True, is_grads_batched=True
    )
    for direction, found in zip(directions, together):
        (alone,) = torch.autograd.grad(gradient, z, direction, retain_graph=True)
        torch.testing.assert_close(found, alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", [*CASES, "product"])
def test_third_derivatives_are_refused(case):
    kept = CASES[case][0] if case in CASES else lambda z: Product.apply(z, z.cos(), True)
    z = leaf(2, 3, 4)
    (first,) = torch.autograd.grad(kept(z).square().sum(), z, create_graph=True)
    with pytest.raises(RuntimeError, match="no third derivatives"):
        torch.autograd.grad(first.square().sum(), z, create_graph=True)


def test_derivatives_of_a_pointwise_function_are_worked_out_once():
    calls = []

    def function(x):
        calls.append(1)
        return torch.sin(x)

    z = leaf(4)
    value = Pointwise.apply(z, function).sum()
    assert len(calls) == 1
    for _ in range(3):
        torch.autograd.grad(value, z, retain_graph=True)
    assert len(calls) == 2
    (gradient,) = torch.autograd.grad(value, z, create_graph=True)
    assert len(calls) == 3
    for _ in range(3):
        (second,) = torch.autograd.grad(gradient.sum(), z, retain_graph=True)
    assert len(calls) == 3
    torch.testing.assert_close(second, -torch.sin(z).detach())


@pytest.mark.parametrize("case", ["softmax", "log_softmax", "cross_entropy", "normalize"])
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_far_from_the_middle_they_are_finite_and_those_of_autograd(case, scale):
    kept, plain = CASES[case]
    z = (scale * leaf(2, 3, 4)).detach().requires_grad_(True)
    found = []
    for function in (kept, plain):
        value = function(z).square().sum()
        (gradient,) = torch.autograd.grad(value, z, create_graph=True)
        (second,) = torch.autograd.grad(gradient, z, torch.ones_like(z).cumsum(2))
        found.append((value.detach(), gradient.detach(), second))
    for one, other in zip(*found):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9 * max(1.0, scale**-2))
