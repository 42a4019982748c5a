"""Nets and surroundings are left as they were found, whatever happens."""

import gc
import warnings

import numpy as np
import pytest
import torch
from dense_oracle import make_net, tabular_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.cases import NetworkCase
from hessdiag.curvature.products import HessianProducts
from hessdiag.examination import examine
from hessdiag.spectra import BudgetWarning, layer_spectra, layer_traces, plan_spectra
from hessdiag.testing import AllocatedBytes, network_state, state_changes, surroundings_state


def squares(output, y):
    first = output[0] if isinstance(output, tuple) else output
    return (first**2).mean()


OWN = {"scalar": {"*": squares}}
# How many passes a first look decides on depends on how fast the machine is at the moment: without
# a bound there are as many every time, and where there is no time at all.
FREE = {"max_time": None}
DOORS = {
    "layer_spectra": lambda *case: layer_spectra(*case, **FREE),
    "of chunks": lambda *case: layer_spectra(*case, batch_size=7, **FREE),
    "within a bound": lambda *case, limit=100_000: layer_spectra(*case, max_memory=limit, **FREE),
    "within no time": lambda *case: hurried(*case),
    "of own outputs": lambda *case: layer_spectra(*case, **OWN, **FREE),
    "layer_traces": lambda *case: layer_traces(*case, method="hutchinson"),
    "plan_spectra": plan_spectra,
    "examine": lambda *case: examine(*case, **FREE),
}


def hurried(*case):
    """Leave out as much as there is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BudgetWarning)
        return layer_spectra(*case, max_time=1e-3)


class Failing(nn.Module):
    """Passes on what it gets, until it has been called often enough."""

    # Of all copies together.
    calls_left = 10**9

    def forward(self, x):
        Failing.calls_left -= 1
        if Failing.calls_left < 0:
            raise RuntimeError("in the middle of a pass")
        return x


def make_case():
    """A net in the midst of training: gradients, a frozen layer, a hook, statistics, dropout."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(4, 6),
        nn.BatchNorm1d(6),
        nn.Tanh(),
        nn.Dropout(0.5),
        Failing(),
        nn.Linear(6, 5),
        nn.GELU(),
        nn.Linear(5, 3),
    )
    module[5].bias.requires_grad_(False)
    module[0].register_forward_hook(lambda m, args, out: 2 * out)
    net = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 4)).astype("float32"), rng.integers(0, 3, 20)
    module.train()
    nn.functional.cross_entropy(module(torch.as_tensor(X)), torch.as_tensor(y)).backward()
    return net, X, y


class Watch:
    """Compares what is before and after, the flags of single modules included."""

    def __init__(self, net, X, y):
        self.net, self.case = net, NetworkCase(net, X, y)
        self.before = self.look()

    def look(self):
        modules = list(self.net.module_.modules())
        flags = {
            "modes": [m.training for m in modules],
            "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules],
            "requires_grad": [p.requires_grad for p in self.net.module_.parameters()],
            "versions": [p._version for p in self.net.module_.parameters()],
            "attention": (
                torch.backends.cuda.flash_sdp_enabled(),
                torch.backends.cuda.mem_efficient_sdp_enabled(),
                torch.backends.mha.get_fastpath_enabled(),
            ),
            "precision": torch.get_float32_matmul_precision(),
        }
        return network_state(self.case) | surroundings_state() | flags

    def check(self):
        assert state_changes(self.before, self.look()) == []


@pytest.mark.parametrize("door", DOORS)
def test_nothing_changes(door):
    net, X, y = make_case()
    watch = Watch(net, X, y)
    DOORS[door](net, X, y)
    watch.check()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["attention", "norms", "conv2d_relu", "lstm", "tied"])
@pytest.mark.parametrize("door", DOORS)
def test_nothing_stays_in_memory_nor_waits_for_the_garbage_collector(door, kind):
    case = make_net(kind, "cross_entropy", n_samples=8)
    # A recurrent layer takes more than the bound of the other tests.
    wider = {"limit": 400_000} if (door, kind) == ("within a bound", "lstm") else {}
    gc.collect()
    gc.disable()
    try:
        with AllocatedBytes() as count:
            DOORS[door](*case, **wider)
    finally:
        gc.enable()
    assert count.peak > 1000
    assert count.held == 0


@pytest.mark.parametrize("door", DOORS)
def test_nothing_changes_after_an_error_in_a_pass(door, monkeypatch):
    net, X, y = make_case()
    monkeypatch.setattr(Failing, "calls_left", 10**9)
    DOORS[door](net, X, y)
    n_calls = 10**9 - Failing.calls_left
    for calls in {1, 2, n_calls // 2, n_calls - 2}:
        Failing.calls_left = calls
        watch = Watch(net, X, y)
        with pytest.raises((RuntimeError, ValueError), match="in the middle of a pass"):
            DOORS[door](net, X, y)
        watch.check()


@pytest.mark.parametrize("door", DOORS)
def test_nothing_changes_after_an_interrupt_in_a_product(door, monkeypatch):
    net, X, y = make_case()

    def broken(*args):
        raise KeyboardInterrupt

    for method in ("products", "dense"):
        monkeypatch.setattr(HessianProducts, method, broken)
    watch = Watch(net, X, y)
    with pytest.raises(KeyboardInterrupt):
        DOORS[door](net, X, y)
    watch.check()
