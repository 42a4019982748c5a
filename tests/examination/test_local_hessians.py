"""The front door: prepared once, asked in any order, and within a bound on memory."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from dense_oracle import make_net, tabular_net
from skorch import NeuralNetClassifier
from torch import nn

import hessdiag as hd
from hessdiag.examination import LocalHessians, examine
from hessdiag.spectra import layer_coupling, layer_spectra, layer_traces, plan_spectra, plan_traces

MIB = 2**20


def problem():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    module = nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    net = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    return net, rng.normal(size=(30, 4)).astype("float32"), rng.integers(0, 3, 30)


def nodes(spectra):
    return {name: (s.nodes.tolist(), s.weights.tolist(), s.gn_gap) for name, s in spectra.items()}


def as_text(examination):
    """All numbers of an examination, as text, so that NaN equals NaN."""
    layers = [(*layer.statistics.items(), layer.spectrum.nodes) for layer in examination.layers]
    # How long it was expected to take depends on the machine.
    context = {k: v for k, v in examination.context.items() if k != "seconds_forecast"}
    return repr((layers, sorted(examination.network.statistics.items()), context))


WORK = {
    "spectra": lambda local: nodes(local.spectra(method="lanczos", n_lanczos_steps=4)),
    "exact": lambda local: nodes(local.spectra()),
    "traces": lambda local: local.traces(method="hutchinson"),
    "coupling": lambda local: repr(local.coupling(n_probes=3).resonance),
    "plan": lambda local: [(layer.way, layer.side) for layer in local.plan().layers],
    "plan_traces": lambda local: [layer.way for layer in local.plan_traces().layers],
    "examine": lambda local: as_text(local.examine()),
}


def test_answers_do_not_depend_on_what_was_asked_before():
    case = problem()
    alone = {name: work(LocalHessians(*case, random_state=3)) for name, work in WORK.items()}
    for order in (list(WORK), list(WORK)[::-1]):
        local = LocalHessians(*case, random_state=3)
        assert {name: WORK[name](local) for name in order} == alone


def test_shortcuts_give_what_the_door_gives():
    case = problem()
    local = LocalHessians(*case, random_state=3)
    assert nodes(layer_spectra(*case, random_state=3)) == nodes(local.spectra())
    assert layer_traces(*case, random_state=3) == local.traces()
    coupling = layer_coupling(*case, random_state=3, dtype=None)
    np.testing.assert_array_equal(coupling.resonance, local.coupling().resonance)
    assert as_text(examine(*case, random_state=3, dtype=None)) == as_text(local.examine())


DRAWN = [
    (np.int64(3), 3),
    (np.uint8(3), 3),
    (np.random.RandomState(5), int(np.random.RandomState(5).randint(2**31 - 1))),
    (np.random.default_rng(5), int(np.random.default_rng(5).integers(2**31 - 1))),
]


@pytest.mark.parametrize(("given", "seed"), DRAWN)
def test_one_integer_seed_is_drawn_once(given, seed):
    case = problem()
    settings = {"max_samples": 12, "dense_limit": 5, "n_lanczos_steps": 4}
    found = examine(*case, random_state=given, **settings)
    assert as_text(found) == as_text(examine(*case, random_state=seed, **settings))
    assert found.settings["random_state"] == seed


@pytest.mark.parametrize("wrong", ["7", 1.5, [1]])
def test_what_is_no_seed_is_refused(wrong):
    with pytest.raises(ValueError, match="Expected random_state to be"):
        LocalHessians(*problem(), random_state=wrong)


def test_a_net_that_changes_later_does_not_change_what_was_prepared():
    net, X, y = problem()
    local = LocalHessians(net, X, y)
    expected, digest = nodes(local.spectra()), local.examine().digest
    with torch.no_grad():
        net.module_[0].weight.mul_(2.0)
    assert nodes(local.spectra()) == expected
    assert local.examine().digest == digest
    assert LocalHessians(net, X, y).examine().digest != digest


def test_shows_sizes():
    local = LocalHessians(*problem(), layers=["0", "4"])
    assert repr(local) == "LocalHessians(Sequential, 2 layers, 53 parameters, 30 samples)"
    assert local.layer_names == ("0", "4")
    assert LocalHessians(*problem(), max_samples=11).n_samples == 11


@pytest.mark.parametrize("kind", ["conv2d_relu", "norms", "lstm", "attention", "embedding", "tied"])
def test_an_examination_within_its_least_memory_is_the_same(kind, monkeypatch):
    # On a slow machine two runs would each tell how long they expect to take, by the clock.
    monkeypatch.setattr("hessdiag.examination._examine.LONG", np.inf)
    net, X, y = make_net(kind, "cross_entropy", n_samples=12)
    settings = {"n_lanczos_steps": 60, "max_gram_size": 30}
    with pytest.raises(ValueError, match="at least") as caught:
        examine(net, X, y, max_memory=1000, **settings)
    least = int(re.search(r"at least (\d+) bytes", str(caught.value))[1])
    expected = examine(net, X, y, **settings)
    found = None
    for limit in (1.01 * least, 3 * least, 9 * least):
        try:
            found = examine(net, X, y, max_memory=limit, **settings)
        except ValueError as error:
            # Spectra may need more than all else.
            assert "at least" in str(error)  # noqa: PT017
    assert found is not None
    for one, other in zip(found.layers, expected.layers, strict=True):
        size = np.abs(other.spectrum.nodes).max()
        difference = one.spectrum.max_eigenvalue - other.spectrum.max_eigenvalue
        assert abs(difference) <= 1e-6 * size
        assert one.statistics.keys() == other.statistics.keys()
        for name, value in other.statistics.items():
            assert one.statistics[name] == pytest.approx(value, rel=1e-5, abs=1e-8, nan_ok=True)
    for name, value in expected.network.statistics.items():
        assert found.network.statistics[name] == pytest.approx(
            value, rel=1e-4, abs=1e-7, nan_ok=True
        )
    for name, value in expected.context.items():
        approximate = value if isinstance(value, str) else pytest.approx(value, nan_ok=True)
        assert found.context[name] == approximate


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks the Linux kernel")
@pytest.mark.parametrize(
    ("network", "activation", "limits"),
    [("mlp", "gelu", (60, 120)), ("cnn", "gelu", (48, 96)), ("transformer", "gelu", (80, 160))],
)
def test_memory_of_an_examination_stays_within_the_bound(network, activation, limits):
    settings = {"n_lanczos_steps": 6, "n_probes": 2, "max_gram_size": 200}
    several = [settings | {"max_memory": limit * MIB} for limit in limits]
    threshold = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    script = Path(__file__).parents[1] / "oracles" / "memory_probe.py"
    done = subprocess.run(
        [sys.executable, str(script), network, activation, json.dumps(several)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"} | threshold,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for found, limit in zip(json.loads(done.stdout.splitlines()[-1]), limits, strict=True):
        assert found["peak"] <= (limit + 5) * MIB, found


def test_refusals():
    net, X, y = problem()
    own = {"*": lambda output, y: (output**2).mean()}
    with pytest.raises(ValueError, match="one function of the net's output"):
        LocalHessians(net, X, y, scalar=own).examine()
    with pytest.raises(ValueError, match="curvature='hessian' for couplings"):
        LocalHessians(net, X, y, curvature="ggn").coupling()
    with pytest.raises(ValueError, match="curvature to be one of"):
        LocalHessians(net, X, y, curvature="fisher")
    with pytest.raises(ValueError, match="max_memory"):
        LocalHessians(net, X, y, max_memory=-1)
    with pytest.raises(ValueError, match="Expected max_memory of at least"):
        LocalHessians(net, X, y, max_memory=1000).coupling()


@pytest.mark.slow
def test_couplings_within_a_bound_are_the_same():
    net, X, y = problem()
    expected = LocalHessians(net, X, y, dtype="float64").coupling()
    with pytest.raises(ValueError, match="at least") as caught:
        LocalHessians(net, X, y, dtype="float64", max_memory=1000).coupling()
    least = int(re.search(r"at least (\d+) bytes", str(caught.value))[1])
    found = LocalHessians(net, X, y, dtype="float64", max_memory=least + 1).coupling()
    np.testing.assert_allclose(found.resonance, expected.resonance, rtol=1e-9, atol=1e-12)


def test_a_callable_scalar_is_examined():
    net, X, y = problem()

    def loss(output, y):
        return nn.functional.cross_entropy(output, y)

    found, expected = examine(net, X, y, scalar=loss), examine(net, X, y)
    assert found.context["loss"] == pytest.approx(expected.context["loss"], rel=1e-12)
    for one, other in zip(found.layers, expected.layers, strict=True):
        np.testing.assert_allclose(one.spectrum.nodes, other.spectrum.nodes, atol=1e-12)


@pytest.mark.parametrize(
    "door", [layer_spectra, plan_spectra, layer_traces, plan_traces, layer_coupling, examine]
)
def test_every_parameter_of_every_door_has_its_words(door):
    described = re.findall(r"(?m)^(\w+) : ", door.__doc__.split("Returns\n---")[0])
    assert described == list(inspect.signature(door).parameters)
    assert "As in" not in door.__doc__.split("Parameters\n---")[1].split("Returns\n---")[0]


def test_it_is_at_the_front():
    assert hd.LocalHessians is LocalHessians


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": -1}, "batch_size to be None or an integer"),
        ({"batch_size": 1.5}, "batch_size to be None or an integer"),
        ({"max_samples": 0}, "max_samples to be None or an integer"),
        ({"max_memory": "1GB"}, "max_memory to be None or a positive number"),
        ({"layers": 5}, "layers to be None"),
        ({"layers": {"block": []}}, "at least one parameter name"),
        ({"random_state": -1}, "random_state to be None"),
    ],
    ids=str,
)
def test_bad_keywords_are_refused_before_the_net_is_run(settings, message):
    with pytest.raises(ValueError, match=f"Expected {message}"):
        LocalHessians(*problem(), **settings)


def test_data_sets_bring_their_targets():
    net, X, y = problem()
    together = torch.utils.data.TensorDataset(torch.as_tensor(X), torch.as_tensor(y))
    for door in (layer_spectra, layer_traces, plan_spectra, plan_traces, layer_coupling, examine):
        door(net, together)
