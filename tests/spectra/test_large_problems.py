"""What is done differently for large problems gives the same numbers."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature import prepare
from hessdiag.curvature.network import second_graph_bytes, untouched_surroundings
from hessdiag.spectra import SpectrumSettings, _gaps, _together, layer_spectra


def convolutional(activation):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        activation(),
        nn.Flatten(),
        nn.Linear(3 * 16, 5),
        activation(),
        nn.Linear(5, 3),
    ).double()
    X = np.random.default_rng(0).standard_normal((20, 1, 4, 4))
    y = np.arange(20) % 3
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, verbose=0).initialize()
    return net, X, y


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU])
@pytest.mark.parametrize("method", ["auto", "lanczos"])
def test_gaps_on_few_samples_and_factors_one_by_one_change_nothing(monkeypatch, activation, method):
    net, X, y = convolutional(activation)
    settings = {"method": method, "n_lanczos_steps": 12, "n_probes": 1}
    expected = layer_spectra(net, X, y, **settings)
    monkeypatch.setattr(_gaps, "MAX_GAP_OPERATIONS", 0)
    monkeypatch.setattr("hessdiag.curvature._workload.SMALL_SWEEPS", 1)
    for chosen in ({}, {"max_memory": 1e9}, {"batch_size": 7}):
        found = layer_spectra(net, X, y, **settings, **chosen)
        assert list(found) == list(expected)
        for name, spectrum in found.items():
            assert spectrum.exact == expected[name].exact
            bound = 1e-9 if spectrum.exact else 1e-3
            difference = spectrum.max_eigenvalue - expected[name].max_eigenvalue
            assert abs(difference) <= bound * abs(expected[name].max_eigenvalue)


def clear_ones(problem, generator):
    """Name the layers that a few samples show to go by factors, all of them before any other."""
    assert _gaps.asks_few_first(problem)
    batches = _together.Together(problem, SpectrumSettings()).batches(generator)
    return [name for operators, _ in batches if len(operators) == 1 for name in operators]


def test_few_samples_settle_piecewise_linear_layers_only(monkeypatch):
    monkeypatch.setattr(_gaps, "MAX_GAP_OPERATIONS", 0)
    generator = torch.Generator().manual_seed(0)
    with untouched_surroundings():
        smooth = prepare(*convolutional(nn.GELU))
        assert set(clear_ones(smooth, generator)) == {"6"}
        straight = prepare(*convolutional(nn.ReLU))
        assert set(clear_ones(straight, generator)) == {"0", "1", "4", "6"}


def test_chunks_without_output_hessians_follow_the_graph(monkeypatch):
    monkeypatch.setattr("hessdiag.curvature.network._outputs.MAX_HESSIAN_ENTRIES", 10)
    net, X, y = convolutional(nn.GELU)
    with untouched_surroundings():
        assert len(prepare(net, X, y).chunks) == 1
        tight = prepare(net, X, y, max_memory=20_000)
        assert 1 < len(tight.chunks) <= 20


def test_second_graph_bytes_counts_what_grows_with_samples():
    weight = torch.nn.Parameter(torch.ones(3, 3, dtype=torch.float64))

    def scalar(n):
        return torch.tanh(torch.ones(n, 3, dtype=torch.float64) @ weight).square().sum()

    counts = [second_graph_bytes(lambda n=n: scalar(n), [weight]) for n in (10, 20, 30)]
    assert counts[1] - counts[0] == counts[2] - counts[1] >= 10 * 3 * 8
