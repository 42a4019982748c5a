"""Laws that spectra obey whatever the net: scale, order of samples and units, rescaled layers."""

import copy

import numpy as np
import pytest
import torch
from dense_oracle import tabular_net
from hypothesis import given, settings
from hypothesis import strategies as st
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from hessdiag.examination import examine
from hessdiag.spectra import layer_spectra

seeds = st.integers(0, 2**16)
few = settings(max_examples=15, deadline=None)


def problem(seed, activation, regression=False, n_samples=10):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Linear(3, 5), activation(), nn.Linear(5, 4), activation(), nn.Linear(4, 2)
    )
    X = rng.normal(size=(n_samples, 3))
    y = rng.normal(size=(n_samples, 2)) if regression else rng.integers(0, 2, n_samples)
    return module.double(), X, y


def spectra_of(module, X, y, **given):
    regression = np.asarray(y).dtype.kind == "f"
    net = tabular_net(
        module,
        NeuralNetRegressor if regression else NeuralNetClassifier,
        criterion=nn.MSELoss if regression else nn.CrossEntropyLoss,
    )
    return layer_spectra(net, X, y, **given)


def assert_close(first, second, factor=1.0):
    for name, spectrum in first.items():
        size = np.abs(spectrum.nodes).max() * abs(factor) + 1e-300
        expected = np.sort(factor * spectrum.eigenvalues())
        np.testing.assert_allclose(second[name].eigenvalues(), expected, atol=1e-10 * size)


@few
@given(seeds, st.sampled_from([nn.ReLU, nn.Tanh]))
def test_trace_is_the_sum_of_eigenvalues_and_hutchinson_finds_it(seed, activation):
    exact = spectra_of(*problem(seed, activation))
    probed = spectra_of(
        *problem(seed, activation), method="lanczos", n_probes=100, n_lanczos_steps=3
    )
    for name, spectrum in exact.items():
        np.testing.assert_allclose(spectrum.trace, spectrum.eigenvalues().sum(), atol=1e-12)
        assert abs(probed[name].trace - spectrum.trace) <= 6 * probed[name].trace_error + 1e-12


@few
@given(seeds, st.sampled_from([nn.ReLU, nn.Tanh]), st.sampled_from([-1e3, -1.0, 0.0, 1e-6, 7.0]))
def test_a_scaled_scalar_scales_the_spectrum(seed, activation, factor):
    module, X, y = problem(seed, activation, regression=True)

    def scaled(output, y, factor=factor):
        return factor * (output - y).pow(2).mean()

    assert_close(spectra_of(module, X, y), spectra_of(module, X, y, scalar=scaled), factor)


@few
@given(seeds, st.sampled_from([nn.ReLU, nn.Tanh]), st.booleans())
def test_order_and_repetition_of_samples_do_not_matter(seed, activation, regression):
    module, X, y = problem(seed, activation, regression)
    order = np.random.default_rng(seed).permutation(len(X))
    expected = spectra_of(module, X, y)
    assert_close(expected, spectra_of(module, X[order], y[order]))
    assert_close(expected, spectra_of(module, np.tile(X, (2, 1)), np.concatenate([y, y])))


@few
@given(seeds, st.sampled_from([nn.ReLU, nn.Tanh]))
def test_order_of_hidden_units_does_not_matter(seed, activation):
    module, X, y = problem(seed, activation)
    shuffled = copy.deepcopy(module)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        shuffled[0].weight.copy_(module[0].weight[order])
        shuffled[0].bias.copy_(module[0].bias[order])
        shuffled[2].weight.copy_(module[2].weight[:, order])
    assert_close(spectra_of(module, X, y), spectra_of(shuffled, X, y))


def rescaled(module, factor):
    """The same function with the first layer's outputs scaled, and the second's inputs back."""
    other = copy.deepcopy(module)
    with torch.no_grad():
        other[0].weight.mul_(factor)
        other[0].bias.mul_(factor)
        other[2].weight.div_(factor)
    return other


@few
@given(seeds, st.floats(0.1, 10))
def test_rescaled_relu_layers_scale_their_spectra_oppositely(seed, factor):
    module, X, y = problem(seed, nn.ReLU)
    first, second = spectra_of(module, X, y), spectra_of(rescaled(module, factor), X, y)
    assert_close({"0": first["0"]}, second, factor**-2)
    assert_close({"4": first["4"]}, second)


@pytest.mark.slow
@few
@given(seeds, st.floats(0.2, 5))
def test_network_statistics_do_not_change_under_relu_rescaling(seed, factor):
    module, X, y = problem(seed, nn.ReLU)
    with torch.no_grad():
        module[2].bias.zero_()  # a bias that is not rescaled has no part in the symmetry
    networks = []
    for version in (module, rescaled(module, factor)):
        version[2].bias.requires_grad_(False)
        net = tabular_net(version, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
        networks.append(examine(net, X, y).network)
    for name, value in networks[0].statistics.items():
        if name.startswith(("alo_loss", "effective_dimension", "takeuchi", "target_alignment")):
            np.testing.assert_allclose(networks[1].statistics[name], value, rtol=1e-6, atol=1e-9)
