"""The private copy: how its weights lie in memory, while the net's own stay as they are."""

import numpy as np
import torch
from dense_oracle import tabular_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature.network import _working_copy as working_copy
from hessdiag.curvature.network._surroundings import untouched_surroundings
from hessdiag.curvature.network._working_copy import WorkingCopy
from hessdiag.spectra import layer_spectra


class Tied(nn.Module):
    """Wide and narrow linear layers, and one whose weights are looked up, too."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow = nn.Linear(70, 66), nn.Linear(66, 5)
        self.table = nn.Embedding(80, 66)
        self.tied = nn.Linear(66, 80)
        self.tied.weight = self.table.weight

    def forward(self, x):
        hidden = self.wide(x).tanh() + self.table(x[:, 0].abs().long())
        return self.narrow(hidden) + self.tied(hidden).mean(dim=1, keepdim=True)


def test_only_wide_weights_of_the_copy_are_turned():
    torch.manual_seed(0)
    net = tabular_net(Tied(), NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    with untouched_surroundings():
        copy = WorkingCopy(net).module_
    assert copy.wide.weight.stride() == (1, 66)
    assert copy.narrow.weight.is_contiguous()
    assert copy.table.weight.is_contiguous()
    assert copy.tied.weight is copy.table.weight
    for name, parameter in net.module_.named_parameters():
        assert parameter.is_contiguous()
        assert torch.equal(parameter, copy.get_parameter(name))


def test_spectra_do_not_depend_on_how_weights_lie(monkeypatch):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(65, 70), nn.GELU(), nn.Linear(70, 64), nn.GELU())
    net = tabular_net(
        module.append(nn.Linear(64, 3)), NeuralNetClassifier, criterion=nn.CrossEntropyLoss
    )
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(9, 65)).astype("float32"), rng.integers(0, 3, 9)
    settings = {"method": "lanczos", "n_lanczos_steps": 4, "n_probes": 2, "dtype": "float64"}
    turned = layer_spectra(net, X, y, **settings)
    monkeypatch.setattr(working_copy, "LEAST_TURNED", 10**6)
    for name, spectrum in layer_spectra(net, X, y, **settings).items():
        np.testing.assert_allclose(turned[name].nodes, spectrum.nodes, rtol=1e-9)
