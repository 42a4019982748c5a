"""Derivatives that are none are refused by name; ways that are wrong give way to one that is right.

The oracle is a difference of gradients, or of losses, of the net as it is: it shares nothing with
autograd's second derivatives.
"""

import copy

import numpy as np
import pytest
import torch
from dense_oracle import tabular_net
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

import hessdiag as hd
from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 5)).astype("float32"), RNG.integers(0, 3, 20)


class OnceDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return 3 * x**2 * gradient


class Detached(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.x = x.detach()
        return x**3

    @staticmethod
    def backward(context, gradient):
        return 3 * context.x**2 * gradient


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.view_as(x)

    @staticmethod
    def backward(context, gradient):
        return -gradient


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def straight_through(x):
    return x + (x.round() - x).detach()


def around(middle):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), middle, nn.Linear(6, 3))


def fitted(module, net_class=NeuralNetClassifier, criterion=nn.CrossEntropyLoss):
    return tabular_net(module, net_class, criterion=criterion)


class Domains(nn.Module):
    """As against a domain: a reversed head of small effect beside a long tail of other layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.tail = nn.Sequential(
            *(part for _ in range(8) for part in (nn.Linear(5, 5), nn.Tanh())), nn.Linear(5, 3)
        )
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.tail(x) + 1e-3 * Reversed.apply(self.head(x))


REFUSED = {
    "once differentiable": (lambda: around(Apply(OnceDifferentiable.apply)), "layer '0'"),
    "detached backward": (lambda: around(Apply(Detached.apply)), "layer '0'"),
    "straight-through": (lambda: around(Apply(straight_through)), "straight-through"),
    "reversed gradient": (lambda: around(Apply(Reversed.apply)), "reversed"),
    "reversed gradient of small effect": (Domains, "reversed"),
}


@pytest.mark.parametrize("door", [hd.layer_spectra, hd.layer_traces, hd.examine, hd.plan_spectra])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_derivative_is_refused(kind, door):
    make, cause = REFUSED[kind]
    net = fitted(make())
    before = copy.deepcopy(net.module_.state_dict())
    with pytest.raises(ValueError, match=cause) as caught:
        door(net, X, Y)
    assert str(caught.value).startswith("Expected ")
    for name, value in net.module_.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


class Casting(nn.Module):
    """Computes in float32 on the way, as normalizations do, whatever is asked for."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner[2](self.inner[1](self.inner[0](x).float()).to(x.dtype))


@pytest.mark.parametrize("dtype", [None, "float64"])
@pytest.mark.parametrize("kind", ["once differentiable", "straight-through", "reversed gradient"])
def test_what_is_no_derivative_is_refused_in_another_precision_too(kind, dtype):
    make, cause = REFUSED[kind]
    net = fitted(Casting(make()))
    with pytest.raises(ValueError, match=cause.replace("'0'", "'inner.0'")):
        hd.layer_spectra(net, X, Y, dtype=dtype)


class RandomLoss(nn.CrossEntropyLoss):
    def forward(self, outputs, targets):
        return super().forward(outputs, targets) * (1 + 0.1 * torch.rand(()))


class CountingLoss(nn.CrossEntropyLoss):
    count = 0

    def forward(self, outputs, targets):
        self.count += 1
        return super().forward(outputs, targets) * (1 + 0.1 * self.count)


@pytest.mark.parametrize("criterion", [RandomLoss, CountingLoss])
def test_a_loss_that_is_not_the_same_again_is_refused(criterion):
    cause = {RandomLoss: "random numbers", CountingLoss: "two evaluations of CountingLoss"}
    with pytest.raises(ValueError, match=cause[criterion]):
        hd.layer_spectra(fitted(around(nn.Tanh()), criterion=criterion), X, Y)


class Checkpointed(nn.Module):
    def __init__(self, where):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.where = nn.Linear(5, 6), nn.Linear(6, 3), where
        self.body = nn.Sequential(nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 6), nn.Tanh())

    def forward(self, x):
        if self.where == "everywhere":
            return checkpoint(self.run, x, use_reentrant=False)
        x = torch.tanh(self.first(x))
        body = self.body
        return self.last(checkpoint(body, x, use_reentrant=False) if self.where else body(x))

    def run(self, x):
        return self.last(self.body(torch.tanh(self.first(x))))


