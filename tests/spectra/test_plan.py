"""Plans say what is then done."""

import numpy as np
import pytest
import torch
from dense_oracle import tabular_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.spectra import LocalSpectra, layer_spectra, plan_spectra
from hessdiag.spectra._settings import SpectrumSettings
from hessdiag.spectra._ways import LayerSizes, choose_way


def make_problem(activation):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 60), activation(), nn.Linear(60, 50), activation())
    module.append(nn.Linear(50, 3))
    net = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    return net, rng.normal(size=(30, 4)).astype("float32"), rng.integers(0, 3, 30)


@pytest.mark.parametrize("settings", [{}, {"method": "lanczos"}, {"curvature": "ggn"}], ids=str)
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_the_plan_is_kept(activation, settings):
    net, X, y = make_problem(activation)
    plan = plan_spectra(net, X, y, **settings)
    spectra = layer_spectra(net, X, y, **settings)
    assert [layer.name for layer in plan.layers] == list(spectra)
    for layer in plan.layers:
        assert layer.n_params == spectra[layer.name].n_params
        assert layer.n_rows == 60
        assert spectra[layer.name].exact == (layer.way != "lanczos")
        assert layer.seconds > 0
        assert layer.bytes > 0
    ways = [layer.way for layer in plan.layers]
    if settings.get("method") == "lanczos":
        assert ways == ["lanczos"] * 3
    elif activation is nn.ReLU or settings:
        assert ways == ["factors"] * 3
    else:
        assert ways == ["dense", "lanczos", "factors"]


def test_the_plan_prints_a_table():
    net, X, y = make_problem(nn.Tanh)
    plan = plan_spectra(net, X, y)
    lines = str(plan).splitlines()
    assert len(lines) == 6
    assert "exact, dense Hessian" in lines[1]
    assert "Lanczos quadrature" in lines[2]
    assert lines[4].split()[0] == "preparing"
    assert lines[5].split()[:2] == ["total", "3503"]
    assert plan.seconds == plan.preparing + sum(layer.seconds for layer in plan.layers)
    # What a net is prepared for once is part of no later plan.
    again = LocalSpectra(net, X, y).plan()
    assert again.preparing == 0
    assert len(str(again).splitlines()) == 5


@pytest.mark.parametrize(
    ("sizes", "settings", "expected"),
    [
        (LayerSizes(10**7, 900, True), {}, ("factors", 900)),
        (LayerSizes(100, 10**6, True), {}, ("factors", 100)),
        (LayerSizes(10**7, 9000, True), {}, ("lanczos", 9000)),
        (LayerSizes(2500, 10, False), {}, ("dense", 2500)),
        (LayerSizes(2501, 10, False), {}, ("lanczos", 2501)),
        (LayerSizes(2501, 10, False), {"method": "exact"}, ("dense", 2501)),
        (LayerSizes(10, 10, True), {"method": "lanczos"}, ("lanczos", 10)),
        (LayerSizes(1000, 900, True), {"max_memory": 1e6}, ("lanczos", 900)),
        (LayerSizes(1000, 0, False), {"max_memory": 1e6}, ("lanczos", 1000)),
    ],
)
def test_ways(sizes, settings, expected):
    way = choose_way("layer", sizes, SpectrumSettings(**settings))
    assert (way.name, way.side) == expected


@pytest.mark.parametrize("settings", [{"tolerance": 0}, {"max_memory": -1}], ids=str)
def test_bounds_are_positive(settings):
    with pytest.raises(ValueError, match="positive number"):
        SpectrumSettings(**settings)
