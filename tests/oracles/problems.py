"""Nets without layers worth a name, whose outputs are what a test says, as problems to look at."""

import torch
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from hessdiag.curvature import prepare

NET_CLASSES = {
    "net": NeuralNet,
    "classifier": NeuralNetClassifier,
    "binary": NeuralNetBinaryClassifier,
    "regressor": NeuralNetRegressor,
}


class Passing(nn.Module):
    """Sends on what it receives, times one parameter that is 1, in a shape."""

    def __init__(self, ending=None):
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))
        self.ending = ending

    def forward(self, x):
        x = self.one * x
        return x if self.ending is None else self.ending(x)


def problem_of(outputs, y, criterion, kind="net", ending=None, get_loss=None, **settings):
    """Return the problem of a net whose last layer sends these outputs, in float64."""
    net_class = NET_CLASSES[kind]
    if get_loss is not None:
        net_class = type("Custom", (net_class,), {"get_loss": get_loss})
    net = net_class(
        Passing(ending), criterion=criterion, train_split=None, verbose=0, **settings
    ).initialize()
    return prepare(net, outputs, y, dtype="float64")


def loss_at(problem, outputs):
    """Evaluate a problem's loss at any outputs (N, D) in the coordinates examined."""
    return problem.output_function(outputs)