@pytest.mark.parametrize("where", ["body", "everywhere"])
def test_checkpointed_activations(where):
    plain, net = fitted(Checkpointed("")), fitted(Checkpointed(where))
    expected = hd.layer_spectra(plain, X, Y, dtype="float64")
    for settings in ({}, {"batch_size": 7}):
        found = hd.layer_spectra(net, X, Y, dtype="float64", **settings)
        for name, spectrum in expected.items():
            np.testing.assert_allclose(
                found[name].eigenvalues(), spectrum.eigenvalues(), atol=1e-10
            )
    with untouched_surroundings():
        assert prepare(plain, X, Y).keeps_derivatives
        assert not prepare(net, X, Y).keeps_derivatives


def hessian_by_differences(module, parameter):
    """Difference gradients of a module's loss in one parameter, entry by entry, in float64."""
    module = module.double()
    inputs, targets = torch.as_tensor(X).double(), torch.as_tensor(Y)

    def gradient():
        loss = nn.functional.cross_entropy(module(inputs), targets)
        return torch.autograd.grad(loss, parameter)[0].reshape(-1)

    rows, step = [], 1e-6
    for index in range(parameter.numel()):
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.view(-1)[index] += sign * step
            sides.append(gradient())
            with torch.no_grad():
                parameter.view(-1)[index] -= sign * step
        rows.append((sides[0] - sides[1]) / (2 * step))
    return torch.stack(rows).numpy()


def pruned():
    module = around(nn.Tanh())
    prune.random_unstructured(module[0], "weight", 0.4)
    return module


def normalized():
    module = around(nn.Tanh())
    parametrizations.weight_norm(module[0])
    return module


def normalized_by_hook():
    module = around(nn.Tanh())
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(module[0])
    return module


def spectral_by_hook():
    module = around(nn.Tanh())
    nn.utils.spectral_norm(module[0])
    module(torch.randn(8, 5))
    return module.eval()


@pytest.mark.parametrize("make", [pruned, normalized, normalized_by_hook, spectral_by_hook])
def test_weights_that_are_computed_against_differences_of_gradients(make):
    module = make()
    names = [name for name, _ in module.named_parameters() if name.startswith("0.")]
    name = next(n for n in names if "weight" in n and "_g" not in n and "original0" not in n)
    net = fitted(module)
    spectrum = hd.layer_spectra(net, X, Y, layers={"block": [name]}, dtype="float64")["block"]
    twin = make()
    twin.load_state_dict(net.module_.state_dict())
    matrix = hessian_by_differences(twin, dict(twin.named_parameters())[name])
    expected = np.linalg.eigvalsh(0.5 * (matrix + matrix.T))
    np.testing.assert_allclose(spectrum.eigenvalues(), expected, atol=1e-6 * np.abs(expected).max())
    assert np.isfinite(hd.examine(net, X, Y).network.spectrum.trace)


def test_padding_that_is_looked_up_is_no_fault():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(6, 3, padding_idx=0), nn.Flatten(), nn.Linear(12, 3))
    with torch.no_grad():
        module[0].weight[0] = 1.0
    tokens = RNG.integers(0, 6, (20, 4))
    assert hd.layer_spectra(fitted(module), tokens, Y)["0"].trace > 0


@pytest.mark.parametrize("factor", [0.0, 1e-8, 1e4])
def test_flat_and_saturated_losses_pass(factor):
    module = around(nn.Tanh())
    with torch.no_grad():
        module[2].weight.mul_(factor)
    assert np.isfinite(hd.layer_spectra(fitted(module), X, Y)["0"].trace)


def test_numbers_and_layout_of_the_copy_come_back():
    net = fitted(around(nn.Sequential(nn.BatchNorm1d(6), nn.Tanh())))
    with untouched_surroundings():
        problem = prepare(net, X, Y)
    own = dict(problem.working_copy.net.module_.state_dict())
    for name, value in net.module_.state_dict().items():
        torch.testing.assert_close(own[name], value, rtol=0, atol=0)
        assert own[name].dtype == value.dtype


class EndsInSingle(nn.Sequential):
    def forward(self, x):
        return super().forward(x).float()


class SoftmaxInSingle(nn.Sequential):
    def forward(self, x):
        sent = super().forward(x)
        return sent * nn.functional.softmax(sent, -1, dtype=torch.float32).to(sent.dtype)


class Autocast(nn.Sequential):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            sent = super().forward(x)
        return sent.float()


class Normalized(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(5, 6), nn.Linear(6, 3)
        for parameter in self.inner.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x):
        return self.head(nn.functional.normalize(self.inner(x)))


