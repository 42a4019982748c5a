"""Convolutions with one position have the Hessians of linear layers, and are examined as such."""

import numpy as np
import pytest
import torch
from dense_oracle import dense_hessians
from skorch import NeuralNetClassifier
from torch import nn

import hessdiag as hd

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(1, 8, 2), (1, 2, 2)),
        (nn.Conv1d(2, 5, 3), (2, 3)),
        (nn.Conv3d(1, 4, 2), (1, 2, 2, 2)),
    ],
)
def test_an_examination_is_right(layer, shape):
    torch.manual_seed(0)
    width = layer.out_channels
    module = nn.Sequential(layer, nn.Flatten(), nn.Tanh(), nn.Linear(width, 3))
    X, y = RNG.normal(size=(20, *shape)), np.arange(20) % 3
    net = NeuralNetClassifier(module.double(), criterion=nn.CrossEntropyLoss, train_split=None)
    net.initialize()
    found = hd.examine(net, X, y, dtype="float64")["0"].spectrum
    values = np.linalg.eigvalsh(dense_hessians(net, X, y)["0"])
    assert found.max_eigenvalue == pytest.approx(values[-1], rel=1e-7)
    assert found.min_eigenvalue == pytest.approx(min(values[0], 0), rel=1e-6, abs=1e-12)
