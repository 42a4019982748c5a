"""Functions that modules hold: hooks, closures and lambdas that reach layers, lists and tables."""

import functools

import numpy as np
import torch
from situations import classifier, spectra_by_differences, spectra_by_hand
from skorch import NeuralNetRegressor
from torch import nn

import hessdiag as hd

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(16, 4)).astype("float32"), RNG.integers(0, 3, 16)
NUMBERS = RNG.normal(size=(16, 3)).astype("float32")


def two():
    torch.manual_seed(0)
    return nn.Linear(4, 4), nn.Linear(4, 3)


class Module(nn.Module):
    """Two layers, and what a test makes of them."""

    def __init__(self, forward=None):
        super().__init__()
        self.first, self.last = two()
        if forward is not None:
            forward(self)

    def forward(self, x):
        return self.last(torch.sin(self.first(x)))


def by_closure(module):
    first, last = module.first, module.last
    module.forward = lambda x: last(torch.sin(first(x)))


def by_lambda_on_self(module):
    module.encode = lambda x: torch.sin(module.first(x))
    module.forward = lambda x: module.last(module.encode(x))


def by_default(module):
    module.forward = lambda x, layers=(module.first, module.last): layers[1](
        torch.sin(layers[0](x))
    )


def by_partial(module):
    module.forward = functools.partial(run, module.first, last=module.last)


def by_steps(module):
    module.steps = [lambda x: module.first(x), torch.sin, lambda x: module.last(x)]
    module.forward = lambda x: functools.reduce(lambda z, step: step(z), module.steps, x)


def by_table(module):
    layers = {"first": module.first, "last": module.last}
    module.forward = lambda x: layers["last"](torch.sin(layers["first"](x)))


def by_bound_method(module):
    module.forward = Runner(module.first, module.last).run


def by_recursion(module):
    def run(x, depth=0):
        return module.last(torch.sin(x)) if depth else run(module.first(x), 1)

    module.forward = run


def by_hooks(module):
    """The sine is a hook that works in place; another one keeps what it sees."""
    sent = []
    module.first.register_forward_hook(lambda part, args, output: output.sin_())
    module.first.register_forward_hook(lambda part, args, output: sent.append(output))
    module.sine = nn.Identity()
    module.forward = lambda x: module.last(module.sine(module.first(x)))


def run(first, x, last):
    return last(torch.sin(first(x)))


class Runner:
    def __init__(self, first, last):
        self.first, self.last = first, last

    def run(self, x):
        return self.last(torch.sin(self.first(x)))


class Tied(nn.Module):
    """Weights of the one layer are the other's, by a function that is called."""

    def __init__(self):
        super().__init__()
        self.first, self.last = two()
        self.tied = lambda: self.first.weight.T

    def forward(self, x):
        return self.last(torch.sin(self.first(x)) @ self.tied())


class Sparse(NeuralNetRegressor):
    """Adds to the loss what a hook has kept."""

    def __init__(self, *args, kept=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.kept = kept

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        loss = super().get_loss(y_pred, y_true, *args, **kwargs)
        return loss + 0.3 * self.kept[-1].square().mean()


def with_kept_activations():
    kept = []
    module = Module()
    module.first.register_forward_hook(lambda part, args, output: kept.append(output))
    return classifier(module, Sparse, nn.MSELoss, kept=kept), X, NUMBERS


MODULE = Module()


def penalized(outputs, targets):
    """A loss as in a notebook, which reads the module by its name."""
    return nn.functional.cross_entropy(outputs, targets) + penalty()


def penalty():
    return 0.1 * sum(p.square().sum() for p in MODULE.parameters())


def with_a_penalty():
    return hd.NetworkCase.from_module(MODULE, X, Y, loss=penalized).net, X, Y


def penalized_by_hand(p, net, X, y):
    return cross_entropy(p, net, X, y) + 0.1 * sum(v.square().sum() for v in p.values())


def cross_entropy(p, net, X, y):
    z = torch.sin(torch.as_tensor(X).double() @ p["first.weight"].T + p["first.bias"])
    outputs = z @ p["last.weight"].T + p["last.bias"]
    return -outputs.log_softmax(1)[torch.arange(len(y)), torch.as_tensor(y)].mean()


def sparse(p, net, X, y):
    z = torch.as_tensor(X).double() @ p["first.weight"].T + p["first.bias"]
    outputs = torch.sin(z) @ p["last.weight"].T + p["last.bias"]
    return (outputs - torch.as_tensor(y)).square().mean() + 0.3 * z.square().mean()


SITUATIONS = {
    f"forward pass {make.__name__.replace('_', ' ')}": spectra_by_hand(
        "functions", lambda make=make: (classifier(Module(make)), X, Y), cross_entropy
    )
    for make in (
        by_closure,
        by_lambda_on_self,
        by_default,
        by_partial,
        by_steps,
        by_table,
        by_bound_method,
        by_recursion,
        by_hooks,
    )
}
SITUATIONS |= {
    "a loss that reads the net by its name": spectra_by_hand(
        "functions", with_a_penalty, penalized_by_hand
    ),
    "weights tied by a lambda": spectra_by_differences(
        "functions", lambda: (classifier(Tied()), X, Y)
    ),
    "a loss of what a hook has kept": spectra_by_hand("functions", with_kept_activations, sparse),
}
