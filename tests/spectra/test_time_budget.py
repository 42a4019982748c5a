"""Within a budget of time: what fits is as ever, what does not is less, and said."""

import time
import warnings

import numpy as np
import pytest
import torch
from dense_oracle import tabular_net
from skorch import NeuralNetClassifier
from torch import nn

import hessdiag.spectra._time_budget as module
from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.spectra import BudgetWarning, SpectrumSettings, layer_spectra
from hessdiag.spectra._time_budget import policy_within

RNG = np.random.default_rng(0)


def make_case(activation=nn.GELU, n_samples=240, width=60):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, width), activation(), nn.Linear(width, width), activation())
    module.append(nn.Linear(width, 3))
    net = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    X = RNG.normal(size=(n_samples, 4)).astype("float32")
    return net, X, RNG.integers(0, 3, n_samples)


def plan_within(max_time, activation=nn.GELU, **settings):
    with untouched_surroundings():
        problem = prepare(*make_case(activation))
        return policy_within(problem, SpectrumSettings(**settings), max_time)


@pytest.mark.parametrize("max_time", [None, 1e6])
def test_what_fits_is_as_it_would_be_without_a_bound(max_time):
    policy, left_out = plan_within(max_time)
    assert left_out == []
    assert policy.problem.n_samples == 240
    net, X, y = make_case()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bounded, free = (layer_spectra(net, X, y, max_time=s) for s in (max_time, None))
    for name, spectrum in free.items():
        np.testing.assert_array_equal(bounded[name].nodes, spectrum.nodes)
        np.testing.assert_array_equal(bounded[name].weights, spectrum.weights)


def test_too_little_time_leaves_the_least():
    policy, left_out = plan_within(1e-3)
    said = "; ".join(left_out)
    assert policy.problem.n_samples == 8
    assert (policy.settings.n_probes, policy.settings.n_lanczos_steps) == (1, 5)
    for words in ("1 of 3 probes", "8 of 240 samples", "5 of 30 steps"):
        assert words in said


def test_exact_spectra_stay_exact_on_fewer_samples():
    policy, left_out = plan_within(1e-3, nn.ReLU, method="exact")
    assert left_out == ["8 of 240 samples were looked at"]
    assert all(way.is_exact for way in policy.ways.values())


class Costs:
    """Seconds by rule: each exact layer takes 100 times the others, which grow with all counts."""

    def __init__(self, policy, most_seconds=None):
        self.blocks = policy.problem.blocks

    def of_layer(self, block, is_exact, n=240, n_probes=3, n_steps=30):
        return 100.0 * n / 240 if is_exact else n * n_probes * n_steps / (240 * 90)

    def total(self, n, n_probes, n_steps, is_exact):
        return sum(self.of_layer(b, is_exact(b), n, n_probes, n_steps) for b in self.blocks)


@pytest.mark.parametrize(
    ("max_time", "n_samples", "n_probes", "n_steps", "said"),
    [
        (301, 240, 3, 30, ""),
        (299, 240, 3, 30, "3 of 3 layers were left to Lanczos"),
        (3.01, 240, 3, 30, "3 of 3 layers were left to Lanczos"),
        (2.9, 240, 1, 30, "1 of 3 probes"),
        (0.9, 120, 1, 30, "120 of 240 samples"),
        (0.26, 64, 1, 15, "15 of 30 steps"),
        (0.1, 32, 1, 15, "32 of 240 samples"),
        (0.03, 8, 1, 15, "8 of 240 samples"),
        (0.01, 8, 1, 5, "5 of 30 steps"),
    ],
)
def test_what_costs_least_in_accuracy_goes_first(
    max_time, n_samples, n_probes, n_steps, said, monkeypatch
):
    monkeypatch.setattr(module, "MeasuredCosts", Costs)
    monkeypatch.setattr(module, "_first_look", lambda policy: 1e9)
    monkeypatch.setattr(module.time, "monotonic", lambda: 0.0)
    policy, left_out = plan_within(max_time, nn.ReLU)
    assert policy.problem.n_samples == n_samples
    settings = policy.settings
    assert (settings.n_probes, settings.n_lanczos_steps) == (n_probes, n_steps)
    assert said in "; ".join(left_out)
    assert bool(said) == bool(left_out)
    assert all(way.is_exact for way in policy.ways.values()) == (max_time > 300)


def test_a_long_one_ends_in_time_and_says_what_is_less():
    net, X, y = make_case(n_samples=4000, width=300)
    start = time.perf_counter()
    with pytest.warns(BudgetWarning, match="To keep within max_time=1 s: .* samples"):
        spectra = layer_spectra(net, X, y, n_lanczos_steps=200, n_probes=20, max_time=1.0)
    assert time.perf_counter() - start < 15.0  # whatever else runs
    assert list(spectra) == ["0", "2", "4"]
    assert all(np.isfinite(spectrum.trace) for spectrum in spectra.values())


@pytest.mark.parametrize("max_time", [0, -1.0, True, "60"])
def test_what_is_no_time_is_refused(max_time):
    with pytest.raises(ValueError, match="Expected max_time to be None or a positive number"):
        layer_spectra(*make_case(), max_time=max_time)
