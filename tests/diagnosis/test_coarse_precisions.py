"""Nets and losses in coarse precisions, at every door: an answer, or a refusal by name."""

import numpy as np
import pytest
import torch
from situations import classifier
from torch import nn
from torch.nn import functional

import hessdiag as hd
from hessdiag.examination import examine
from hessdiag.spectra import layer_spectra

RNG = np.random.default_rng(2)
X = (3 * RNG.normal(size=(120, 8))).astype("float32")
Y = X[:, :2].argmax(axis=1)


class InFloat(nn.CrossEntropyLoss):
    def forward(self, outputs, y):
        return functional.cross_entropy(outputs.float(), y)


class Half(nn.Module):
    """A net in bfloat16 that is right for all samples, and sure of most."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.o = nn.Linear(8, 16), nn.Linear(16, 2)
        with torch.no_grad():
            for layer in (self.a, self.o):
                layer.weight.zero_()
                layer.bias.zero_()
            self.a.weight[:2, :2] = torch.eye(2)
            self.a.weight[2:4, :2] = -torch.eye(2)
            self.a.weight[4:] = 0.3 * torch.randn(12, 8)
            self.o.weight[:, :4] = 6 * torch.tensor([[1.0, -1, -1, 1], [-1, 1, 1, -1]])
        self.to(torch.bfloat16)

    def forward(self, x):
        return self.o(torch.relu(self.a(x.to(self.a.weight.dtype))))


def case():
    return hd.NetworkCase(classifier(Half(), criterion=InFloat), X, Y)


DOORS = {
    "layer_spectra": lambda c, _: layer_spectra(c.net, c.X, c.y),
    "Gauss-Newton": lambda c, _: layer_spectra(c.net, c.X, c.y, curvature="ggn"),
    "examine": lambda c, _: examine(c.net, c.X, c.y),
    "LayerSpectra": lambda c, _: hd.LayerSpectra().fit_transform([c]),
    "skipping": lambda c, _: hd.LayerSpectra(on_error="warn", dtype=None).fit_transform([c]),
    "predict": lambda c, diagnoser: diagnoser.predict([c]),
    "explain": lambda c, diagnoser: diagnoser.explain(c),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_loss_in_float_of_a_net_in_bfloat16(door, reference_diagnoser):
    DOORS[door](case(), reference_diagnoser)


def test_its_numbers_are_those_of_the_same_in_float64():
    found = examine(*(getattr(case(), name) for name in ("net", "X", "y")))
    exact = examine(classifier(Half().double()), X.astype("float64"), Y)
    assert "statistics_missing" not in found.context
    for layer in (*found.layers, found.network):
        expected = exact[layer.name]
        # The loss is taken in float32, whatever net and spectra are in.
        assert layer.spectrum.trace == pytest.approx(expected.spectrum.trace, rel=1e-4)
        for name in ("alo_loss_1", "effective_dimension_1", "residual_alignment"):
            assert layer.statistics[name] == pytest.approx(expected.statistics[name], rel=1e-4)


class Cast(Half):
    """Runs under autocast by itself."""

    def __init__(self):
        super().__init__()
        self.float()

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x)


def far_from_zero():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    with torch.no_grad():
        exact = module[0].bias.double() - 3e5 * module[0].weight.double().sum(dim=1)
        module[0].bias.copy_(exact)
    return hd.NetworkCase(classifier(module), X + np.float32(3e5), Y)


@pytest.mark.parametrize(
    "make", [lambda: hd.NetworkCase(classifier(Cast()), X, Y), far_from_zero], ids=["cast", "far"]
)
def test_float64_is_taken_where_the_nets_own_precision_lacks_the_digits(make):
    (found,) = hd.LayerSpectra(dtype=None).fit_transform([make()])
    assert found.settings["dtype"] == "float64"
    with pytest.raises(ValueError, match="dtype='float64'"):
        hd.LayerSpectra(dtype="float32").fit_transform([make()])
