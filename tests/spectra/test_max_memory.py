"""Memory stays within the bound that is asked for, and is what the plan says."""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from dense_oracle import make_net, tabular_net
from memory_probe import make as make_large
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.spectra import BudgetWarning, layer_spectra, layer_traces, plan_spectra
from hessdiag.testing import AllocatedBytes

MIB = 2**20
# What the interpreter and its libraries may take besides.
OVERHEAD = 5 * MIB


def probe(network, activation, several):
    """Measure in a process of its own, whose allocator gives back at once what is freed."""
    threshold = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    settings = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", **threshold}
    script = str(Path(__file__).parents[1] / "oracles" / "memory_probe.py")
    done = subprocess.run(
        [sys.executable, script, network, activation, json.dumps(several)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks the Linux kernel")
@pytest.mark.parametrize(
    ("network", "activation", "limits"),
    [("mlp", "gelu", (24, 64)), ("cnn", "relu", (24, 64)), ("transformer", "gelu", (28, 48))],
)
def test_memory_stays_within_the_bound_and_is_as_planned(network, activation, limits):
    few = {"n_lanczos_steps": 3, "n_probes": 2}
    several = [few | {"max_memory": limit * MIB} for limit in limits]
    free, *bound = probe(network, activation, [few, *several])
    assert free["planned"] >= 0.7 * free["peak"]
    assert free["peak"] > limits[0] * MIB
    for found, settings in zip(bound, several):
        assert found["peak"] <= settings["max_memory"] + OVERHEAD, found["table"]
        assert found["planned"] <= settings["max_memory"]
        assert found["planned"] + OVERHEAD >= 0.7 * found["peak"], found["table"]
        for name, way in found["ways"].items():
            assert found["exact"][name] == (way != "lanczos")
            # So few steps of Lanczos are compared by other tests, on smaller nets.
            if found["exact"][name] and free["exact"][name]:
                assert found["largest"][name] == pytest.approx(free["largest"][name], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "activation", "limits"),
    [
        ("mlp", "relu", (14, 40)),
        ("mlp", "gelu", (14, 40)),
        ("cnn", "gelu", (8, 24)),
        ("transformer", "relu", (12, 40)),
        ("transformer", "gelu", (12, 40)),
    ],
)
def test_tensors_take_no_more_than_is_stated(network, activation, limits):
    net, X, y = make_large(network, activation)
    for limit in limits:
        settings = {
            "n_lanczos_steps": 3,
            "n_probes": 2,
            "method": "lanczos",
            "max_memory": limit * MIB,
        }
        plan = plan_spectra(net, X, y, **settings)
        with AllocatedBytes() as count:
            layer_spectra(net, X, y, max_time=None, **settings)
        assert count.peak <= plan.bytes <= limit * MIB, plan
        assert plan.bytes <= 4 * count.peak, plan


@pytest.mark.slow
@pytest.mark.parametrize("max_time", [1e-3, 1e6])
def test_measuring_what_there_is_time_for_stays_within_the_bound(max_time, monkeypatch):
    monkeypatch.setattr("hessdiag.spectra._time_budget._first_look", lambda policy: 1e9)
    net, X, y = make_large("cnn", "gelu")
    settings = {"n_lanczos_steps": 3, "n_probes": 1, "method": "lanczos", "max_memory": 8 * MIB}
    with AllocatedBytes() as count, warnings.catch_warnings():
        warnings.simplefilter("ignore", BudgetWarning)
        layer_spectra(net, X, y, max_time=max_time, **settings)
    assert count.peak <= 8 * MIB


def problem(activation=nn.Tanh, n_samples=9):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), activation(), nn.Linear(6, 5), activation())
    module.append(nn.Linear(5, 3))
    net = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    return net, rng.normal(size=(n_samples, 4)).astype("float32"), rng.integers(0, 3, n_samples)


