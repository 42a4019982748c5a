"""Traces against dense autograd in float64, their errors against theory, and their cost."""

import numpy as np
import pytest
import torch
from dense_oracle import KINDS, dense_hessians, make_net, tabular_net
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

from hessdiag.curvature.factors import DenseFactor, EmbeddingFactor, OuterFactor, squared_row_norms
from hessdiag.spectra import LayerTrace, _trace_work, layer_spectra, layer_traces, plan_traces


def mlp(activation, depth=2, width=6):
    torch.manual_seed(0)
    layers = [nn.Linear(4, width)]
    for _ in range(depth - 1):
        layers += [activation(), nn.Linear(width, width)]
    return nn.Sequential(*layers, activation(), nn.Linear(width, 3))


def problem(module, n_samples=20):
    rng = np.random.default_rng(0)
    net = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    return net, rng.normal(size=(n_samples, 4)).astype("float32"), rng.integers(0, 3, n_samples)


@pytest.mark.parametrize(
    "factor",
    [
        DenseFactor(torch.randn(5, 3, 7)),
        *(
            OuterFactor(torch.randn(5, g, t, i), torch.randn(5, 2, g, t, o), pieces)
            for g, t, i, o in ((1, 1, 3, 4), (2, 5, 2, 3), (1, 2, 30, 20), (1, 30, 2, 2))
            for pieces in (("weight", "bias"), ("weight",), ("bias",))
        ),
        EmbeddingFactor(torch.randint(4, (5, 6)), torch.randn(5, 2, 6, 3), 4),
    ],
)
@pytest.mark.parametrize("block", [10, 10**7])
def test_row_norms_are_the_diagonal_of_the_gram_matrix(factor, block, monkeypatch):
    monkeypatch.setattr("hessdiag.curvature.factors._factor_norms.MAX_BLOCK_ENTRIES", block)
    norms = squared_row_norms(factor)
    assert norms.shape == (factor.n_samples, factor.n_outputs)
    torch.testing.assert_close(norms.reshape(-1), factor.gram().diagonal(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_traces_of_every_layer_kind_agree_with_dense_autograd(kind):
    net, X, y = make_net(kind, "mse")
    hessians = dense_hessians(net, X, y)
    gaps = {name: s.gn_gap for name, s in layer_spectra(net, X, y, dtype="float64").items()}
    for settings in ({}, {"method": "hutchinson"}, {"batch_size": 4}):
        found = layer_traces(net, X, y, dtype="float64", n_probes=40, **settings)
        assert list(found) == list(gaps)
        for name, layer in found.items():
            matrix = hessians["" if name == "module" else name]
            assert layer.n_params == len(matrix)
            bound = 5 * layer.trace_error + 1e-9 * np.abs(matrix).sum()
            assert abs(layer.trace - np.trace(matrix)) <= bound
            assert layer.exact == (gaps[name] <= 1e-6 and "method" not in settings)
            assert layer.n_probes == (0 if layer.exact else 40)


def test_gauss_newton_traces_are_exact():
    net, X, y = problem(mlp(nn.Tanh))
    expected = layer_spectra(net, X, y, curvature="ggn", dtype="float64")
    for name, layer in layer_traces(net, X, y, curvature="ggn", dtype="float64").items():
        assert layer == LayerTrace(expected[name].n_params, layer.trace, 0.0, 0)
        assert layer.trace == pytest.approx(expected[name].trace, rel=1e-12)


def test_indefinite_losses():
    def wavy(output, y):
        return torch.sin(3 * output).sum() + output[:, 0].mul(output[:, 1]).sum()

    net, X, y = problem(mlp(nn.ReLU))
    expected = layer_spectra(net, X, y, scalar=wavy, dtype="float64")
    for name, layer in layer_traces(net, X, y, scalar=wavy, dtype="float64").items():
        assert layer.exact
        assert layer.trace == pytest.approx(expected[name].trace, rel=1e-9, abs=1e-9)


def joint_hessian(net, X, y):
    """The Hessian over all parameters of the loss, in float64."""
    module = net.module_.double()
    names = [name for name, _ in module.named_parameters()]

    def value(*parameters):
        output = torch.func.functional_call(
            module, dict(zip(names, parameters)), (torch.as_tensor(X).double(),)
        )
        return nn.functional.cross_entropy(output, torch.as_tensor(y))

    parameters = tuple(p.detach() for p in module.parameters())
    blocks = torch.autograd.functional.hessian(value, parameters)
    sizes = [p.numel() for p in parameters]
    rows = [
        torch.cat([b.reshape(n, m) for b, m in zip(row, sizes)], dim=1)
        for row, n in zip(blocks, sizes)
    ]
    return torch.cat(rows).numpy()


def test_standard_errors_know_of_the_other_layers():
    """Variance of one probe: 2 |H_ll|^2 - 2 |diag H_ll|^2 + sum of |H_lm|^2 over other layers."""
    net, X, y = problem(mlp(nn.Tanh))
    found = layer_traces(net, X, y, method="hutchinson", n_probes=2000, dtype="float64")
    joint, start = joint_hessian(net, X, y), 0
    for layer in found.values():
        rows = joint[start : start + layer.n_params]
        own = rows[:, start : start + layer.n_params]
        start += layer.n_params
        others = (rows**2).sum() - (own**2).sum()
        variance = 2 * (own**2).sum() - 2 * (np.diag(own) ** 2).sum() + others
        assert others > 0.1 * variance
        assert layer.trace_error == pytest.approx(np.sqrt(variance / 2000), rel=0.15)
        assert abs(layer.trace - np.trace(own)) < 4 * layer.trace_error


class Counted(torch.autograd.Function):
    """The identity, counting the backward passes that come through."""

    passes = 0

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        Counted.passes += 1
        return Counted.apply(gradient)


class AtTheOutput(nn.Module):
    def forward(self, x):
        return Counted.apply(x)


@pytest.mark.parametrize("n_probes", [5, 12])
def test_all_layers_together_cost_one_product_a_probe(n_probes, monkeypatch):
    monkeypatch.setattr(_trace_work, "PROBES_AT_ONCE", 1)
    passes = {}
    for depth in (2, 12):
        net, X, y = problem(mlp(nn.Tanh, depth).append(AtTheOutput()))
        counts = []
        for k in (n_probes, 2 * n_probes):
            Counted.passes = 0
            found = layer_traces(net, X, y, method="hutchinson", n_probes=k)
            counts.append(Counted.passes)
        assert len(found) == depth + 1
        assert all(layer.n_probes == 2 * n_probes for layer in found.values())
        passes[depth] = counts
    assert passes[2] == passes[12]
    # A product passes the output twice: back from the gradient, and back again.
    first, second = passes[2]
    assert second - first <= 2 * n_probes


def test_chunks_change_nothing():
    net, X, y = problem(mlp(nn.GELU), 50)
    for method in ("auto", "hutchinson"):
        whole, chunked = (
            layer_traces(net, X, y, method=method, dtype="float64", batch_size=size)
            for size in (None, 7)
        )
        for name, layer in chunked.items():
            assert layer.trace == pytest.approx(whole[name].trace, rel=1e-9)
            assert layer.trace_error == pytest.approx(whole[name].trace_error, rel=1e-6, abs=1e-12)


def test_the_tolerance_stops_early():
    net, X, y = problem(mlp(nn.Tanh))
    settings = {"method": "hutchinson", "dtype": "float64", "n_probes": 4000}
    found = layer_traces(net, X, y, tolerance=0.5, **settings)
    (n_probes,) = {layer.n_probes for layer in found.values()}
    assert 4 <= n_probes < 4000
    assert all(layer.trace_error <= 0.5 * abs(layer.trace) for layer in found.values())
    finer = layer_traces(net, X, y, tolerance=0.3, **settings)
    assert next(iter(finer.values())).n_probes > n_probes


def test_scalars_without_factors():
    class Penalized(NeuralNetClassifier):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            penalty = sum((p**4).sum() for p in self.module_.parameters())
            return super().get_loss(y_pred, y_true, *args, **kwargs) + 0.1 * penalty

    _, X, y = problem(mlp(nn.Tanh))
    net = tabular_net(mlp(nn.Tanh), Penalized, criterion=nn.CrossEntropyLoss)
    own = {"*": lambda output, y: (output**4).sum()}
    for scalar in ("loss", own):
        exact = layer_spectra(net, X, y, scalar=scalar, dtype="float64")
        found = layer_traces(net, X, y, scalar=scalar, dtype="float64", n_probes=200)
        for name, layer in found.items():
            assert layer.n_probes == 200
            assert abs(layer.trace - exact[name].trace) <= 5 * layer.trace_error
    with pytest.raises(ValueError, match="depends on parameters directly"):
        layer_traces(net, X, y, curvature="ggn")


def test_nan_stays_with_its_layer():
    class Root(nn.Module):
        """Infinite second derivative at zero."""

        def __init__(self):
            super().__init__()
            self.first, self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 5), nn.Linear(5, 3)
            with torch.no_grad():
                self.inner.weight.zero_()
                self.inner.bias.zero_()

        def forward(self, x):
            return self.head(self.inner(torch.tanh(self.first(x))).abs().sqrt())

    torch.manual_seed(0)
    net, X, y = problem(Root())
    for method in ("auto", "hutchinson"):
        found = layer_traces(net, X, y, method=method)
        assert np.isnan(found["inner"].trace)
        assert np.isfinite(found["head"].trace)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "exact"}, "'auto', 'hutchinson', found 'exact'"),
        ({"n_probes": 1}, "at least 2 probes"),
        ({"method": "hutchinson", "curvature": "ggn"}, "traces are exact"),
        ({"tolerance": -1}, "positive number"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(settings, message):
    net, X, y = problem(mlp(nn.Tanh))
    with pytest.raises(ValueError, match=message):
        layer_traces(net, X, y, **settings)
    assert isinstance(net, NeuralNet)


@pytest.mark.parametrize(
    ("activation", "settings", "ways"),
    [
        (nn.ReLU, {}, {"squares"}),
        (nn.Tanh, {}, {"squares", "squares+signs"}),
        (nn.Tanh, {"curvature": "ggn", "batch_size": 7}, {"squares"}),
        (nn.ReLU, {"method": "hutchinson"}, {"signs"}),
        (nn.ReLU, {"scalar": lambda output, y: output.std()}, {"signs"}),
        (nn.ReLU, {"scalar": {"*": lambda output, y: output.square().sum()}}, {"signs"}),
    ],
)
def test_plans_say_what_is_exact(activation, settings, ways):
    net, X, y = problem(mlp(activation))
    plan, found = plan_traces(net, X, y, **settings), layer_traces(net, X, y, **settings)
    assert {layer.way for layer in plan.layers} == ways
    assert [layer.way == "squares" for layer in plan.layers] == [t.exact for t in found.values()]
    assert [layer.name for layer in plan.layers] == list(found)
    assert plan.n_chunks == (3 if "batch_size" in settings else 1)
    assert plan.seconds > 0
    assert plan.bytes > max(layer.bytes for layer in plan.layers) > 0
    assert "squares" in str(plan) or "random signs" in str(plan)


def test_plans_refuse_what_traces_refuse():
    net, X, y = problem(mlp(nn.ReLU))
    with pytest.raises(ValueError, match="at least 2 probes"):
        plan_traces(net, X, y, n_probes=1)
    with pytest.raises(ValueError, match="curvature='ggn'"):
        plan_traces(net, X, y, curvature="ggn", scalar=lambda output, y: output.std())
