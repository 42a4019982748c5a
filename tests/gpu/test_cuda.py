"""On a GPU the same numbers come out as on the CPU, and the GPU is left as it was found."""

import copy

import numpy as np
import pytest
import torch
from dense_oracle import KINDS, make_net, tabular_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag import LayerSpectra, NetworkCase
from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.curvature.products import HessianProducts
from hessdiag.examination import examine
from hessdiag.features import forget_examinations
from hessdiag.spectra import layer_spectra, plan_spectra

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

MIB = 2**20


def on_cuda(net):
    """Copy a net to the GPU."""
    twin = object.__new__(type(net))
    twin.__dict__.update(net.__dict__)
    twin.__dict__["module_"] = copy.deepcopy(net.module_).to("cuda")
    twin.__dict__["criterion_"] = copy.deepcopy(net.criterion_).to("cuda")
    twin.__dict__["device"] = "cuda"
    return twin


def classifier(module, n_samples=40, n_inputs=4, n_classes=3):
    rng = np.random.default_rng(0)
    net = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    X = rng.normal(size=(n_samples, n_inputs)).astype("float32")
    return net, X, rng.integers(0, n_classes, n_samples)


def mlp(width=8, activation=nn.Tanh, n_inputs=4, n_classes=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(n_inputs, width),
        activation(),
        nn.Linear(width, width),
        activation(),
        nn.Linear(width, n_classes),
    )


def assert_same(found, expected, rtol=1e-6):
    assert list(found) == list(expected)
    for name, spectrum in found.items():
        other = expected[name]
        size = np.abs(other.nodes).max()
        assert spectrum.exact == other.exact
        if spectrum.exact:
            np.testing.assert_allclose(
                spectrum.eigenvalues(), other.eigenvalues(), atol=rtol * size, err_msg=name
            )
        else:
            assert abs(spectrum.max_eigenvalue - other.max_eigenvalue) <= rtol * size
            assert abs(spectrum.min_eigenvalue - other.min_eigenvalue) <= rtol * size
        assert abs(spectrum.trace - other.trace) <= rtol * size * np.sqrt(spectrum.n_params)


@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "mse"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_kind_is_as_on_the_cpu(kind, loss):
    net, X, y = make_net(kind, loss)
    expected = layer_spectra(net, X, y, dtype="float64")
    twin = on_cuda(net)
    for batch_size in (None, 4):
        assert_same(layer_spectra(twin, X, y, dtype="float64", batch_size=batch_size), expected)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU])
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "lanczos", "n_lanczos_steps": 60},
        {"curvature": "ggn"},
        {"method": "lanczos", "n_lanczos_steps": 60, "curvature": "ggn"},
        {"layers": {"all": "*"}},
        {"max_samples": 11},
    ],
    ids=str,
)
def test_every_way_is_as_on_the_cpu(settings, activation):
    net, X, y = classifier(mlp(activation=activation))
    expected = layer_spectra(net, X, y, dtype="float64", **settings)
    assert_same(layer_spectra(on_cuda(net), X, y, dtype="float64", **settings), expected)


def test_scalars_that_are_no_sums_over_samples():
    def ranking(output, y):
        return torch.sigmoid(output[:, None, 0] - output[None, :, 1]).mean()

    net, X, y = classifier(mlp())
    expected = layer_spectra(net, X, y, scalar=ranking, dtype="float64")
    assert_same(layer_spectra(on_cuda(net), X, y, scalar=ranking, dtype="float64"), expected)


def test_the_device_follows_the_net_unless_said():
    net, X, y = classifier(mlp())
    twin = on_cuda(net)
    expected = layer_spectra(net, X, y, dtype="float64")
    for given, device, used in (
        (twin, None, "cuda"),
        (net, "cuda", "cuda"),
        (twin, "cpu", "cpu"),
        (twin, "cuda:0", "cuda"),
    ):
        with untouched_surroundings(device):
            problem = prepare(given, X, y, device=device)
            assert problem.working_copy.device.type == used
            assert all(p.device.type == used for b in problem.blocks for p in b.parameters)
            assert problem.output_values.device.type == used
        assert_same(layer_spectra(given, X, y, device=device, dtype="float64"), expected)
    assert next(twin.module_.parameters()).device.type == "cuda"
    assert next(net.module_.parameters()).device.type == "cpu"
    # Data that lie on the GPU already.
    there = torch.as_tensor(X, device="cuda"), torch.as_tensor(y, device="cuda")
    assert_same(layer_spectra(twin, *there, dtype="float64"), expected)


def test_single_precision_does_not_use_tensor_cores():
    """Products in TF32 would hide the difference between Hessian and Gauss-Newton matrix."""
    net, X, y = classifier(mlp(64, nn.ReLU), 200)
    expected = layer_spectra(net, X, y, dtype="float64")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        found = layer_spectra(on_cuda(net), X, y)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    for name, spectrum in found.items():
        assert spectrum.gn_gap < 1e-4
        assert spectrum.max_eigenvalue == pytest.approx(expected[name].max_eigenvalue, rel=1e-4)


