"""Targets and outputs that do not suit the loss, and losses that are none."""

from functools import partial

import numpy as np
import torch
from bad_inputs import Bad
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.nn import functional

import hessdiag as hd

RNG = np.random.default_rng(0)
N = 12
X = RNG.normal(size=(N, 4)).astype("float32")
CLASSES = RNG.integers(0, 3, N)
NUMBERS = RNG.normal(size=N).astype("float32")
COLUMN = NUMBERS[:, None]
SWITCHES = (NUMBERS > 0).astype("float32")

DOORS = (hd.layer_spectra, hd.examine, hd.layer_traces, hd.LocalHessians)


def net_of(n_outputs, criterion, kind=NeuralNet, ending=None, **settings):
    torch.manual_seed(0)
    parts = [nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, n_outputs)]
    module = nn.Sequential(*parts, *([] if ending is None else [ending]))
    return kind(module, criterion=criterion, train_split=None, verbose=0, **settings).initialize()


class Squares(nn.Module):
    """A loss of one's own, in plain arithmetic."""

    def forward(self, outputs, y):
        return ((outputs - y) ** 2).mean()


class Turned(nn.Module):
    """The same the other way round, of other kinds of arithmetic."""

    def forward(self, outputs, y):
        return torch.mul(y.float() - outputs, 2.0).abs().sum()


class Products(nn.Module):
    """Margins, as of a loss for -1 and 1."""

    def forward(self, outputs, y):
        return functional.softplus(-outputs * y).mean()


class Inner(nn.Module):
    """A loss of one's own around one of torch's."""

    def __init__(self, function=functional.mse_loss):
        super().__init__()
        self.function = function

    def forward(self, outputs, y):
        return self.function(outputs, y) + 0.1 * outputs.square().mean()


def bad(words, n_outputs, criterion, y, X=X, door=hd.layer_spectra, scalar="loss", **settings):
    net = net_of(n_outputs, criterion, **settings)
    return Bad(partial(door, net, X, y, scalar=scalar), ValueError, words, lambda: [net])


SHAPES = {
    f"{criterion.__name__}, outputs {(N, k)}, y {y.shape}": bad(
        (f"({N}, {k})", str(y.shape), "Pass y of shape"), k, criterion, y
    )
    for criterion in (
        nn.MSELoss,
        nn.L1Loss,
        nn.SmoothL1Loss,
        nn.HuberLoss,
        nn.PoissonNLLLoss,
        nn.SoftMarginLoss,
        nn.KLDivLoss,
        Squares,
        Turned,
        Products,
        Inner,
    )
    for k, y in ((1, np.abs(NUMBERS)), (1, np.abs(np.stack([NUMBERS] * 3, axis=1))))
}
SHAPES |= {
    "MSELoss, outputs (N,), y (N, 1)": bad(
        ("(12,)", "(12, 1)", "y.reshape(-1)"), 1, nn.MSELoss, COLUMN, ending=nn.Flatten(0)
    ),
    "MSELoss, outputs (N, 3), y (N,)": bad(("(12, 3)", "(12,)"), 3, nn.MSELoss, NUMBERS),
    "MSELoss, outputs (N, 3), y (N, 1)": bad(("(12, 3)", "(12, 1)"), 3, nn.MSELoss, COLUMN),
    "squares of one's own, outputs (3, 3), y (3,)": bad(
        ("(3, 3)", "(3,)"), 3, Squares, NUMBERS[:3], X=X[:3]
    ),
    "BCEWithLogitsLoss, outputs (N, 1), y (N,)": bad(
        ("(12, 1)", "(12,)", "y.reshape(-1, 1)"), 1, nn.BCEWithLogitsLoss, SWITCHES
    ),
    "BCELoss, outputs (N, 1), y (N,)": bad(
        ("(12, 1)", "(12,)", "y.reshape(-1, 1)"), 1, nn.BCELoss, SWITCHES, ending=nn.Sigmoid()
    ),
    "regressor, y (N,)": bad(("(12, 1)", "(12,)"), 1, nn.MSELoss, NUMBERS, kind=NeuralNetRegressor),
    "callable, y (N,)": bad(
        ("(12, 1)", "(12,)"), 1, nn.MSELoss, NUMBERS, scalar=lambda o, y: (o - y).abs().mean()
    ),
    "examine, y (N,)": bad(("(12, 1)", "(12,)"), 1, nn.MSELoss, NUMBERS, door=hd.examine),
}

RANGES = {
    f"{name}, targets {low} and {high}": bad(
        (name, f"from {low} to {high}"),
        1,
        criterion,
        np.where(SWITCHES[:, None] > 0, high, low).astype("float32"),
        **settings,
    )
    for name, criterion, low, high, settings in (
        ("BCEWithLogitsLoss", nn.BCEWithLogitsLoss, -1, 1, {}),
        ("BCEWithLogitsLoss", nn.BCEWithLogitsLoss, 0, 2, {}),
        ("BCELoss", nn.BCELoss, -1, 1, {"ending": nn.Sigmoid()}),
        ("BCELoss", nn.BCELoss, 0, 2, {"ending": nn.Sigmoid()}),
        ("MultiLabelSoftMarginLoss", nn.MultiLabelSoftMarginLoss, -1, 1, {}),
        ("SoftMarginLoss", nn.SoftMarginLoss, 0, 1, {}),
        ("HingeEmbeddingLoss", nn.HingeEmbeddingLoss, 0, 1, {}),
        ("PoissonNLLLoss", nn.PoissonNLLLoss, -2, 1, {}),
        (
            "BCEWithLogitsLoss",
            partial(Inner, functional.binary_cross_entropy_with_logits),
            -1,
            1,
            {},
        ),
    )
}
RANGES |= {
    "binary classifier, targets -1 and 1": bad(
        ("BCEWithLogitsLoss", "from -1 to 1"),
        1,
        nn.BCEWithLogitsLoss,
        2 * SWITCHES - 1,
        kind=NeuralNetBinaryClassifier,
    ),
    "BCELoss of logits": bad(("Sigmoid",), 1, nn.BCELoss, SWITCHES[:, None]),
}