def least_of(net, X, y, **settings):
    """Read from the error how much memory would do."""
    with pytest.raises(ValueError, match="Expected max_memory of at least") as caught:
        layer_spectra(net, X, y, max_memory=1000, **settings)
    assert "max_samples" in str(caught.value)
    return int(re.search(r"at least (\d+) bytes", str(caught.value))[1])


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, spectrum in found.items():
        other = expected[name]
        size = np.abs(other.nodes).max()
        assert spectrum.gn_gap == pytest.approx(other.gn_gap, rel=0.5, abs=1e-6, nan_ok=True)
        if spectrum.exact:
            np.testing.assert_allclose(
                spectrum.eigenvalues(), other.eigenvalues(), atol=1e-7 * size
            )
        assert abs(spectrum.max_eigenvalue - other.max_eigenvalue) <= 1e-6 * size
        assert abs(spectrum.min_eigenvalue - other.min_eigenvalue) <= 1e-6 * size


@pytest.mark.parametrize("settings", [{}, {"method": "lanczos"}, {"curvature": "ggn"}], ids=str)
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_the_least_that_would_do_does(activation, settings):
    net, X, y = problem(activation)
    settings = {"dtype": "float64", "n_lanczos_steps": 45, "n_probes": 1, **settings}
    expected = layer_spectra(net, X, y, **settings)
    least = least_of(net, X, y, **settings)
    for limit in (least + 1, 2 * least):
        found = layer_spectra(net, X, y, max_memory=limit, **settings)
        assert_same(found, expected)
        plan = plan_spectra(net, X, y, max_memory=limit, **settings)
        assert plan.bytes <= limit
        assert [layer.way != "lanczos" for layer in plan.layers] == [
            spectrum.exact for spectrum in found.values()
        ]
    assert plan_spectra(net, X, y, **settings).n_chunks == 1
    tight = plan_spectra(net, X, y, max_memory=least + 1, **settings)
    assert tight.n_chunks > 1
    assert f"in {tight.n_chunks} chunks" in str(tight)
    with pytest.raises(ValueError, match="Expected max_memory of at least"):
        plan_spectra(net, X, y, max_memory=0.9 * least, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["conv2d_relu", "norms", "lstm", "attention", "embedding", "tied"])
@pytest.mark.parametrize("share", [1.0, 2.0])
def test_every_kind_of_layer_within_its_least_memory(kind, share):
    net, X, y = make_net(kind, "cross_entropy", n_samples=6)
    settings = {"dtype": "float64", "n_lanczos_steps": 60, "n_probes": 1}
    expected = layer_spectra(net, X, y, **settings)
    limit = share * least_of(net, X, y, **settings) + 1
    assert_same(layer_spectra(net, X, y, max_memory=limit, **settings), expected)


def test_scalars_without_factors_within_a_bound():
    def ranking(output, y):
        return torch.sigmoid(output[:, None, 0] - output[None, :, 1]).mean()

    own = {"*": lambda output, y: (output**4).mean()}
    net, X, y = problem()
    for scalar in (ranking, own):
        settings = {"scalar": scalar, "dtype": "float64", "n_lanczos_steps": 45, "n_probes": 1}
        expected = layer_spectra(net, X, y, **settings)
        limit = 1.2 * least_of(net, X, y, **settings)
        assert_same(layer_spectra(net, X, y, max_memory=limit, **settings), expected)


def test_indefinite_losses_within_a_bound():
    def wavy(output, y):
        return torch.sin(3 * output).sum() + output[:, 0].mul(output[:, 1]).sum()

    net, X, y = problem(nn.ReLU)
    for method in ("auto", "lanczos"):
        settings = {
            "scalar": wavy,
            "dtype": "float64",
            "n_lanczos_steps": 45,
            "n_probes": 1,
            "method": method,
        }
        expected = layer_spectra(net, X, y, **settings)
        limit = 1.2 * least_of(net, X, y, **settings)
        assert_same(layer_spectra(net, X, y, max_memory=limit, **settings), expected)


def test_traces_within_a_bound():
    net, X, y = problem()
    expected = layer_traces(net, X, y, dtype="float64")
    found = layer_traces(net, X, y, dtype="float64", max_memory=20_000)
    for name, layer in found.items():
        assert layer.trace == pytest.approx(expected[name].trace, rel=1e-9)


def test_chunks_follow_the_bound():
    net, X, y = problem(n_samples=100)
    counts = []
    with untouched_surroundings():
        for limit in (40_000, 80_000, 1e9):
            counts.append(len(prepare(net, X, y, max_memory=limit).chunks))
    assert counts[0] > counts[1] > counts[2] == 1