@pytest.mark.parametrize("kind", ["relu", "conv2d_tanh", "lstm", "attention", "embedding"])
def test_examinations_are_as_on_the_cpu(kind):
    net, X, y = make_net(kind, "cross_entropy", n_samples=20)
    expected, found = examine(net, X, y), examine(on_cuda(net), X, y)
    assert found.digest == expected.digest
    assert found.layer_names == expected.layer_names
    for name in (*expected.layer_names, "network"):
        assert_same({name: found[name].spectrum}, {name: expected[name].spectrum})
        for statistic, value in expected[name].statistics.items():
            # Rank correlations and dispersions amplify rounding.
            assert found[name].statistics[statistic] == pytest.approx(
                value, rel=1e-4, abs=1e-6, nan_ok=True
            ), (name, statistic)
    for key, value in expected.context.items():
        if isinstance(value, float):
            assert found.context[key] == pytest.approx(value, rel=1e-6, nan_ok=True)


def test_layer_spectra_transformer_is_as_on_the_cpu():
    net, X, y = classifier(mlp())
    (expected,) = LayerSpectra().fit_transform([NetworkCase(net, X, y)])
    forget_examinations()
    (found,) = LayerSpectra().fit_transform([NetworkCase(on_cuda(net), X, y)])
    forget_examinations()
    assert found is not expected
    for name in expected.layer_names:
        assert_same({name: found[name].spectrum}, {name: expected[name].spectrum})


class Surroundings:
    """What must not change: the net's tensors and flags, random states, switches of torch."""

    def __init__(self, net):
        self.net = net
        self.before = self.look()

    def look(self):
        module = self.net.module_
        tensors = {name: t.detach().clone() for name, t in module.state_dict().items()}
        tensors |= {
            f"{name}.grad": p.grad.clone()
            for name, p in module.named_parameters()
            if p.grad is not None
        }
        tensors |= {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state()}
        flags = [p.requires_grad for p in module.parameters()]
        flags += [m.training for m in module.modules()]
        flags += [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules()]
        flags += [p.device.type for p in module.parameters()]
        flags += [
            torch.backends.cudnn.enabled,
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic,
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(),
            torch.backends.cuda.math_sdp_enabled(),
            torch.backends.mha.get_fastpath_enabled(),
            torch.get_float32_matmul_precision(),
            torch.is_grad_enabled(),
        ]
        return tensors, flags

    def check(self):
        tensors, flags = self.look()
        assert flags == self.before[1]
        assert tensors.keys() == self.before[0].keys()
        for name, tensor in tensors.items():
            assert torch.equal(tensor, self.before[0][name]), name


def normed():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)
    )


@pytest.mark.parametrize("fails", [False, True])
def test_net_and_gpu_are_left_as_they_were(fails, monkeypatch):
    net, X, y = classifier(normed())
    net = on_cuda(net)
    net.module_.train()
    output = net.module_(torch.as_tensor(X, device="cuda"))
    nn.functional.cross_entropy(output, torch.as_tensor(y, device="cuda")).backward()
    torch.cuda.manual_seed(5)
    surroundings = Surroundings(net)
    if fails:

        def broken(*args):
            raise RuntimeError("in the middle")

        monkeypatch.setattr(HessianProducts, "products", broken)
    for run in (layer_spectra, examine, plan_spectra):
        if fails:
            with pytest.raises(RuntimeError, match="in the middle"):
                run(net, X, y)
        else:
            run(net, X, y)
        surroundings.check()


@pytest.mark.parametrize("limit", [96 * MIB, 160 * MIB, 400 * MIB])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU])
def test_max_memory_is_kept(activation, limit):
    net, X, y = classifier(mlp(512, activation, n_inputs=64, n_classes=10), 1024, 64, 10)
    net = on_cuda(net)
    few = slice(0, 20)
    # Libraries take their workspaces at first use, and keep them.
    layer_spectra(net, X[few], y[few], dtype="float64")
    layer_spectra(net, X[few], y[few], dtype="float64", method="lanczos")
    unbound = layer_spectra(net, X, y, dtype="float64")
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    found = layer_spectra(net, X, y, dtype="float64", max_memory=limit)
    peak = torch.cuda.max_memory_allocated() - before
    assert peak <= limit, f"{peak / MIB:.0f} MiB of {limit / MIB:.0f} MiB"
    for name, spectrum in found.items():
        size = unbound[name].max_eigenvalue
        assert spectrum.max_eigenvalue == pytest.approx(size, rel=1e-3)
    assert torch.cuda.memory_allocated() - before < MIB