def all_zero(activation):
    module = nn.Sequential(nn.Linear(5, 6), activation, nn.Linear(6, 3))
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


LEGITIMATE = {
    "ends in single precision": lambda: EndsInSingle(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)),
    "softmax in single precision": lambda: SoftmaxInSingle(nn.Linear(5, 6), nn.Linear(6, 3)),
    "autocast": lambda: Autocast(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)),
    "normalized zero": Normalized,
    "zero weights, relu": lambda: all_zero(nn.ReLU()),
    "zero weights, prelu": lambda: all_zero(nn.PReLU()),
    "zero weights, selu": lambda: all_zero(nn.SELU()),
}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", LEGITIMATE)
def test_other_precisions_and_kinks_are_no_faults(kind, seed):
    torch.manual_seed(seed)
    with untouched_surroundings():
        # Autocast leaves float64 as it is; in single precision it is refused by name.
        dtype = "float64" if kind == "autocast" else None
        prepare(fitted(LEGITIMATE[kind]()), X, Y, dtype=dtype)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("activation", [nn.ReLU, nn.PReLU, nn.SELU])
def test_black_images_and_zero_biases_are_no_faults(activation, seed):
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        activation(),
        nn.Conv2d(4, 4, 3, padding=1),
        activation(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 3),
    )
    for place in (0, 2, 6):
        nn.init.zeros_(module[place].bias)
    images = np.zeros((20, 1, 8, 8), dtype="float32")
    images[:, :, 2:6, 2:6] = RNG.random((20, 1, 4, 4))
    with untouched_surroundings():
        prepare(fitted(module), images, Y)


class Distances(nn.Module):
    """Distances to a few places, of which torch before 2.15 has a first derivative alone."""

    def __init__(self):
        super().__init__()
        self.layer, self.places = nn.Linear(5, 4), nn.Parameter(RNG_PLACES.clone())

    def forward(self, x):
        return -torch.cdist(self.layer(x).tanh(), self.places)


RNG_PLACES = torch.linspace(-1, 1, 12).reshape(3, 4)


def _is_twice_differentiable(distance):
    """Say whether torch has the second derivative of a distance."""
    x, y = torch.rand(2, 3, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(distance(x, y).sum(), x, create_graph=True)
    try:
        torch.autograd.grad(gradient.square().sum(), x)
    except RuntimeError:
        return False
    return True


def test_without_second_derivatives_there_is_a_gauss_newton_matrix():
    distances = fitted(Distances())
    assert hd.layer_spectra(distances, X, Y, curvature="ggn")["layer"].trace > 0
    if _is_twice_differentiable(torch.cdist):
        # It is then checked like any other derivative.
        assert hd.layer_spectra(distances, X, Y)["layer"].curvature == "hessian"
    else:
        with pytest.raises(ValueError, match=r"have second derivatives.*cdist"):
            hd.layer_spectra(distances, X, Y)
    margin = fitted(nn.Linear(5, 3), criterion=nn.MultiMarginLoss)
    with pytest.raises(ValueError, match=r"have second derivatives.*multi_margin"):
        hd.layer_spectra(margin, X, Y)


class Shares(nn.Module):
    """Sends shares, times a number that is 1: so much that a step up or down leaves the domain."""

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.one * x


@pytest.mark.parametrize("outputs", [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.2, 0.9]])
def test_losses_that_are_defined_on_one_side_alone_pass(outputs):
    shares = torch.tensor(outputs, dtype=torch.float32)[:, None].repeat(8, 1)
    net = tabular_net(Shares(), NeuralNet, criterion=nn.BCELoss)
    assert prepare(net, shares, torch.ones_like(shares)).n_samples == 16


@pytest.mark.parametrize("door", [hd.layer_spectra, hd.layer_traces])
def test_functions_of_layers_own_outputs_are_checked(door):
    def squares(output, y):
        return output.square().mean()

    def wrong(output, y):
        return Detached.apply(output).mean()

    net = fitted(around(nn.Tanh()))
    door(net, X, Y, scalar={"*": squares})
    with pytest.raises(ValueError, match="layer '2'"):
        door(net, X, Y, scalar={"0": squares, "2": wrong})
    net = fitted(around(nn.Tanh()))
    with pytest.raises(ValueError, match="the function of layer '2'"):
        door(net, X, Y, scalar={"0": squares, "2": lambda o, y: squares(Reversed.apply(o), y)})
