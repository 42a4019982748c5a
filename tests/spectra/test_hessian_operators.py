"""Gaps by products alone: the same as by factors, which are built only where they are wanted."""

import numpy as np
import pytest
import torch
from dense_oracle import dense_hessians, tabular_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature import LocalCurvature, prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.spectra import layer_spectra
from hessdiag.spectra._gaps import coincidence_threshold, measure_gaps, random_vectors
from hessdiag.spectra._hessian_operators import hessian_operators
from hessdiag.spectra._operators import (
    FactorOperator,
    LinearHessianOperator,
    NetOperator,
    joint_products,
)


def problem(module, batch_size=None):
    rng = np.random.default_rng(0)
    net = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    X, y = rng.normal(size=(8, 6)).astype("float32"), rng.integers(0, 3, 8)
    return prepare(net, X, y, batch_size=batch_size)


class Encoder(nn.Module):
    """A transformer's layer on six tokens of width four."""

    def __init__(self):
        super().__init__()
        self.widen = nn.Linear(1, 4)
        self.body = nn.TransformerEncoderLayer(4, 2, 5, 0.0, "gelu", batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(self.widen(x[:, :, None])).mean(dim=1))


def mlp(activation):
    return nn.Sequential(nn.Linear(6, 5), activation(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


def gap_by_factors(whole, factors, generator):
    """A naive twin: |R v| / |G v + R v| with G v by the factors, {name: (gap, v, R v + G v)}."""
    vectors = random_vectors(whole.blocks, generator)
    rest = whole.residual_products(whole.blocks).products(vectors)
    found = {}
    for name, v in vectors.items():
        image = rest[name] + factors[name].gauss_newton(v, whole.outputs.signs)
        found[name] = float(rest[name].norm() / image.norm()), v, image
    return found


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("n_products", [1, 100])
@pytest.mark.parametrize("make", [lambda: mlp(nn.GELU), lambda: mlp(nn.ReLU), Encoder])
def test_gaps_and_products_are_those_by_factors(make, n_products, batch_size, monkeypatch):
    torch.manual_seed(0)
    asked = []
    build = LocalCurvature.factors

    def factors(self, weighted=False, blocks=None, lean=False):
        asked.extend(block.name for block in blocks)
        return build(self, weighted, blocks, lean)

    with untouched_surroundings():
        whole = problem(make(), batch_size)
        blocks = whole.blocks
        expected = gap_by_factors(
            whole, build(whole, True, blocks), torch.Generator().manual_seed(1)
        )
        gaps = {name: gap for name, (gap, _, _) in expected.items()}
        monkeypatch.setattr(LocalCurvature, "factors", factors)
        measured = measure_gaps(whole, blocks, torch.Generator().manual_seed(1))
        operators, sizes = hessian_operators(whole, blocks, n_products, measured)
        assert sizes == pytest.approx(gaps, rel=1e-4, abs=1e-6)
        for name, (_, vector, image) in expected.items():
            found = operators[name].products(vector)
            torch.testing.assert_close(found, image, rtol=1e-4, atol=1e-6)
        hessians = whole.whole_products(blocks)
        vectors = {block.name: torch.randn(2, block.n_params) for block in blocks}
        products = hessians.products(vectors)
        for name, image in joint_products(operators, vectors).items():
            torch.testing.assert_close(image, products[name], rtol=1e-4, atol=1e-6)
    kinds = {name: type(operator) for name, operator in operators.items()}
    coincident = {name for name, kind in kinds.items() if kind is FactorOperator}
    linear = {name for name, kind in kinds.items() if kind is LinearHessianOperator}
    threshold = coincidence_threshold(torch.finfo(torch.float32).eps)
    assert coincident == {name for name, gap in gaps.items() if gap <= threshold}
    assert set(asked) == coincident | linear
    assert coincident
    assert bool(linear) == (n_products == 100 and "0" in gaps and gaps["0"] > 0)


def operators_of(whole, n_products=9):
    measured = measure_gaps(whole, whole.blocks, torch.Generator().manual_seed(1))
    return hessian_operators(whole, whole.blocks, n_products, measured)


def test_a_layer_whose_factor_does_not_fit_goes_by_the_net(monkeypatch):
    torch.manual_seed(0)
    capture = "hessdiag.curvature.factors._capture"
    monkeypatch.setattr(f"{capture}.available_memory", lambda device: 0.0)
    monkeypatch.setattr(f"{capture}._first_that_agrees", lambda *args: None)
    with untouched_surroundings():
        operators, gaps = operators_of(problem(mlp(nn.ReLU)))
    assert set(gaps.values()) == {0.0}
    assert all(isinstance(operator, NetOperator) for operator in operators.values())


def test_a_factor_that_is_not_finite_is_not_used(monkeypatch):
    torch.manual_seed(0)
    build = LocalCurvature.factors

    def factors(self, weighted=False, blocks=None, lean=False):
        built = build(self, weighted, blocks, lean)
        built["2"].sweeps[0] = np.inf
        return built

    monkeypatch.setattr(LocalCurvature, "factors", factors)
    with untouched_surroundings():
        operators, gaps = operators_of(problem(mlp(nn.ReLU)))
    assert gaps == pytest.approx({"0": 0.0, "2": np.nan, "4": 0.0}, nan_ok=True)
    kinds = {name: type(operator) for name, operator in operators.items()}
    assert kinds == {"0": FactorOperator, "2": NetOperator, "4": FactorOperator}
    assert list(operators["2"].source.blocks) == ["2"]


def test_an_encoder_layer_against_dense_autograd():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = tabular_net(Encoder(), NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    X, y = rng.normal(size=(8, 6)).astype("float32"), rng.integers(0, 3, 8)
    matrices = dense_hessians(net, X, y)
    for name, spectrum in layer_spectra(net, X, y, dtype="float64").items():
        values = np.linalg.eigvalsh(matrices[name])
        size = np.abs(values).max()
        np.testing.assert_allclose(spectrum.eigenvalues(), values, atol=1e-7 * size)
