"""The scalar as a function of the outputs, against closed forms that are written out in NumPy."""

import numpy as np
import pytest
import torch
from problems import problem_of
from torch import nn

from hessdiag.curvature.network import NotSeparableError, _outputs, untouched_surroundings

N, C = 6, 3
RNG = np.random.default_rng(0)
Z = RNG.normal(size=(N, C))
Y = RNG.integers(0, C, N)
T = RNG.normal(size=(N, C))
ONE_HOT = np.eye(C)[Y]
P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
EYES = np.broadcast_to(np.eye(C), (N, C, C))
OF_SOFTMAX = np.einsum("nc,cd->ncd", P, np.eye(C)) - np.einsum("nc,nd->ncd", P, P)
WEIGHTS = np.array([0.5, 1.0, 3.0])
OF_CLASSES = WEIGHTS[Y] / WEIGHTS[Y].sum()
MARKS = RNG.integers(0, 2, (N, C)).astype(float)
SHARES = 1 / (1 + np.exp(-Z))


def softmax(z):
    return torch.softmax(z, dim=1)


def log_softmax(z):
    return torch.log_softmax(z, dim=1)


#: Keywords of a problem; loss, gradient and Hessians in the outputs; coordinates examined.
CLOSED = {
    "squares": (
        {"y": T, "criterion": nn.MSELoss, "kind": "regressor"},
        (np.square(Z - T).mean(), 2 * (Z - T) / (N * C), 2 * EYES / (N * C)),
        Z,
    ),
    "sum of squares": (
        {"y": T, "criterion": nn.MSELoss, "criterion__reduction": "sum"},
        (np.square(Z - T).sum(), 2 * (Z - T), 2 * EYES),
        Z,
    ),
    "cross-entropy": (
        {"y": Y, "criterion": nn.CrossEntropyLoss, "kind": "classifier"},
        (-np.log(P[np.arange(N), Y]).mean(), (P - ONE_HOT) / N, OF_SOFTMAX / N),
        Z,
    ),
    "weighted cross-entropy": (
        {
            "y": Y,
            "criterion": nn.CrossEntropyLoss,
            "criterion__weight": torch.tensor(WEIGHTS, dtype=torch.float32),
        },
        (
            -(OF_CLASSES * np.log(P[np.arange(N), Y])).sum(),
            OF_CLASSES[:, None] * (P - ONE_HOT),
            OF_CLASSES[:, None, None] * OF_SOFTMAX,
        ),
        Z,
    ),
    "binary cross-entropy": (
        {"y": MARKS, "criterion": nn.BCEWithLogitsLoss},
        (
            -(MARKS * np.log(SHARES) + (1 - MARKS) * np.log(1 - SHARES)).mean(),
            (SHARES - MARKS) / (N * C),
            (SHARES * (1 - SHARES))[:, :, None] * EYES / (N * C),
        ),
        Z,
    ),
    # Nets that end in probabilities are examined as those that end before.
    "probabilities": (
        {"y": Y, "criterion": nn.NLLLoss, "kind": "classifier", "ending": softmax},
        (-np.log(P[np.arange(N), Y]).mean(), (P - ONE_HOT) / N, OF_SOFTMAX / N),
        np.log(P),
    ),
    "logarithms": (
        {"y": Y, "criterion": nn.NLLLoss, "ending": log_softmax},
        (-np.log(P[np.arange(N), Y]).mean(), (P - ONE_HOT) / N, OF_SOFTMAX / N),
        np.log(P),
    ),
    "shares": (
        {"y": MARKS, "criterion": nn.BCELoss, "ending": torch.sigmoid},
        (
            -(MARKS * np.log(SHARES) + (1 - MARKS) * np.log(1 - SHARES)).mean(),
            (SHARES - MARKS) / (N * C),
            (SHARES * (1 - SHARES))[:, :, None] * EYES / (N * C),
        ),
        Z,
    ),
}


def function_of(name):
    settings, known, values = CLOSED[name]
    settings = dict(settings)
    y = settings.pop("y")
    y = y if y.dtype.kind == "i" else y.astype("float64")
    return problem_of(Z, y, **settings).output_function, known, values


def coupling(output, y):
    return output.mean() ** 2


@pytest.fixture(autouse=True)
def _surroundings():
    with untouched_surroundings():
        yield


@pytest.mark.parametrize("name", CLOSED)
def test_loss_gradient_and_hessians_are_the_closed_ones(name):
    function, (loss, gradient, hessians), values = function_of(name)
    np.testing.assert_allclose(function.values.numpy(), values, atol=1e-6)
    found = function.curvature
    assert found.loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(found.residuals.numpy(), gradient, atol=1e-7)
    np.testing.assert_allclose(found.hessians.numpy(), hessians, atol=1e-7)
    assert found.convex
    assert found.rank == np.linalg.matrix_rank(hessians, tol=1e-6).max()
    assert float(function(function.values)) == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("name", CLOSED)
def test_products_are_those_of_the_hessians(name):
    function, (_, gradient, hessians), _ = function_of(name)
    np.testing.assert_allclose(function.products.residuals.numpy(), gradient, atol=1e-7)
    vectors = RNG.normal(size=(2, 3, C))
    images = function.products.products(torch.tensor(vectors), 2).numpy()
    expected = np.einsum("ncd,knd->knc", hessians[2:5], vectors)
    np.testing.assert_allclose(images, expected, atol=1e-7)


