"""The oracle: local Hessians by plain dense autograd in float64, and nets of every layer kind."""

import copy

import numpy as np
import torch
from skorch import (
    NeuralNet,
    NeuralNetBinaryClassifier,
    NeuralNetClassifier,
    NeuralNetRegressor,
)
from skorch.dataset import unpack_data
from torch import nn


def dense_hessians(net, X, y, scalar=None):
    """Return {owner module: (parameters' names, dense local Hessian)} of the whole data at once."""
    twin = object.__new__(type(net))
    twin.__dict__.update(net.__dict__)
    twin.__dict__["module_"] = module = copy.deepcopy(net.module_).double().eval()
    normalize_by_hand(module)
    twin.__dict__["criterion_"] = copy.deepcopy(net.criterion_).double()
    iterator = iter(torch.utils.data.DataLoader(net.get_dataset(X, y), batch_size=10**6))
    inputs, targets = unpack_data(next(iterator))
    inputs, targets = _double(inputs), _double(targets)
    with torch.nn.attention.sdpa_kernel([torch.nn.attention.SDPBackend.MATH]):
        output = twin.infer(inputs)
    value = (
        twin.get_loss(output, targets, X=inputs, training=False)
        if scalar is None
        else scalar(output, targets)
    )
    owners = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            owner = name.partition(".parametrizations.")[0]
            owner = owner if owner != name else name.rpartition(".")[0]
            owners.setdefault(owner, []).append(parameter)
    return {owner: _hessian(value, parameters) for owner, parameters in owners.items()}


def normalize_by_hand(module):
    """Write weight normalization out: the second derivative of torch's own is not symmetric."""
    for part in module.modules():
        if isinstance(part, nn.utils.parametrizations._WeightNorm):
            part.forward = lambda g, v: g * v / v.square().sum(dim=1, keepdim=True).sqrt()


def _hessian(value, parameters):
    """Differentiate twice, entry by entry."""
    gradients = torch.autograd.grad(value, parameters, create_graph=True, allow_unused=True)
    flat = torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).reshape(-1)
            for g, p in zip(gradients, parameters)
        ]
    )
    rows = []
    for entry in flat:
        if not entry.requires_grad:
            rows.append(torch.zeros(len(flat), dtype=torch.float64))
            continue
        row = torch.autograd.grad(entry, parameters, retain_graph=True, allow_unused=True)
        rows.append(
            torch.cat(
                [
                    (torch.zeros_like(p) if r is None else r).reshape(-1)
                    for r, p in zip(row, parameters)
                ]
            )
        )
    matrix = torch.stack(rows).detach().numpy()
    return 0.5 * (matrix + matrix.T)


def _double(tree):
    if isinstance(tree, dict):
        return {key: _double(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_double(value) for value in tree)
    return tree.double() if tree.is_floating_point() else tree


class Reshape(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.reshape(len(x), *self.shape)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(dim=1)


class Recurrent(nn.Module):
    def __init__(self, kind, n_outputs):
        super().__init__()
        self.cell = kind(3, 4, batch_first=True)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


class Attention(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, x):
        return self.head(self.attend(x, x, x, need_weights=False)[0].mean(dim=1))


class SequenceFirst(nn.Module):
    """Runs a linear layer on (T, n, features): samples stand in the second axis."""

    def __init__(self, n_outputs):
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, x):
        return self.head(torch.tanh(self.inner(x.transpose(0, 1))).mean(dim=0))


class Flattened(nn.Module):
    """Runs a linear layer on (n * T, features)."""

    def __init__(self, n_outputs):
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, x):
        hidden = torch.tanh(self.inner(x.reshape(-1, 3)))
        return self.head(hidden.reshape(len(x), -1, 4).mean(dim=1))


class BareParameters(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(4))
        self.inner = nn.Linear(4, 5)
        self.mix = nn.Parameter(torch.randn(5, n_outputs))

    def forward(self, x):
        return torch.tanh(self.inner(x * self.scale)) @ self.mix


class Twice(nn.Module):
    """Calls one layer twice, and uses its weight once more past its forward."""

    def __init__(self, n_outputs, functional):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.head = nn.Linear(4, n_outputs)
        self.functional = functional

    def forward(self, x):
        x = torch.tanh(self.inner(torch.tanh(self.inner(x))))
        if self.functional:
            x = x @ self.inner.weight
        return self.head(x)


class Tied(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.unembed = nn.Linear(4, 6, bias=False)
        self.unembed.weight = self.embed.weight
        self.head = nn.Linear(6, n_outputs)

    def forward(self, x):
        return self.head(torch.tanh(self.unembed(self.embed(x).mean(dim=1))))


class DictInput(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.embed = nn.Embedding(6, 3)
        self.head = nn.Linear(7, n_outputs)

    def forward(self, numbers, kinds):
        return self.head(torch.tanh(torch.cat([numbers, self.embed(kinds)], dim=1)))


def _frozen(n_outputs):
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU())
    module.append(nn.Linear(4, n_outputs))
    module[0].requires_grad_(False)
    module[2].bias.requires_grad_(False)
    return module


def _normed(n_outputs):
    module = nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, n_outputs)
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        module[1].running_mean.normal_()
        module[1].running_var.uniform_(0.5, 2.0)
    return module


def _weight_normed(n_outputs):
    inner = nn.utils.parametrizations.weight_norm(nn.Linear(4, 5))
    return nn.Sequential(inner, nn.ReLU(), nn.Linear(5, n_outputs))


def _convolutions(n_outputs, activation):
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        activation(),
        nn.Conv2d(4, 4, 2, dilation=2, groups=2),
        activation(),
        nn.Flatten(),
        nn.Linear(4, n_outputs),
    )


