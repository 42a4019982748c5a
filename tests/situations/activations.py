"""What stands between layers: functions of one's own, checkpoints, hooks, kept activations."""

import numpy as np
import torch
from situations import classifier, spectra_by_differences, spectra_by_hand
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(18, 4)).astype("float32"), RNG.integers(0, 3, 18)


class Cube(torch.autograd.Function):
    """A function of one's own whose backward pass has a derivative."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x**3 / 3

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return x**2 * gradient


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Checkpointed(nn.Module):
    """Two layers, of which some are computed again in the backward pass."""

    def __init__(self, where):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.where = nn.Linear(4, 4), nn.Linear(4, 3), where

    def forward(self, x):
        if self.where == "all":
            return checkpoint(self.run, x, use_reentrant=False)
        z = checkpoint(self.first, x, use_reentrant=False) if "first" in self.where else None
        z = torch.sin(self.first(x) if z is None else z)
        last = self.last
        return checkpoint(last, z, use_reentrant=False) if "last" in self.where else last(z)

    def run(self, x):
        return self.last(torch.sin(self.first(x)))


class Keeping(nn.Module):
    """Keeps what layers send, in a list, a dict and attributes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)
        self.sent, self.by_name, self.latest = [], {}, None

    def forward(self, x):
        self.latest = self.first(x)
        self.sent.append(self.latest)
        self.by_name["z"] = torch.sin(self.sent[-1])
        return self.last(self.by_name["z"])


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        z = self.first(x)
        z[:, 0] *= 2
        z += 0.1
        return self.last(torch.sin(z))


class Branches(nn.Module):
    """Takes one way or another for every sample."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.left, self.right = (nn.Linear(4, n) for n in (1, 3, 3))

    def forward(self, x):
        goes_left = x[:, :1] > 0.3
        return torch.where(goes_left, self.left(x), torch.sin(self.right(x))) * self.gate(x)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(x + functional.gelu(self.body(x)))


def around(middle):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), middle, nn.Linear(4, 3))


def with_hooks():
    module = around(nn.Tanh())
    module[0].register_forward_hook(lambda module, args, output: output * 1.5)
    module[2].register_forward_pre_hook(lambda module, args: (torch.sin(args[0]),))
    return module


def replaced_forward():
    module = around(nn.Tanh())
    module[1].forward = torch.sin
    return module


def activations(module):
    def make():
        torch.manual_seed(0)
        return classifier(module()), X, Y

    return spectra_by_differences("activations", make)


def two_layers(module):
    """The situation that a module computes last(sin(first(x)))."""

    def loss(p, net, X, y):
        z = torch.sin(torch.as_tensor(X).double() @ p["first.weight"].T + p["first.bias"])
        outputs = z @ p["last.weight"].T + p["last.bias"]
        return -outputs.log_softmax(1)[torch.arange(len(y)), torch.as_tensor(y)].mean()

    return spectra_by_hand("activations", lambda: (classifier(module()), X, Y), loss)


SITUATIONS = {
    "a function of one's own": activations(lambda: around(Apply(Cube.apply))),
    "checkpoint around the first layer": two_layers(lambda: Checkpointed("first")),
    "checkpoint around the last layer": two_layers(lambda: Checkpointed("last")),
    "checkpoints around each layer": two_layers(lambda: Checkpointed("first, last")),
    "checkpoint around all": two_layers(lambda: Checkpointed("all")),
    "activations kept at the module": two_layers(Keeping),
    "work in place": activations(InPlace),
    "ways chosen by the data": activations(Branches),
    "a residual connection": activations(Residual),
    "forward hooks": activations(with_hooks),
    "a forward that was replaced": activations(replaced_forward),
    "learned slopes": activations(lambda: around(nn.PReLU(4))),
    "softplus": activations(lambda: around(nn.Softplus(beta=2))),
    "gated linear units": activations(lambda: around(nn.Sequential(nn.Linear(4, 8), nn.GLU()))),
    "a chain of activations": activations(
        lambda: around(nn.Sequential(nn.SiLU(), nn.Mish(), nn.Hardswish()))
    ),
}
