"""Functions of layers' own outputs, against dense autograd of each layer on its own."""

import numpy as np
import pytest
import torch
from dense_oracle import KINDS, make_net, tabular_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.spectra import layer_spectra, plan_spectra


def first_of(output):
    return output[0] if isinstance(output, tuple) else output


def quartic(output, y):
    """Couples no samples, and has third derivatives."""
    return (first_of(output) ** 4).mean() + first_of(output).sin().sum()


def coupled(output, y):
    """Couples samples, and uses the targets."""
    flat = first_of(output).reshape(-1)
    return flat.mul(torch.linspace(0, 1, len(flat)).to(flat)).sum() ** 2 + y.double().sum() * (
        flat**2
    ).mean().to(flat)


def record(module, layer, X):
    """Return what a layer is called with in one forward pass."""
    calls = []
    handle = layer.register_forward_pre_hook(
        lambda m, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    with torch.no_grad(), torch.nn.attention.sdpa_kernel([torch.nn.attention.SDPBackend.MATH]):
        module(**X) if isinstance(X, dict) else module(X)
    handle.remove()
    return calls


def oracle(module, layer, parameters, X, y, function):
    """Dense Hessian of a function of a layer's output in some of its parameters, in float64."""
    calls = record(module, layer, X)
    names = {id(p): name for name, p in layer.named_parameters()}

    def value(*parameters_now):
        swapped = {names[id(p)]: q for p, q in zip(parameters, parameters_now)}
        return sum(
            function(torch.func.functional_call(layer, swapped, args, kwargs), y)
            for args, kwargs in calls
        )

    with torch.nn.attention.sdpa_kernel([torch.nn.attention.SDPBackend.MATH]):
        blocks = torch.autograd.functional.hessian(value, tuple(parameters))
    sizes = [p.numel() for p in parameters]
    rows = [
        torch.cat([b.reshape(n, m) for b, m in zip(row, sizes)], dim=1)
        for row, n in zip(blocks, sizes)
    ]
    return torch.cat(rows).detach().numpy()


def as_double(X):
    if isinstance(X, dict):
        return {key: as_double(value) for key, value in X.items()}
    X = torch.as_tensor(X)
    return X.double() if X.is_floating_point() else X


# Layers that are never called: the smallest module around them counts.
STANDS_FOR = {"attend.out_proj": "attend"}


@pytest.mark.parametrize("function", [quartic, coupled])
@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("weight_norm", "tied")])
def test_every_layer_kind_equals_dense_autograd(kind, function):
    net, X, y = make_net(kind, "mse")
    net.module_.double().eval()
    modules = dict(net.module_.named_modules())
    found = layer_spectra(net, X, y, scalar={"*": function}, dtype="float64")
    assert list(found) == list(layer_spectra(net, X, y, dtype="float64"))
    chunked = layer_spectra(net, X, y, scalar={"*": function}, dtype="float64", batch_size=4)
    for name, spectrum in found.items():
        name = "" if name == "module" else name
        own = [p for p in modules[name].parameters(recurse=False) if p.requires_grad]
        layer = modules[STANDS_FOR.get(name, name)]
        matrix = oracle(net.module_, layer, own, as_double(X), torch.as_tensor(y), function)
        expected = np.linalg.eigvalsh(matrix)
        size = np.abs(expected).max()
        assert spectrum.exact
        np.testing.assert_allclose(spectrum.eigenvalues(), expected, atol=1e-7 * size)
        again = chunked[name or "module"]
        np.testing.assert_allclose(again.eigenvalues(), expected, atol=1e-7 * size)


def problem(activation=nn.Tanh, n_samples=30):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    module = nn.Sequential(nn.Linear(4, 6), activation(), nn.Linear(6, 5), activation())
    module.append(nn.Linear(5, 3))
    net = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    return (
        net,
        rng.normal(size=(n_samples, 4)).astype("float32"),
        rng.integers(0, 3, n_samples),
    )


def test_linear_layers_under_squares_have_a_closed_form():
    """H = I (x) 2/N sum a a', a being what the layer receives, with 1 for the bias."""
    net, X, y = problem()
    found = layer_spectra(
        net, X, y, scalar={"*": lambda z, y: (z**2).sum() / len(z)}, dtype="float64"
    )
    received = torch.as_tensor(X).double()
    module = net.module_.double()
    for index, layer in enumerate(module):
        if isinstance(layer, nn.Linear):
            design = torch.cat([received, torch.ones(len(X), 1)], dim=1).detach().numpy()
            expected = np.linalg.eigvalsh(2 * design.T @ design / len(X))
            expected = np.sort(np.repeat(expected, layer.out_features))
            np.testing.assert_allclose(found[str(index)].eigenvalues(), expected, atol=1e-12)
        received = layer(received)


def test_the_last_layer_under_the_loss_is_that_of_the_loss():
    net, X, y = problem()
    loss = layer_spectra(net, X, y, dtype="float64")["4"]
    own = layer_spectra(
        net, X, y, layers=["4"], scalar={"4": nn.functional.cross_entropy}, dtype="float64"
    )["4"]
    np.testing.assert_allclose(own.eigenvalues(), loss.eigenvalues(), atol=1e-12)


