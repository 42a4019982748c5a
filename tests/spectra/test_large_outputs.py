"""Losses with too many second derivatives in the outputs: all as if they could be formed."""

import gc
import re

import numpy as np
import pytest
import torch
from dense_oracle import make_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature import prepare
from hessdiag.curvature.network import output_curvature, untouched_surroundings
from hessdiag.curvature.products import OutputProducts
from hessdiag.examination import examine
from hessdiag.spectra import _gaps, layer_spectra, layer_traces, plan_spectra
from hessdiag.testing import AllocatedBytes

KINDS = ["linear", "conv2d_relu", "norms", "lstm", "attention", "embedding", "tied"]
DOUBLE = {"dtype": "float64"}


@pytest.fixture
def too_large(monkeypatch):
    """Let no output Hessian be formed from now on."""

    def forbid():
        monkeypatch.setattr("hessdiag.curvature.network._outputs.MAX_HESSIAN_ENTRIES", 0)

    return forbid


@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "mse"])
@pytest.mark.parametrize("kind", KINDS)
def test_gauss_newton_matrices_are_those_of_factors(kind, loss, too_large):
    net, X, y = make_net(kind, loss, n_samples=7)
    expected = layer_spectra(net, X, y, curvature="ggn", **DOUBLE)
    too_large()
    for settings in ({}, {"batch_size": 3}):
        found = layer_spectra(net, X, y, curvature="ggn", **settings, **DOUBLE)
        assert list(found) == list(expected)
        for name, spectrum in found.items():
            assert spectrum.exact
            assert spectrum.curvature == "ggn"
            values = expected[name].eigenvalues()
            np.testing.assert_allclose(
                spectrum.eigenvalues(), values, rtol=1e-7, atol=1e-9 * values.max()
            )


def test_lanczos_and_traces_of_gauss_newton_matrices(too_large):
    net, X, y = make_net("conv2d_relu", "cross_entropy", n_samples=7)
    expected = layer_spectra(net, X, y, curvature="ggn", **DOUBLE)
    too_large()
    settings = {"curvature": "ggn", "n_probes": 60, **DOUBLE}
    spectra = layer_spectra(net, X, y, method="lanczos", **settings)
    traces = layer_traces(net, X, y, **settings)
    for name, exact in expected.items():
        assert spectra[name].max_eigenvalue == pytest.approx(exact.max_eigenvalue, rel=1e-7)
        assert not traces[name].exact
        for trace, error in (
            (spectra[name].trace, spectra[name].trace_error),
            (traces[name].trace, traces[name].trace_error),
        ):
            assert abs(trace - exact.trace) <= 5 * error + 1e-9 * exact.trace


