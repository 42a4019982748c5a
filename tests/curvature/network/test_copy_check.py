"""A copy stands for its net only if it says the same, by its own parameters."""

import copy

import numpy as np
import pytest
import torch
from dense_oracle import tabular_net
from skorch import NeuralNetClassifier
from torch import nn

import hessdiag as hd

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 5)).astype("float32"), RNG.integers(0, 3, 20)


def fitted(module):
    return tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)


class Forgetful(nn.Module):
    """A copy of it has lost what it needs."""

    def __init__(self):
        super().__init__()
        self.inner, self.scale = nn.Linear(5, 3), [1.0]

    def __deepcopy__(self, memo):
        other = Forgetful()
        other.load_state_dict(self.state_dict())
        return other

    def forward(self, x):
        return self.inner(x) * self.scale[0]


ELSEWHERE = nn.Linear(5, 5)


class WithAGlobal(nn.Module):
    """What it calls is found by a name of this file, and so is no part of a copy."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = ELSEWHERE, nn.Linear(5, 3)

    def forward(self, x):
        return self.head(torch.tanh(ELSEWHERE(x)))


@pytest.mark.parametrize("dtype", [None, "float64"])
def test_what_holds_the_original_is_refused(dtype):
    with pytest.raises(ValueError, match=r"takes '.*(weight|bias)' of the original.*lambda"):
        hd.layer_spectra(fitted(WithAGlobal()), X, Y, dtype=dtype)


def test_a_copy_that_says_something_else_is_refused():
    module = Forgetful()
    module.scale[0] = 3.0
    net = fitted(module)
    net.module_.scale[0] = 3.0
    with pytest.raises(ValueError, match="a copy of the net to give the net's own outputs"):
        hd.layer_spectra(net, X, Y)


class Remembering(nn.Module):
    """Leaves traces wherever a forward pass may leave them."""

    def __init__(self):
        super().__init__()
        self.inner, self.log, self.seen, self.last, self.n = nn.Linear(5, 3), [], {}, None, 0
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        self.log.append(x.sum().item())
        self.seen[len(self.seen)] = x.shape
        self.last, self.n = x, self.n + 1
        self.count += 1
        return self.inner(x)


def test_comparing_leaves_no_trace_at_the_original():
    net = fitted(Remembering())
    net.module_.train()
    kept = copy.deepcopy({k: v for k, v in vars(net.module_).items() if k[0] != "_"})
    hd.layer_spectra(net, X, Y)
    module = net.module_
    assert (module.log, module.seen, module.last, module.n) == ([], {}, None, 0)
    assert module.count.item() == 0
    assert module.training
    assert {k for k in vars(module) if k[0] != "_"} == set(kept)


def test_nets_that_insist_on_their_precision_are_told_what_to_pass():
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(5, 3)
            self.shift = [torch.ones(5)]

        def forward(self, x):
            return self.inner(torch.nn.functional.linear(x, torch.diag(self.shift[0])))

    net = fitted(Single())
    assert hd.layer_spectra(net, X, Y)["inner"].exact
    with pytest.raises(ValueError, match="dtype=None"):
        hd.layer_spectra(net, X, Y, dtype="float64")


class ThinsItsTable(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(7, 3, max_norm=0.1), nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.table(x).mean(dim=1))


class KeepsTensorsInADict(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.kept = nn.Linear(5, 3), {"count": torch.zeros(1)}

    def forward(self, x):
        self.kept["count"].add_(1)
        return self.inner(x)


def test_originals_that_could_not_be_put_back_are_not_run():
    tokens = RNG.integers(0, 7, (20, 4))
    net = fitted(ThinsItsTable())
    before = net.module_.table.weight.detach().clone()
    hd.layer_spectra(net, tokens, Y)
    torch.testing.assert_close(net.module_.table.weight.detach(), before, rtol=0, atol=0)
    net = fitted(KeepsTensorsInADict())
    hd.layer_spectra(net, X, Y)
    assert net.module_.kept["count"].item() == 0