@pytest.mark.parametrize("name", CLOSED)
def test_it_may_be_asked_anywhere_in_either_precision(name):
    function, (_, gradient, hessians), values = function_of(name)
    step = 1e-2 * RNG.normal(size=values.shape)
    there = torch.tensor(values + step)
    # To second order; the third is less than a step's size to the third.
    expected = (gradient * step).sum() + np.einsum("nc,ncd,nd->", step, hessians, step) / 2
    found = float(function(there)) - float(function(function.values))
    assert found == pytest.approx(expected, abs=2e-6)
    single = function(there.float())
    assert single.dtype == torch.float32
    assert float(single) == pytest.approx(float(function(there)), rel=1e-5)


@pytest.mark.parametrize("name", CLOSED)
def test_some_samples_have_a_function_of_their_own(name):
    function, _, values = function_of(name)
    places = torch.tensor([4, 0, 3])
    some = function.take(function.samples.take(places), places)
    assert len(some.values) == 3
    settings = dict(CLOSED[name][0])
    y = settings.pop("y")[places.numpy()]
    alone = problem_of(Z[places.numpy()], y, **settings).output_function
    np.testing.assert_allclose(some.values.numpy(), alone.values.numpy(), atol=1e-12)
    assert some.curvature.loss == pytest.approx(alone.curvature.loss, rel=1e-12)
    np.testing.assert_allclose(some.curvature.hessians, alone.curvature.hessians, atol=1e-12)
    # The whole is as it was.
    assert len(function.values) == N
    np.testing.assert_allclose(function.values.numpy(), values, atol=1e-6)


def test_outputs_of_any_shape_are_counted_and_flattened():
    y = RNG.normal(size=(N, 2, C))
    function = problem_of(RNG.normal(size=(N, 2, C)), y, nn.MSELoss).output_function
    assert function.n_outputs == 2 * C
    assert function.values.shape == (N, 2, C)
    np.testing.assert_allclose(
        function.curvature.hessians.numpy(),
        np.broadcast_to(2 * np.eye(2 * C) / (N * 2 * C), (N, 2 * C, 2 * C)),
        atol=1e-12,
    )
    flat = torch.tensor(y.reshape(N, -1))
    assert float(function(flat)) == pytest.approx(0.0, abs=1e-12)


def test_where_samples_interact_there_are_no_hessians_of_each():
    problem = problem_of(Z, T, nn.MSELoss, get_loss=lambda net, z, y, **_: coupling(z, y))
    function = problem.output_function
    assert function.couples
    assert function.curvature is None
    assert problem.outputs is None
    assert not problem.is_separable
    # The gradient is known all the same: 2 mean(z) / (N C).
    np.testing.assert_allclose(function.products.residuals, 2 * Z.mean() / (N * C), atol=1e-12)
    places = torch.arange(2)
    assert function.take(function.samples.take(places), places).couples


def test_hessians_that_are_too_large_are_not_formed(monkeypatch):
    function, (_, _, hessians), _ = function_of("cross-entropy")
    monkeypatch.setattr(_outputs, "MAX_HESSIAN_ENTRIES", N * C * C - 1)
    assert not function.hessians_fit
    assert function.curvature is None
    vectors = RNG.normal(size=(1, N, C))
    images = function.products.products(torch.tensor(vectors), 0)
    np.testing.assert_allclose(images, np.einsum("ncd,knd->knc", hessians, vectors), atol=1e-9)
    monkeypatch.setattr(_outputs, "MAX_HESSIAN_ENTRIES", N * C * C)
    assert function.hessians_fit


def test_what_couples_samples_is_found_by_hessians_too():
    function, _, _ = function_of("squares")
    with pytest.raises(NotSeparableError, match="couples the outputs"):
        _outputs.output_curvature(lambda z: z.mean() ** 2, function.values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_of_a_coarser_loss_is_no_negative_curvature(dtype):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return nn.functional.cross_entropy(y_pred.to(dtype), y_true).double()

    for seed in range(5):
        rng = np.random.default_rng(seed)
        z = 20 * rng.normal(size=(40, C))
        keywords = {"y": rng.integers(0, C, 40), "criterion": nn.CrossEntropyLoss}
        with untouched_surroundings():
            problem = problem_of(z, **keywords, get_loss=get_loss)
        assert problem.output_function.precision == dtype
        assert problem.outputs.convex
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        expected = (np.einsum("nc,cd->ncd", p, np.eye(C)) - np.einsum("nc,nd->ncd", p, p)) / 40
        error = np.linalg.norm(problem.outputs.hessians.numpy() - expected)
        assert error < 10 * torch.finfo(dtype).eps * np.linalg.norm(expected)


def shares_of_rounding(z, y, criterion, of_outputs, kind="net"):
    with untouched_surroundings():
        function = problem_of(z, y, criterion, kind).output_function
        return function.rounding(of_outputs), function.without_hessians().rounding(of_outputs)


def test_rounding_of_derivatives_is_known():
    y = RNG.normal(size=(N, C)) + 10
    for gap, expected in ((1.0, 1e-6), (1e-6, 1.0)):
        z = y + gap * RNG.normal(size=(N, C))
        for first, second in shares_of_rounding(z, y, nn.MSELoss, 1e-7):
            # Outputs near 10 that are off by 1e-7 of their size, beside what is left to fit.
            assert expected / 3 < first < 3 * expected
            assert second < 1e-10
    z = 10 * np.eye(C)[Y] + RNG.normal(size=(N, C))
    for factor, lost in ((1, False), (20, True)):
        for first, second in shares_of_rounding(factor * z, Y, nn.CrossEntropyLoss, 1e-15):
            assert (first > 1) == (second > 1) == lost