def classes(words, y, criterion=nn.CrossEntropyLoss, kind=NeuralNetClassifier, **settings):
    return bad(words, 3, criterion, y, kind=kind, **settings)


OF_CLASSES = {
    "class 3 of 3": classes(("0 to 2", "targets of 3"), CLASSES + 1),
    "classes 1 to 3 by likelihood": classes(
        ("0 to 2", "targets of 3"), CLASSES + 1, nn.NLLLoss, ending=nn.Softmax(1)
    ),
    "class 255 without ignore_index": classes(
        ("targets of 255", "ignore_index"), np.where(CLASSES == 1, 255, CLASSES)
    ),
    "negative class": classes(("targets of -1",), CLASSES - 1),
    "margins, class 3 of 3": classes(("0 to 2",), CLASSES + 1, nn.MultiMarginLoss),
    "all targets ignored": classes(
        ("ignores all 12", "ignore_index=1"), np.ones(N, int), criterion__ignore_index=1
    ),
    "all targets of weight zero": classes(
        ("weight zero",), np.ones(N, int), criterion__weight=torch.tensor([1.0, 0.0, 1.0])
    ),
    "probabilities that do not sum to 1": classes(
        ("sum to 1",), RNG.uniform(0, 1, (N, 3)).astype("float32")
    ),
    "probabilities in percent": classes(("sum to 1",), 100 * np.eye(3, dtype="float32")[CLASSES]),
    "negative probabilities": classes(
        ("sum to 1",), np.tile(np.array([1.5, -0.5, 0.0], "float32"), (N, 1))
    ),
    "logits as likelihood": classes(("Softmax", "CrossEntropyLoss"), CLASSES, nn.NLLLoss),
    "likelihood of logits, plain net": classes(
        ("LogSoftmax", "CrossEntropyLoss"), CLASSES, nn.NLLLoss, kind=NeuralNet
    ),
    "logarithm taken twice": classes(("Softmax",), CLASSES, nn.NLLLoss, ending=nn.LogSoftmax(1)),
    "likelihood of probabilities, plain net": classes(
        ("LogSoftmax",), CLASSES, nn.NLLLoss, kind=NeuralNet, ending=nn.Softmax(1)
    ),
    "likelihood of sigmoids": classes(("Softmax",), CLASSES, nn.NLLLoss, ending=nn.Sigmoid()),
    "likelihood of logits, within a loss": classes(
        ("LogSoftmax",), CLASSES, partial(Inner, functional.nll_loss), kind=NeuralNet
    ),
    "class 3 of 3, within a loss": classes(
        ("0 to 2",), CLASSES + 1, partial(Inner, functional.cross_entropy), kind=NeuralNet
    ),
    "divergence of logits": classes(
        ("KLDivLoss", "LogSoftmax"), np.eye(3, dtype="float32")[CLASSES], nn.KLDivLoss, NeuralNet
    ),
}

CALLABLES = {
    f"{door.__name__}, {name}": bad(
        words, 3, nn.CrossEntropyLoss, CLASSES, door=door, scalar=scalar
    )
    for door in (hd.layer_spectra, hd.examine, hd.layer_traces, hd.LocalHessians)
    for name, scalar, words in (
        ("a constant", lambda o, y: torch.ones(()), ("derivatives",)),
        ("a detached loss", lambda o, y: o.detach().sum(), ("derivatives",)),
        ("an accuracy", lambda o, y: (o.argmax(1) == y).sum(), ("derivatives", "count")),
        ("a share", lambda o, y: (o.argmax(1) == y).float().mean(), ("derivatives",)),
        ("a complex number", lambda o, y: (o * 1j).sum(), ("real number",)),
        ("a number of Python", lambda o, y: float(o.sum()), ("float", "0-d tensor")),
        ("NaN", lambda o, y: o.sum() * torch.nan, ("finite loss", "nan")),
        ("infinity", lambda o, y: o.sum().exp() * torch.inf, ("finite loss", "inf")),
        ("a loss for each sample", lambda o, y: o.sum(dim=1), ("0-d tensor",)),
    )
}


class Huge(nn.Module):
    """Outputs that overflow."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return torch.exp(1e4 + self.layer(x).square())


def of_module(words, module, door, y=CLASSES):
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0
    ).initialize()
    return Bad(partial(door, net, X, y), ValueError, words, lambda: [net])


FINITE = {
    f"{door.__name__}, outputs that overflow": of_module(
        ("finite outputs", "12 of 12"), Huge(), door
    )
    for door in (hd.layer_spectra, hd.examine, hd.layer_traces, hd.LocalHessians)
}

BAD = SHAPES | RANGES | OF_CLASSES | CALLABLES | FINITE
