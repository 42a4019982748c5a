"""Names of outputs that there are not, and losses that cannot take what a net sends."""

from functools import partial

import numpy as np
import torch
from bad_inputs import Bad
from skorch import NeuralNet
from torch import nn

import hessdiag as hd

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 4)).astype("float32"), RNG.integers(0, 3, 12)


class Several(nn.Module):
    """Sends a dict of two tensors."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        hidden = self.body(x).tanh()
        return {"logits": self.head(hidden), "hidden": hidden}


class OfBoth(NeuralNet):
    """A loss of both tensors."""

    def get_loss(self, outputs, y, *args, **kwargs):
        return self.criterion_(outputs["logits"], y) + outputs["hidden"].square().mean()


def net_of(kind=NeuralNet, module=Several):
    torch.manual_seed(0)
    net = kind(module, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0)
    return net.initialize()


def bad(words, door, kind=NeuralNet, module=Several, **settings):
    net = net_of(kind, module)
    return Bad(partial(door, net, X, Y, **settings), ValueError, words, lambda: [net])


DOORS = (hd.layer_spectra, hd.examine, hd.layer_traces, hd.LocalHessians)
BAD = {
    f"{door.__name__}, {name}": bad(words, door, **settings)
    for door in DOORS
    for name, words, settings in (
        ("loss that takes no dict", ("'logits', 'hidden'", "output='logits'"), {}),
        ("no such output", ("output='logit'", "'logits', 'hidden'"), {"output": "logit"}),
        ("no such place", ("output=7", "'logits'"), {"output": 7}),
        ("neither name nor place", ("output=True",), {"output": True}),
        (
            "loss of two outputs",
            ("'logits' alone", "'hidden'"),
            {"output": "logits", "kind": OfBoth},
        ),
    )
}
BAD |= {
    "name of the one output": bad(
        ("output='logits'", "one tensor"),
        hd.layer_spectra,
        module=partial(nn.Linear, 4, 3),
        output="logits",
    ),
    "output beside layers' own functions": bad(
        ("output='logits'", "mapping"),
        hd.layer_spectra,
        output="logits",
        scalar={"*": lambda o, y: o.square().sum()},
    ),
}
