"""Weights that are computed from parameters."""

import numpy as np
import torch
from situations import spectra_by_differences
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn.utils import parametrizations

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4)).astype("float32"), RNG.integers(0, 3, 20)


def with_orthogonal_weights():
    torch.manual_seed(0)
    module = nn.Sequential(
        parametrizations.orthogonal(nn.Linear(4, 4), orthogonal_map="cayley"),
        nn.Tanh(),
        nn.Linear(4, 3),
    )
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0)
    return net.initialize(), X, Y


SITUATIONS = {
    "layer after orthogonal weights": spectra_by_differences(
        "weights", with_orthogonal_weights, layers="2"
    ),
}