def test_names_come_before_patterns_and_patterns_in_their_order():
    net, X, y = problem()

    def times(factor):
        return lambda z, y: factor * (z**2).mean()

    found = layer_spectra(
        net, X, y, scalar={"[02]": times(2), "0": times(3), "*": times(5)}, dtype="float64"
    )
    plain = layer_spectra(net, X, y, scalar={"*": times(1)}, dtype="float64")
    ratios = [found[name].trace / plain[name].trace for name in ("0", "2", "4")]
    np.testing.assert_allclose(ratios, [3, 2, 5])


def test_blocks_of_several_layers_have_the_output_of_what_holds_them():
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
            self.head = nn.Linear(3, 3)

        def forward(self, x):
            return self.head(torch.tanh(self.body(x)))

    _, X, y = problem()
    torch.manual_seed(0)
    net = tabular_net(Nested().double(), NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    found = layer_spectra(
        net, X, y, layers={"all of it": "body.*"}, scalar={"all*": quartic}, dtype="float64"
    )["all of it"]
    body = net.module_.body
    matrix = oracle(
        net.module_, body, list(body.parameters()), as_double(X), torch.as_tensor(y), quartic
    )
    expected = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(found.eigenvalues(), expected, atol=1e-7 * np.abs(expected).max())


def test_tied_parameters_count_where_their_first_owner_uses_them():
    net, X, y = make_net("tied", "mse")
    found = layer_spectra(net, X, y, scalar={"*": quartic}, dtype="float64")
    assert list(found) == ["embed", "head"]
    module = net.module_.double()
    weight = module.embed.weight
    matrix = oracle(module, module.embed, [weight], as_double(X), torch.as_tensor(y), quartic)
    expected = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(found["embed"].eigenvalues(), expected, atol=1e-12)


def test_what_is_worked_on_in_place_is_as_it_was_received():
    net, X, y = problem(lambda: nn.ReLU(inplace=True))
    plain, *_ = problem(nn.ReLU)
    settings = {"scalar": {"*": quartic}, "dtype": "float64"}
    expected = layer_spectra(plain, X, y, **settings)
    for name, spectrum in layer_spectra(net, X, y, **settings).items():
        np.testing.assert_array_equal(spectrum.nodes, expected[name].nodes)


def test_chunks_are_used_where_samples_are_separate():
    net, X, y = problem()
    for function, batch_size, n_shares in ((quartic, 7, 5), (coupled, 7, 1), (quartic, None, 1)):
        with untouched_surroundings():
            taken = prepare(net, X, y, scalar={"*": function}, batch_size=batch_size)
            products = taken.whole_products()
            assert {len(scalar.shares()) for scalar in products.scalars.values()} == {n_shares}


@pytest.mark.parametrize("function", [quartic, coupled])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_lanczos_agrees_with_exact(batch_size, function):
    net, X, y = problem()
    settings = {"scalar": {"*": function}, "dtype": "float64", "batch_size": batch_size}
    exact = layer_spectra(net, X, y, **settings)
    found = layer_spectra(net, X, y, method="lanczos", n_lanczos_steps=40, **settings)
    for name, spectrum in found.items():
        size = np.abs(exact[name].nodes).max()
        assert not spectrum.exact
        assert abs(spectrum.max_eigenvalue - exact[name].max_eigenvalue) < 1e-6 * size
        assert abs(spectrum.min_eigenvalue - exact[name].min_eigenvalue) < 1e-6 * size


def test_the_plan_knows():
    net, X, y = problem()
    plan = plan_spectra(net, X, y, scalar={"*": quartic})
    assert [(layer.way, layer.n_rows) for layer in plan.layers] == 3 * [("dense", 0)]


@pytest.mark.parametrize(
    ("scalar", "message"),
    [
        ({}, "empty mapping"),
        ({"0": 3}, r"callables \(output, y\).*'0': 3"),
        ({3: quartic}, "found 3:"),
        ({"0": quartic}, r"none in scalar for 2, 4\..*'\*'.*layers="),
        ({"*": quartic, "5": quartic}, "'5', which matches none.*0, 2, 4"),
        ({"*": lambda z, y: z}, r"layer '0', found a tensor of shape \(30, 6\)"),
        ({"*": lambda z, y: 1.0}, "layer '0', found an object of type float"),
        ({"*": lambda z, y: nn.functional.cross_entropy(z, y[:, None])}, r"layer '0'.*\(30, 6\)"),
    ],
    ids=range(8),
)
def test_what_is_wrong_is_said(scalar, message):
    net, X, y = problem()
    with pytest.raises(ValueError, match=message):
        layer_spectra(net, X, y, scalar=scalar)


def test_gauss_newton_is_refused():
    net, X, y = problem()
    with pytest.raises(ValueError, match=r"function of its own output\. Use curvature='hessian'"):
        layer_spectra(net, X, y, scalar={"*": quartic}, curvature="ggn")
