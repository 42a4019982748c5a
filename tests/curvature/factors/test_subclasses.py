"""Layers that inherit from torch's own: their rules where they fit, sample by sample elsewhere."""

import numpy as np
import pytest
import torch
from dense_oracle import dense_hessians
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional

import hessdiag as hd
from hessdiag.curvature import prepare
from hessdiag.curvature.factors import DenseFactor, OuterFactor
from hessdiag.curvature.network import untouched_surroundings

RNG = np.random.default_rng(0)


class Same(nn.Linear):
    """Does what its kind does, by code of its own."""

    def forward(self, x):
        return functional.linear(x, self.weight, self.bias)


class Twice(nn.Linear):
    """Does something else."""

    def forward(self, x):
        return 2 * super().forward(x)


class Active(nn.LayerNorm):
    """Ends with an activation."""

    def forward(self, x):
        return torch.tanh(super().forward(x))


class Masked(nn.Linear):
    """Leaves out some of its weights."""

    def forward(self, x):
        mask = torch.ones_like(self.weight)
        mask[0] = 0.0
        return functional.linear(x, mask * self.weight, self.bias)


CASES = {
    "same": (Same(4, 4), OuterFactor),
    "twice": (Twice(4, 4), OuterFactor | DenseFactor),
    "active": (Active(4), DenseFactor),
    "masked": (Masked(4, 4), DenseFactor),
}


@pytest.mark.parametrize("case", CASES)
def test_spectra_are_right(case):
    layer, kind = CASES[case]
    torch.manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), layer, nn.Linear(4, 3)).double()
    X, y = RNG.normal(size=(12, 3)), np.arange(12) % 3
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, train_split=None)
    net.initialize()
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float64")
        factor = problem.factors(blocks=[b for b in problem.blocks if b.name == "2"])["2"]
    assert isinstance(factor, kind)
    found = hd.layer_spectra(net, X, y, dtype="float64", method="exact")["2"].eigenvalues()
    expected = np.linalg.eigvalsh(dense_hessians(net, X, y)["2"])
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())