def _padded(n_outputs):
    return nn.Sequential(
        nn.Conv1d(2, 3, 3, padding="same", padding_mode="circular"),
        nn.GroupNorm(3, 3),
        nn.ReLU(),
        nn.Conv1d(3, 2, 3, padding="same", bias=False),
        nn.Flatten(),
        nn.Linear(10, n_outputs),
    )


# Layer kinds: name -> (module of n_outputs, shape of one sample's input or what to draw).
KINDS = {
    "linear": (lambda c: nn.Linear(4, c), (4,)),
    "relu": (
        lambda c: nn.Sequential(
            nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, c)
        ),
        (4,),
    ),
    "gelu": (
        lambda c: nn.Sequential(
            nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, c)
        ),
        (4,),
    ),
    "prelu": (lambda c: nn.Sequential(nn.Linear(4, 5), nn.PReLU(5), nn.Linear(5, c)), (4,)),
    "bilinear": (lambda c: nn.Sequential(SelfBilinear(), nn.Tanh(), nn.Linear(3, c)), (4,)),
    "leading_dimensions": (
        lambda c: nn.Sequential(
            nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), Mean(), nn.Linear(3, c)
        ),
        (5, 3),
    ),
    "sequence_first": (SequenceFirst, (5, 3)),
    "flattened": (Flattened, (5, 3)),
    "conv2d_relu": (lambda c: _convolutions(c, nn.ReLU), (2, 5, 5)),
    "conv2d_tanh": (lambda c: _convolutions(c, nn.Tanh), (2, 5, 5)),
    "conv1d_padded": (_padded, (2, 5)),
    "conv3d": (
        lambda c: nn.Sequential(nn.Conv3d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, c)),
        (1, 3, 3, 3),
    ),
    "conv_transpose": (
        lambda c: nn.Sequential(
            nn.ConvTranspose1d(2, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(10, c)
        ),
        (2, 3),
    ),
    "norms": (_normed, (4,)),
    "rms_norm": (
        lambda c: nn.Sequential(nn.Linear(4, 5), nn.RMSNorm(5, eps=1e-6), nn.Linear(5, c)),
        (4,),
    ),
    "embedding": (
        lambda c: nn.Sequential(
            nn.Embedding(6, 3, padding_idx=0), Mean(), nn.Tanh(), nn.Linear(3, c)
        ),
        "tokens",
    ),
    "lstm": (lambda c: Recurrent(nn.LSTM, c), (5, 3)),
    "gru": (lambda c: Recurrent(nn.GRU, c), (5, 3)),
    "attention": (Attention, (3, 4)),
    "bare_parameters": (BareParameters, (4,)),
    "called_twice": (lambda c: Twice(c, False), (4,)),
    "called_past_forward": (lambda c: Twice(c, True), (4,)),
    "tied": (Tied, "tokens"),
    "dict_input": (DictInput, "dict"),
    "frozen": (_frozen, (4,)),
    "weight_norm": (_weight_normed, (4,)),
}


class SelfBilinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.bilinear = nn.Bilinear(4, 4, 3)

    def forward(self, x):
        return self.bilinear(x, x)


def _labels(rng, n, c):
    return rng.integers(0, c, n)


# Losses: name -> (net class, criterion, its settings, outputs, targets).
LOSSES = {
    "cross_entropy": (NeuralNetClassifier, nn.CrossEntropyLoss, {}, 3, _labels),
    "cross_entropy_weighted": (
        NeuralNetClassifier,
        nn.CrossEntropyLoss,
        {"criterion__weight": torch.tensor([0.5, 1.0, 2.0]), "criterion__label_smoothing": 0.1},
        3,
        _labels,
    ),
    "bce": (
        NeuralNetBinaryClassifier,
        nn.BCEWithLogitsLoss,
        {},
        1,
        lambda rng, n, c: rng.integers(0, 2, n).astype("float32"),
    ),
    "mse": (
        NeuralNetRegressor,
        nn.MSELoss,
        {},
        2,
        lambda rng, n, c: rng.normal(size=(n, c)).astype("float32"),
    ),
    "huber": (
        NeuralNetRegressor,
        nn.HuberLoss,
        {},
        2,
        lambda rng, n, c: rng.normal(size=(n, c)).astype("float32"),
    ),
    "poisson": (
        NeuralNetRegressor,
        nn.PoissonNLLLoss,
        {},
        1,
        lambda rng, n, c: rng.poisson(2.0, size=(n, c)).astype("float32"),
    ),
}


def make_net(kind, loss, reduction="mean", n_samples=9, seed=0):
    """Make an initialized net of one layer kind under one loss, with data."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    build, shape = KINDS[kind]
    net_class, criterion, settings, n_outputs, targets = LOSSES[loss]
    if shape == "tokens":
        X = rng.integers(0, 6, (n_samples, 4))
    elif shape == "dict":
        X = {
            "numbers": rng.normal(size=(n_samples, 4)).astype("float32"),
            "kinds": rng.integers(0, 6, n_samples),
        }
    else:
        X = rng.normal(size=(n_samples, *shape)).astype("float32")
    y = targets(rng, n_samples, n_outputs)
    net = net_class(
        build(n_outputs), criterion=criterion, criterion__reduction=reduction, **settings
    ).initialize()
    return net, X, y


def tabular_net(module, net_class=NeuralNet, **settings):
    """Wrap a module as an initialized net."""
    settings.setdefault("criterion", nn.MSELoss)
    return net_class(module, verbose=0, train_split=None, **settings).initialize()
