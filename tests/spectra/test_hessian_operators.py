"""Gaps by products alone: the same as by factors, which are built only where they are wanted."""

import numpy as np
import pytest
import torch
from dense_oracle import dense_hessians, tabular_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature._local_curvature import LocalCurvature
from hessdiag.curvature.network._working_copy import untouched_surroundings
from hessdiag.spectra import layer_spectra
from hessdiag.spectra._hessian_operators import hessian_operators
from hessdiag.spectra._local_operators import LocalOperators


def problem(module, batch_size=None):
    rng = np.random.default_rng(0)
    net = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    X, y = rng.normal(size=(8, 6)).astype("float32"), rng.integers(0, 3, 8)
    return LocalCurvature(net, X, y, batch_size=batch_size)


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
        blocks, signs = whole.blocks, whole.outputs.signs
        expected = LocalOperators(
            blocks, build(whole, True, blocks), signs, whole.residual_products(blocks)
        )
        gaps = expected.measure_gaps(torch.Generator().manual_seed(1))
        expected.prepare_hessians(whole, n_products)
        monkeypatch.setattr(LocalCurvature, "factors", factors)
        found, measured = hessian_operators(
            whole, blocks, n_products, torch.Generator().manual_seed(1)
        )
        assert measured == pytest.approx(gaps, rel=1e-4, abs=1e-6)
        assert found.coincident == expected.coincident
        assert found.linear.keys() == expected.linear.keys()
        vectors = {block.name: torch.randn(2, block.n_params) for block in blocks}
        products = expected.products(vectors)
        for name, image in found.products(vectors).items():
            torch.testing.assert_close(image, products[name], rtol=1e-4, atol=1e-6)
    assert set(asked) == found.coincident | found.linear.keys()
    assert found.coincident
    assert bool(found.linear) == (n_products == 100 and "0" in gaps and gaps["0"] > 0)


def test_a_layer_whose_factor_does_not_fit_goes_by_the_net(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr("hessdiag.curvature.factors._capture.available_memory", lambda device: 0.0)
    monkeypatch.setattr(
        "hessdiag.curvature.factors._capture.find_rule", lambda module, pieces: None
    )
    with untouched_surroundings():
        whole = problem(mlp(nn.ReLU))
        found, gaps = hessian_operators(whole, whole.blocks, 9, torch.Generator().manual_seed(1))
    assert set(gaps.values()) == {0.0}
    assert found.coincident == set()
    assert found.whole is not None


def test_a_factor_that_is_not_finite_is_not_used(monkeypatch):
    torch.manual_seed(0)
    build = LocalCurvature.factors

    def factors(self, weighted=False, blocks=None, lean=False):
        built = build(self, weighted, blocks, lean)
        built["2"].sweeps[0] = np.inf
        return built

    monkeypatch.setattr(LocalCurvature, "factors", factors)
    with untouched_surroundings():
        whole = problem(mlp(nn.ReLU))
        found, gaps = hessian_operators(whole, whole.blocks, 9, torch.Generator().manual_seed(1))
    assert gaps == pytest.approx({"0": 0.0, "2": np.nan, "4": 0.0}, nan_ok=True)
    assert found.coincident == {"0", "4"}
    assert list(found.whole.blocks) == ["2"]


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
