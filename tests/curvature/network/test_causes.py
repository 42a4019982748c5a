"""What a forward pass may do, though it looks like what is refused."""

import numpy as np
import pytest
import torch
from skorch import NeuralNet
from torch import nn

import hessdiag as hd

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 4)).astype("float32"), RNG.integers(0, 3, 12)


def make(module):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = NeuralNet(module, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0)
        return net.initialize()


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


class Bounded(Two):
    """Keeps its weights within bounds: the same whatever the batch."""

    def forward(self, x):
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.clamp_(-0.2, 0.2)
        return super().forward(x)


class Shortened(nn.Module):
    """Shortens rows of its table when they are looked up."""

    def __init__(self):
        super().__init__()
        self.table, self.last = nn.Embedding(5, 4, max_norm=1.0), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(self.table(x[:, 0].abs().long() % 5))


class Frozen(Two):
    """Records no derivatives where nothing is trained."""

    def __init__(self):
        super().__init__()
        self.first.requires_grad_(False)

    def forward(self, x):
        with torch.no_grad():
            h = torch.tanh(self.first(x))
        return self.last(h)


@pytest.mark.parametrize("module", [Bounded, Shortened, Frozen])
def test_weights_within_bounds_and_frozen_layers_are_no_faults(module):
    net = make(module)
    before = [p.clone() for p in net.module_.parameters()]
    spectra = hd.layer_spectra(net, X, Y, dtype="float64")
    assert all(torch.equal(p, b) for p, b in zip(net.module_.parameters(), before))
    # The same as of a net whose weights are within bounds already.
    with torch.no_grad():
        net.module_(torch.tensor(X))
    again = hd.layer_spectra(net, X, Y, dtype="float64")
    for name, spectrum in spectra.items():
        assert spectrum.trace == pytest.approx(again[name].trace, rel=1e-6, abs=1e-12)


def test_autocast_leaves_float64_as_it_is():
    class UnderAutocast(Two):
        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return super().forward(x)

    plain, cast = make(Two), make(UnderAutocast)
    expected = hd.layer_spectra(plain, X, Y, dtype="float64")
    found = hd.layer_spectra(cast, X, Y, dtype="float64")
    for name, spectrum in expected.items():
        np.testing.assert_allclose(found[name].eigenvalues(), spectrum.eigenvalues(), atol=1e-12)
    # So a case can be made, and diagnosed.
    case = hd.NetworkCase.from_module(cast.module_, X, Y, loss=nn.CrossEntropyLoss())
    assert hd.examine(case.net, X, Y).context["task"] == "classification"
    with pytest.raises(ValueError, match="dtype='float64'"):
        hd.layer_spectra(case.net, X, Y)


def test_functions_of_layers_need_no_derivatives_of_what_the_net_sends():
    class Detached(Two):
        def forward(self, x):
            return super().forward(x).detach()

    scalar = {"first": lambda output, y: output.square().mean()}
    spectra = hd.layer_spectra(make(Detached), X, Y, layers=["first"], scalar=scalar)
    assert spectra["first"].trace > 0