@pytest.mark.parametrize("kind", KINDS)
def test_gaps_are_measured_through_the_net(kind, too_large):
    net, X, y = make_net(kind, "cross_entropy", n_samples=4)
    too_large()
    spectra = layer_spectra(net, X, y, **DOUBLE)
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float64")
        generator = torch.Generator().manual_seed(0)
        vectors = _gaps.random_vectors(problem.blocks, generator)
        hessian, ggn = problem.products("hessian"), problem.products("ggn")
        for block in problem.blocks:
            v = vectors[block.name][0]
            whole = hessian.dense(block.name) @ v
            part = whole - ggn.dense(block.name) @ v
            expected = float(part.norm() / whole.norm())
            assert spectra[block.name].gn_gap == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_gaps_of_more_samples_are_those_of_two(too_large):
    net, X, y = make_net("norms", "cross_entropy", n_samples=9)
    too_large()
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(9, generator=generator)[:2]
    with untouched_surroundings():
        few = prepare(net, X, y, dtype="float64").restrict(chosen)
        expected = {name: gap.size for name, gap in _gaps.gaps_on_few(few, generator).items()}
    for name, spectrum in layer_spectra(net, X, y, **DOUBLE).items():
        assert spectrum.gn_gap == pytest.approx(expected[name], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("curvature", ["hessian", "ggn"])
def test_within_a_bound_on_memory(curvature, too_large):
    net, X, y = make_net("norms", "cross_entropy", n_samples=9)
    settings = {"curvature": curvature, "n_lanczos_steps": 45, **DOUBLE}
    too_large()
    expected = layer_spectra(net, X, y, **settings)
    with pytest.raises(ValueError, match="at least") as caught:
        plan_spectra(net, X, y, max_memory=1000, **settings)
    limit = 1 + int(re.search(r"at least (\d+) bytes", str(caught.value))[1])
    assert plan_spectra(net, X, y, max_memory=limit, **settings).n_chunks > 1
    found = layer_spectra(net, X, y, max_memory=limit, **settings)
    for name, spectrum in found.items():
        other = expected[name]
        size = max(abs(other.max_eigenvalue), abs(other.min_eigenvalue))
        assert spectrum.max_eigenvalue == pytest.approx(other.max_eigenvalue, abs=1e-7 * size)
        assert spectrum.min_eigenvalue == pytest.approx(other.min_eigenvalue, abs=1e-7 * size)
        assert spectrum.gn_gap == pytest.approx(other.gn_gap, abs=1e-9, nan_ok=True)


def test_examination_has_gaps_and_the_network_s_own_spectrum(too_large):
    net, X, y = make_net("conv2d_relu", "cross_entropy", n_samples=7)
    too_large()
    examination = examine(net, X, y, **DOUBLE)
    assert all(layer.statistics["gn_gap"] <= 1e-9 for layer in examination.layers)
    ggn = examine(net, X, y, curvature="ggn", **DOUBLE)
    # A piecewise linear net: layers' Hessians are Gauss-Newton matrices, the whole net's is not.
    for one, other in zip(examination.layers, ggn.layers):
        assert one.spectrum.max_eigenvalue == pytest.approx(other.spectrum.max_eigenvalue)
    assert ggn.network.spectrum.min_eigenvalue >= -1e-9 * ggn.network.spectrum.max_eigenvalue


def test_products_at_the_outputs_are_those_of_the_hessians():
    torch.manual_seed(0)
    outputs, y = torch.randn(5, 4, dtype=torch.float64), torch.arange(5) % 4

    def scalar(z):
        return nn.functional.cross_entropy(z, y)

    formed, products = output_curvature(scalar, outputs), OutputProducts(scalar, outputs)
    torch.testing.assert_close(products.residuals, formed.residuals)
    vectors = torch.randn(3, 2, 4, dtype=torch.float64)
    expected = torch.einsum("ncd,knd->knc", formed.hessians[2:4], vectors)
    torch.testing.assert_close(products.products(vectors, 2), expected)


@pytest.mark.parametrize("curvature", ["hessian", "ggn"])
def test_nothing_stays_in_memory(curvature, too_large):
    case = make_net("conv2d_relu", "cross_entropy", n_samples=7)
    too_large()
    gc.collect()
    gc.disable()
    try:
        with AllocatedBytes() as count:
            layer_spectra(*case, curvature=curvature)
            layer_traces(*case, curvature=curvature)
    finally:
        gc.enable()
    assert count.held == 0


def test_linear_losses_have_no_curvature_at_the_outputs(too_large):
    net, X, y = make_net("linear", "mse", n_samples=5)
    too_large()
    scalar = {"scalar": lambda output, y: output.sum()}
    for spectrum in layer_spectra(net, X, y, curvature="ggn", **scalar, **DOUBLE).values():
        assert not spectrum.eigenvalues().any()


def test_a_net_with_many_classes_for_every_token():
    """A case beyond what is formed: 2 samples of 40 tokens with 200 classes each."""
    torch.manual_seed(0)

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(200, 6), nn.Linear(6, 200)

        def forward(self, x):
            return self.head(torch.tanh(self.embed(x))).mT

    net = NeuralNetClassifier(
        Tokens(), criterion=nn.CrossEntropyLoss, verbose=0, train_split=None
    ).initialize()
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 200, (2, 40)), rng.integers(0, 200, (2, 40))
    spectra = layer_spectra(net, X, y, method="lanczos", **DOUBLE)
    ggn = layer_spectra(net, X, y, method="lanczos", curvature="ggn", **DOUBLE)
    # The last layer is linear in its parameters, and the loss convex.
    assert spectra["head"].gn_gap <= 1e-9 < 1e-3 < spectra["embed"].gn_gap
    assert ggn["head"].max_eigenvalue == pytest.approx(spectra["head"].max_eigenvalue, rel=1e-7)
    assert ggn["embed"].min_eigenvalue >= -1e-9
    assert spectra["embed"].min_eigenvalue < 0
