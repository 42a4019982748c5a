"""Every tool of the bench does the work it is timed for: against dense autograd Hessians."""

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own

TOOLS = ("curvlinops", "hessian_eigenthings", "pyhessian")


@pytest.fixture
def workload():
    """A net with a bend, a norm layer and three kinds of layers, in float64."""
    from _networks import Workload, digits, train
    from torch import nn

    X, y = digits(20, side=8)
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2),
        nn.BatchNorm2d(2),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(18, 5),
        nn.Tanh(),
        nn.Linear(5, 10),
    ).double()
    return Workload("small", train(module, X.astype(np.float64), y, 5, "cpu"), X.astype(float), y)


def dense_hessian(workload, layer):
    """The layer's Hessian (p, p) by autograd, column by column."""
    X, y = workload.tensors()
    parameters = list(workload.model.get_submodule(layer).parameters(recurse=False))
    loss = workload.criterion(workload.model(X), y)
    gradients = torch.autograd.grad(loss, parameters, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in gradients])
    rows = [torch.autograd.grad(entry, parameters, retain_graph=True) for entry in flat]
    return torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])


@pytest.mark.parametrize("name", TOOLS)
def test_largest_eigenvalue_is_that_of_the_dense_hessian(name, workload):
    from _networks import layer_names
    from _tools import TOOLS

    layers = layer_names(workload.model)
    assert layers == ["0", "1", "4", "6"]
    peer = TOOLS[name](workload)
    peer.prepare(layers)
    for layer in layers:
        expected = torch.linalg.eigvalsh(dense_hessian(workload, layer))[-1]
        # PyHessian divides by norms plus 1e-6.
        assert peer.max_eigenvalue(layer) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("batched", [True, False])
def test_quadrature_weights_and_trace(name, batched, workload):
    from _tools import TOOLS

    if batched and name != "curvlinops":
        pytest.skip("takes one vector at a time")
    peer = TOOLS[name](workload)
    peer.batched = batched
    hessian = dense_hessian(workload, "1")  # of side 4: four steps are exact
    nodes, weights = peer.quadrature("1", 2, 4, 0)
    expected = torch.linalg.eigvalsh(hessian).numpy()
    for values, shares in zip(nodes, weights):
        np.testing.assert_allclose(np.sort(values), expected, rtol=1e-3, atol=1e-5)
        assert float(sum(shares)) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", TOOLS)
def test_leaves_the_net_to_the_next_tool(name, workload):
    from _tools import TOOLS

    before = {key: value.clone() for key, value in workload.model.state_dict().items()}
    TOOLS[name](workload).max_eigenvalue("4")
    for key, value in workload.model.state_dict().items():
        assert torch.equal(value, before[key])
    assert all(p.requires_grad and p.grad is None for p in workload.model.parameters())
    assert not workload.model.training


def test_hessdiag_agrees_too(workload):
    from _tools import Hessdiag

    spectra = Hessdiag(workload).spectra(method="lanczos")
    assert list(spectra) == ["0", "1", "4", "6"]
    for layer, spectrum in spectra.items():
        expected = torch.linalg.eigvalsh(dense_hessian(workload, layer))[-1]
        assert spectrum.max_eigenvalue == pytest.approx(float(expected), rel=1e-6)
