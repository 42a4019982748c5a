"""The closed forms agree with dense autograd, which knows nothing of them."""

import numpy as np
import pytest
import torch
from torch.func import functional_call

import hessdiag as hd
from hessdiag.testing import (
    linear_regression,
    logistic_regression,
    softmax_regression,
    two_layer_linear,
)

MAKERS = [linear_regression, logistic_regression, softmax_regression, two_layer_linear]


def dense_hessian(net, X, y, layer):
    """Hessian of the criterion in one layer's parameters, by autograd twice."""
    parameters = dict(net.module_.named_parameters())
    names = [name for name in parameters if name.startswith(f"{layer}.")]
    shapes = [parameters[name].shape for name in names]
    flat = torch.cat([parameters[name].detach().ravel() for name in names])
    X, y = torch.as_tensor(X), torch.as_tensor(y)

    def loss(vector):
        parts = vector.split([shape.numel() for shape in shapes])
        changed = {n: part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        output = functional_call(net.module_, changed, (X,))
        output = output[:, 0] if y.ndim == 1 and y.is_floating_point() else output
        return net.criterion_(output, y)

    return torch.autograd.functional.hessian(loss, flat).numpy()


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("random_state", [0, 1])
def test_closed_form_is_dense_hessian(make, random_state):
    net, X, y, hessians = make(random_state=random_state)
    for layer, hessian in hessians.items():
        assert hessian.dtype == np.float64
        expected = dense_hessian(net, X, y, layer)
        np.testing.assert_allclose(hessian, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make", MAKERS)
def test_layer_spectra_has_their_eigenvalues(make):
    net, X, y, hessians = make()
    spectra = hd.layer_spectra(net, X, y)
    assert list(spectra) == list(hessians)
    for layer, hessian in hessians.items():
        expected = np.linalg.eigvalsh(hessian)
        spectrum = spectra[layer]
        assert spectrum.exact
        np.testing.assert_allclose(spectrum.trace, expected.sum(), rtol=1e-7)
        np.testing.assert_allclose(spectrum.max_eigenvalue, expected[-1], rtol=1e-7)
        nonzero = expected[np.abs(expected) > 1e-9 * expected[-1]]
        found = np.sort(spectrum.nodes[np.abs(spectrum.nodes) > 1e-9 * expected[-1]])
        np.testing.assert_allclose(found, nonzero, rtol=1e-7)


@pytest.mark.parametrize("make", MAKERS)
def test_global_generator_is_not_used(make):
    state = torch.get_rng_state()
    make()
    assert torch.equal(state, torch.get_rng_state())
