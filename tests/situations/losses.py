"""Losses of all kinds: torch's own with their settings, and those of a net of one's own."""

import numpy as np
import torch
from situations import classifier, spectra_by_differences, spectra_by_hand
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(18, 4)).astype("float32"), RNG.integers(0, 3, 18)
NUMBERS = RNG.normal(size=(18, 2)).astype("float32")
SWITCHES = RNG.integers(0, 2, (18, 2)).astype("float32")
COUNTS = RNG.poisson(2.0, (18, 2)).astype("float32")
SHARES = RNG.dirichlet(np.ones(3), 18).astype("float32")


def body(n_outputs, ending=None):
    torch.manual_seed(0)
    layers = [nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, n_outputs)]
    return nn.Sequential(*layers, *([] if ending is None else [ending]))


def losses(y, criterion, n_outputs=3, ending=None, net_class=NeuralNet, loss_of=None, **settings):
    def make():
        given = {f"criterion__{key}": value for key, value in settings.items()}
        return classifier(body(n_outputs, ending), net_class, criterion, **given), X, y

    return spectra_by_differences("losses", make, loss_of)


class Physical(nn.Module):
    """Sends a function and its derivative by the input."""

    def __init__(self):
        super().__init__()
        self.body = body(1)

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_(True)
            value = self.body(x)
            (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        return torch.cat([value, slope[:, :1]], dim=1)


class Penalized(NeuralNetRegressor):
    """Adds weight decay to the loss."""

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        loss = super().get_loss(y_pred, y_true, *args, **kwargs)
        return loss + 0.1 * sum(p.square().sum() for p in self.module_.parameters())


class Stretched(NeuralNetRegressor):
    """Weighs samples by their inputs."""

    def get_loss(self, y_pred, y_true, X=None, *args, **kwargs):
        return ((y_pred - y_true).square().mean(dim=1) * X[:, 0].exp()).mean()


class Contrast(nn.Module):
    """A loss that couples the samples."""

    def forward(self, outputs, targets):
        z = nn.functional.normalize(outputs, dim=1)
        return torch.logsumexp(z @ z.T * 2.0, dim=1).mean() - (z * outputs).sum(dim=1).mean()


def likelihood(module, X, y):
    shares = module(torch.as_tensor(X).double())
    return -shares[torch.arange(len(y)), torch.as_tensor(y)].log().mean()


def switched(module, X, y):
    z, y = module(torch.as_tensor(X).double())[:, 0], torch.as_tensor(y).double()
    return ((1 + z.exp()).log() - y * z).mean()


def decayed(module, X, y):
    loss = (module(torch.as_tensor(X).double()) - torch.as_tensor(y).double()).square().mean()
    return loss + 0.1 * sum(p.square().sum() for p in module.parameters())


def stretched(module, X, y):
    X, y = torch.as_tensor(X).double(), torch.as_tensor(y).double()
    return ((module(X) - y).square().mean(dim=1) * X[:, 0].exp()).mean()


def physical(p, net, X, y):
    X, y = torch.as_tensor(X).double(), torch.as_tensor(y).double()
    z = torch.tanh(X @ p["body.0.weight"].T + p["body.0.bias"])
    value = z @ p["body.2.weight"].T + p["body.2.bias"]
    slope = (1 - z**2) * p["body.2.weight"] @ p["body.0.weight"][:, :1]
    return (torch.cat([value, slope], dim=1) - y).square().mean()


def of_physics():
    return classifier(Physical(), NeuralNet, nn.MSELoss), X, NUMBERS


WEIGHTS = torch.tensor([1.0, 0.5, 3.0])
IGNORED = np.where(np.arange(18) % 5 == 0, 1, Y)

SITUATIONS = {
    "cross-entropy": losses(Y, nn.CrossEntropyLoss),
    "cross-entropy with class weights": losses(Y, nn.CrossEntropyLoss, weight=WEIGHTS),
    "cross-entropy, smoothed": losses(Y, nn.CrossEntropyLoss, label_smoothing=0.2),
    "cross-entropy, summed": losses(Y, nn.CrossEntropyLoss, reduction="sum"),
    "cross-entropy that ignores a class": losses(IGNORED, nn.CrossEntropyLoss, ignore_index=1),
    "cross-entropy of shares": losses(SHARES, nn.CrossEntropyLoss),
    "likelihood of shares": losses(
        Y,
        nn.NLLLoss,
        ending=nn.Softmax(dim=1),
        net_class=NeuralNetClassifier,
        loss_of=likelihood,
    ),
    "likelihood of logarithms": losses(Y, nn.NLLLoss, ending=nn.LogSoftmax(dim=1)),
    "several switches": losses(SWITCHES, nn.BCEWithLogitsLoss, 2),
    "switches with weights": losses(
        SWITCHES, nn.BCEWithLogitsLoss, 2, pos_weight=torch.tensor([2.0, 0.3])
    ),
    "one switch": losses(
        SWITCHES[:, 0],
        nn.BCEWithLogitsLoss,
        1,
        net_class=NeuralNetBinaryClassifier,
        loss_of=switched,
    ),
    "probabilities": losses(SWITCHES, nn.BCELoss, 2, nn.Sigmoid()),
    "squares": losses(NUMBERS, nn.MSELoss, 2),
    "squares, summed": losses(NUMBERS, nn.MSELoss, 2, reduction="sum"),
    "Huber": losses(NUMBERS, nn.HuberLoss, 2, delta=0.5),
    "smooth absolute errors": losses(NUMBERS, nn.SmoothL1Loss, 2),
    "counts": losses(COUNTS, nn.PoissonNLLLoss, 2),
    "divergence of shares": losses(
        SHARES, nn.KLDivLoss, 3, nn.LogSoftmax(dim=1), reduction="batchmean"
    ),
    "margins": losses(2 * SWITCHES - 1, nn.SoftMarginLoss, 2),
    "coupled samples": losses(NUMBERS, Contrast, 2),
    "weight decay in the loss": losses(
        NUMBERS, nn.MSELoss, 2, net_class=Penalized, loss_of=decayed
    ),
    "weights by the input": losses(NUMBERS, nn.MSELoss, 2, net_class=Stretched, loss_of=stretched),
    "derivatives by the input": spectra_by_hand("losses", of_physics, physical),
}
