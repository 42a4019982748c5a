"""Forward passes that no derivatives can be taken of, each refused with its own cause."""

import warnings

import numpy as np
import torch
from bad_inputs import Bad
from skorch import NeuralNet
from torch import nn

import hessdiag as hd

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 4)).astype("float32"), RNG.integers(0, 3, 12)


class Two(nn.Module):
    """Two layers, with something between or around them."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def between(self, x):
        return torch.tanh(self.first(x))

    def forward(self, x):
        return self.last(self.between(x))


class InferenceEncoder(Two):
    @torch.inference_mode()
    def between(self, x):
        return super().between(x)


class FrozenInferenceEncoder(InferenceEncoder):
    def __init__(self):
        super().__init__()
        self.first.requires_grad_(False)


class InferenceThroughout(Two):
    @torch.inference_mode()
    def forward(self, x):
        return super().forward(x)


class NoDerivatives(Two):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


class Detached(Two):
    def forward(self, x):
        return super().forward(x).detach()


class WithoutDerivativesOfOne(Two):
    @torch.no_grad()
    def between(self, x):
        return super().between(x)


class LooksAtMode(Two):
    def between(self, x):
        return super().between(x) * (1.0 if torch.is_grad_enabled() else 1.5)


class LooksAtTensor(Two):
    def between(self, x):
        h = super().between(x)
        return h if h.requires_grad else 1.5 * h


class InitializedByData(Two):
    """Sets a scale and a shift by the first batch, as activation normalization does."""

    def __init__(self):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4))
        self.register_buffer("done", torch.tensor(False))

    def between(self, x):
        if not self.done:
            with torch.no_grad():
                self.scale.copy_(1 / x.std(0))
                self.shift.copy_(-x.mean(0))
                self.done.fill_(True)
        return super().between((x + self.shift) * self.scale)


class InitializedAnew(InitializedByData):
    """Replaces what its parameters hold, and keeps an object that cannot be put back."""

    def __init__(self):
        super().__init__()
        self.tool = np.random.default_rng(0)

    def between(self, x):
        if not self.done:
            self.scale.data, self.shift.data = 1 / x.std(0), -x.mean(0)
            self.done.fill_(True)
        return Two.between(self, (x + self.shift) * self.scale)


class HalfEncoder(Two):
    """Casts by hand to the precision that its first layer had."""

    def __init__(self):
        super().__init__()
        self.first.bfloat16()

    def between(self, x):
        return super().between(x.bfloat16()).float()


class DoubleEncoder(Two):
    def __init__(self):
        super().__init__()
        self.first.double()

    def between(self, x):
        return super().between(x.double()).float()


class HalfHead(Two):
    def __init__(self):
        super().__init__()
        self.last.bfloat16()

    def between(self, x):
        return super().between(x).bfloat16()


class HalfThroughout(Two):
    def __init__(self):
        super().__init__()
        self.half()

    def between(self, x):
        return super().between(x.half())


class CastUnderAutocast(Two):
    def between(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            h = super().between(x)
        return h.float()


class DeepAutocast(Two):
    def __init__(self):
        super().__init__()
        self.norm, self.middle = nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.last(self.norm(self.middle(self.between(x))))


class Nested(Two):
    """Lets sequences be of several lengths within its forward pass."""

    def between(self, x):
        rows = [row[None].expand(1 + i % 3, 4) for i, row in enumerate(x)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that they are young
            h = self.first(torch.nested.as_nested_tensor(rows))
            return torch.tanh(h.to_padded_tensor(0.0)).mean(1)


def of(module, words, door=hd.layer_spectra, **settings):
    def bring():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = NeuralNet(module, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0)
            net.initialize()
        return door(net, X, Y, **settings)

    return Bad(bring, ValueError, words)


DERIVATIVES = {
    InferenceEncoder: ("'last'", "torch.inference_mode()", "torch.no_grad()"),
    FrozenInferenceEncoder: ("'last'", "torch.inference_mode()", "torch.no_grad()"),
    InferenceThroughout: ("none reaches", "torch.inference_mode()"),
    NoDerivatives: ("none reaches", "torch.no_grad()"),
    Detached: ("none reaches", "detaches"),
    WithoutDerivativesOfOne: ("gradient is not one", "torch.no_grad()"),
    LooksAtMode: ("torch.is_grad_enabled()", "self.training"),
    LooksAtTensor: ("requires_grad", "self.training"),
    InitializedByData: ("'scale', 'shift'", "by the batch", "before"),
    InitializedAnew: ("'scale', 'shift'", "by the batch", "before"),
    Nested: ("differentiated twice", "nested"),
}
PRECISIONS = {
    HalfEncoder: ("torch.bfloat16 (layer 'first')", "torch.float32 (layer 'last')", "imposed"),
    DoubleEncoder: ("torch.float64 (layer 'first')", "on layer 'last'"),
    HalfHead: ("torch.bfloat16 (layer 'last')", "on layer 'last'"),
    HalfThroughout: ("torch.float16 (layer 'first')", "on layer 'first'"),
}
BAD = {
    f"{module.__name__}, {door.__name__}, {dtype}": of(module, words, door, dtype=dtype)
    for module, words in (DERIVATIVES | PRECISIONS).items()
    for door, dtype in ((hd.layer_spectra, "float64"), (hd.examine, None))
} | {
    "cast under autocast": of(
        CastUnderAutocast, ("torch.float32 alone", "autocast", "bfloat16"), dtype="float64"
    ),
    **{
        f"{module.__name__}, {door.__name__}": of(
            module,
            ("one precision", "torch.autocast", "torch.bfloat16", "dtype='float64'"),
            door,
            dtype="float32",
        )
        for module in (CastUnderAutocast, DeepAutocast)
        for door in (hd.layer_spectra, hd.layer_traces)
    },
}
