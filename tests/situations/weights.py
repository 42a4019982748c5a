"""Weights that are computed from parameters, shared, masked, or looked up."""

import warnings

import numpy as np
import torch
from situations import classifier, spectra_by_differences, spectra_by_hand
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(18, 4)).astype("float32"), RNG.integers(0, 3, 18)
WORDS = RNG.integers(0, 6, (18, 5))


def around(middle):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), middle(), nn.Tanh(), nn.Linear(4, 3))


class Skewed(nn.Module):
    def forward(self, w):
        return w.triu() - w.triu().T


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.up, self.down = nn.Linear(4, 4), nn.Linear(4, 3)
        self.again = nn.Linear(4, 4, bias=False)
        self.again.weight = self.up.weight

    def forward(self, x):
        return self.down(torch.tanh(self.again(torch.tanh(self.up(x)))))


class Transposed(nn.Module):
    """Decodes with the transpose of what it encodes with."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encode, self.last = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        z = torch.tanh(self.encode(x))
        return self.last(torch.sin(nn.functional.linear(z, self.encode.weight.T)))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(torch.tanh(self.body(torch.tanh(self.body(x)))))


class Words(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.last = nn.Embedding(6, 3, **settings), nn.Linear(3, 3)

    def forward(self, x):
        return self.last(torch.tanh(self.table(x)).mean(dim=1))


class Loose(nn.Module):
    """Parameters of its own, beside a layer's."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.scale = nn.Parameter(torch.rand(4))
        self.terms = nn.ParameterList(
            [nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.ones(3))]
        )

    def forward(self, x):
        return torch.tanh(x * self.scale.exp()) @ self.terms[0] + self.terms[1] ** 3


def frozen():
    module = around(lambda: nn.Linear(4, 4))
    module[0].requires_grad_(False)
    module[2].bias.requires_grad_(False)
    return module


def net(module, data=X):
    return lambda: (classifier(module()), data, Y)


def weights(module, data=X, layers=None, **settings):
    return spectra_by_differences("weights", net(module, data), layers=layers, **settings)


class Pairs(nn.Module):
    def __init__(self):
        super().__init__()
        self.pairs = nn.Bilinear(4, 4, 4)

    def forward(self, x):
        return self.pairs(x, x)


def hooked(normalize):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return normalize(nn.Linear(4, 4))


def parametrized(module, parametrization):
    parametrize.register_parametrization(module, "weight", parametrization)
    return module


def by_hand(module, fixed=None):
    """The situation that words are rows of a table, of which one may be no parameter."""

    def loss(p, net, X, y):
        table = p["table.weight"]
        if fixed is not None:
            is_fixed = (torch.arange(6) == fixed)[:, None]
            table = torch.where(is_fixed, net.module_.table.weight.detach().double(), table)
        outputs = torch.tanh(table[torch.as_tensor(X)]).mean(1) @ p["last.weight"].T
        outputs = outputs + p["last.bias"]
        return -outputs.log_softmax(1)[torch.arange(len(y)), torch.as_tensor(y)].mean()

    return spectra_by_hand("weights", net(module, WORDS), loss)


SITUATIONS = {
    "orthogonal weights": weights(
        lambda: around(
            lambda: parametrizations.orthogonal(nn.Linear(4, 4), orthogonal_map="cayley")
        )
    ),
    "weight normalization": weights(
        lambda: around(lambda: parametrizations.weight_norm(nn.Linear(4, 4)))
    ),
    "weight normalization over columns": weights(
        lambda: around(lambda: parametrizations.weight_norm(nn.Linear(4, 4), dim=1))
    ),
    "weight normalization by a hook": weights(lambda: around(lambda: hooked(weight_norm))),
    "spectral normalization": weights(
        lambda: around(lambda: parametrizations.spectral_norm(nn.Linear(4, 4)))
    ),
    "spectral normalization by a hook": weights(lambda: around(lambda: hooked(spectral_norm))),
    "a parametrization of one's own": weights(
        lambda: around(lambda: parametrized(nn.Linear(4, 4), Skewed()))
    ),
    "pruned weights": weights(
        lambda: around(lambda: prune.l1_unstructured(nn.Linear(4, 4), "weight", amount=5))
    ),
    "pruned biases": weights(
        lambda: around(lambda: prune.random_unstructured(nn.Linear(4, 4), "bias", amount=2))
    ),
    "tied weights": weights(Tied),
    "weights tied to their transpose": weights(Transposed),
    "a layer called twice": weights(Twice),
    "words": weights(Words, WORDS),
    "words with gradients by frequency": by_hand(lambda: Words(scale_grad_by_freq=True)),
    "words with padding": by_hand(lambda: Words(padding_idx=2), fixed=2),
    "parameters without a module of their own": weights(Loose),
    "frozen parameters": weights(frozen),
    "bilinear": weights(lambda: around(lambda: Pairs())),
}
