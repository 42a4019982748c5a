"""Attention, recurrence, compiled modules, low precisions, switches: against dense autograd."""

import copy

import numpy as np
import pytest
import torch
from dense_oracle import Attention, Recurrent, dense_hessians, make_net, tabular_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.examination import examine
from hessdiag.spectra import layer_spectra, plan_spectra


def data(shape=(4,), n_samples=10):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n_samples, *shape)).astype("float32"), rng.integers(0, 3, n_samples)


def classifier(module, **settings):
    settings.setdefault("criterion", nn.CrossEntropyLoss)
    return tabular_net(module, NeuralNetClassifier, **settings)


def assert_dense(net, X, y, rtol=1e-7, **settings):
    spectra = layer_spectra(net, X, y, dtype="float64", **settings)
    hessians = dense_hessians(net, X, y)
    assert set(spectra) == {name or "module" for name in hessians}
    for name, matrix in hessians.items():
        expected = np.linalg.eigvalsh(matrix)
        size = np.abs(expected).max()
        found = spectra[name or "module"]
        np.testing.assert_allclose(found.eigenvalues(), expected, atol=rtol * size)


class FusedAttention(nn.Module):
    """Attention as decoders have it: projections, the fused kernel with a causal mask."""

    def __init__(self):
        super().__init__()
        self.received = nn.Linear(4, 12)
        self.sent = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        query, key, value = self.received(x).unflatten(2, (3, 2, 2)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed = self.sent(mixed.transpose(1, 2).flatten(2))
        return self.head(nn.functional.gelu(self.norm(x + mixed)).mean(dim=1))


def encoder():
    layer = nn.TransformerEncoderLayer(4, 2, 5, 0.1, "gelu", batch_first=True)
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = encoder(), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(x).mean(dim=1))


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (FusedAttention, (5, 4)),
        (Encoder, (3, 4)),
        (lambda: Attention(3), (3, 4)),
        (lambda: Recurrent(nn.RNN, 3), (4, 3)),
        (
            lambda: nn.Sequential(
                nn.Conv1d(2, 4, 3),
                nn.InstanceNorm1d(4, affine=True),
                nn.SiLU(),
                nn.AdaptiveAvgPool1d(2),
                nn.Flatten(),
                nn.Linear(8, 3),
            ),
            (2, 8),
        ),
    ],
    ids=["fused", "encoder", "multihead", "rnn", "instance_norm"],
)
def test_nets_that_users_have(make, shape, batch_size):
    torch.manual_seed(0)
    X, y = data(shape)
    assert_dense(classifier(make()), X, y, batch_size=batch_size)


@pytest.mark.parametrize("kind", ["huber", "poisson"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("layer", ["relu", "tied", "frozen", "dict_input", "lstm"])
def test_other_losses_on_other_layers(kind, reduction, layer):
    net, X, y = make_net(layer, kind, reduction)
    for batch_size in (None, 4):
        assert_dense(net, X, y, batch_size=batch_size)


def test_compiled_parts_are_examined_as_written():
    torch.manual_seed(0)
    X, y = data()
    plain = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Tanh(), nn.Linear(5, 5)), nn.Tanh())
    plain.append(nn.Linear(5, 3))
    expected = layer_spectra(classifier(copy.deepcopy(plain)), X, y)
    parts = copy.deepcopy(plain)
    parts[1] = torch.compile(parts[1], backend="eager")
    parts[3] = torch.compile(parts[3], backend="eager")
    in_place = copy.deepcopy(plain)
    in_place.compile(backend="eager")
    in_place[1].compile(backend="eager")
    for module in (parts, in_place):
        net = classifier(module)
        found = layer_spectra(net, X, y)
        assert list(found) == list(expected)
        for name, spectrum in found.items():
            np.testing.assert_array_equal(spectrum.nodes, expected[name].nodes)
    assert type(parts[1]).__name__ == "OptimizedModule"


def mlp(activation=nn.Tanh):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), activation(), nn.Linear(6, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precisions_are_raised_and_not_rounded_further(dtype):
    X, y = data()
    low = classifier(mlp().to(dtype))
    raised = classifier(copy.deepcopy(low.module_).float())
    rounded = torch.as_tensor(X).to(dtype)
    for settings in ({}, {"dtype": "float64"}):
        found = layer_spectra(low, rounded, y, **settings)
        expected = layer_spectra(raised, rounded.float(), y, **settings)
        for name, spectrum in found.items():
            np.testing.assert_array_equal(spectrum.nodes, expected[name].nodes)
    assert low.module_[0].weight.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_switches_of_precision_do_not_matter(dtype):
    X, y = data()
    net = classifier(mlp(nn.ReLU))
    expected = layer_spectra(net, X, y, dtype=dtype)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = layer_spectra(net, X, y, dtype=dtype)
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    for name, spectrum in found.items():
        np.testing.assert_array_equal(spectrum.nodes, expected[name].nodes)
        assert spectrum.gn_gap <= 1e-4


class AlwaysDropping(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5, training=True)


@pytest.mark.filterwarnings("ignore:You set iterator_valid__shuffle=True")
@pytest.mark.parametrize("door", [layer_spectra, examine, plan_spectra])
def test_chance_is_refused_with_its_cause(door):
    X, y = data()
    module = mlp()
    module.insert(2, AlwaysDropping())
    with pytest.raises(ValueError, match=r"two forward passes.*AlwaysDropping '2'.*eval"):
        door(classifier(module), X, y)
    net = classifier(mlp(), iterator_valid__shuffle=True)
    with pytest.raises(ValueError, match=r"shuffles \(RandomSampler\).*iterator_valid__shuffle"):
        door(net, X, y)
    # Dropout and statistics that heed eval() are no chance.
    module = mlp()
    module.insert(2, nn.Dropout(0.5))
    net = classifier(module)
    net.module_.train()
    door(net, X, y)


@pytest.mark.parametrize("kind", ["gelu", "relu", "conv2d_tanh", "lstm", "attention"])
def test_products_are_symmetric(kind):
    """u . H v = v . H u for random u and v, with the whole Hessian and its residual part."""
    net, X, y = make_net(kind, "cross_entropy")
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float64", batch_size=4)
        for products in (problem.whole_products(), problem.residual_products()):
            u, v = (
                {b.name: torch.randn(1, b.n_params).double() for b in problem.blocks}
                for _ in range(2)
            )
            left, right = products.products(u), products.products(v)
            for name in u:
                first, second = (left[name] * v[name]).sum(), (right[name] * u[name]).sum()
                scale = float(left[name].norm() * v[name].norm()) + 1e-300
                assert abs(float(first - second)) <= 1e-10 * scale
