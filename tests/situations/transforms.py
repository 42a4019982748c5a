"""Forward passes that differentiate, map over samples, or switch precisions within themselves."""

import functools
import warnings

import numpy as np
import torch
from situations import BY_HAND, Situation, classifier, spectra_by_differences
from torch import func, nn

import hessdiag as hd

RNG = np.random.default_rng(7)
X, Y = RNG.normal(size=(12, 4)).astype("float32"), RNG.integers(0, 3, 12)
with warnings.catch_warnings():
    # Of torch's own code, when it is first called.
    warnings.simplefilter("ignore")
    func.jvp(torch.tanh, (torch.ones(2),), (torch.ones(2),))


class Energy(nn.Module):
    """An energy of samples, and a head for its derivatives."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer, self.head = nn.Linear(4, 5), nn.Linear(5, 1), nn.Linear(4, 3)

    def energy(self, x):
        return self.outer(torch.tanh(self.inner(x))).sum()

    def forward(self, x):
        return self.head(self.derivative(x))

    def derivative(self, x):
        return func.vmap(func.grad(self.energy))(x)


class ByAutograd(Energy):
    def derivative(self, x):
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            return torch.autograd.grad(self.energy(x), x, create_graph=True)[0]


class OfAllAtOnce(Energy):
    def derivative(self, x):
        return func.grad(self.energy)(x)


class ByColumns(Energy):
    def derivative(self, x):
        return func.vmap(func.jacfwd(self.energy))(x)


class Second(Energy):
    def derivative(self, x):
        return func.vmap(func.hessian(self.energy))(x).diagonal(dim1=1, dim2=2)


class Along(Energy):
    def derivative(self, x):
        inner = self.inner
        ones = torch.ones_like(x)
        return func.jvp(lambda z: torch.tanh(inner(z)) @ inner.weight, (x,), (ones,))[1]


class Mapped(nn.Module):
    """All its layers are called with one sample at a time."""

    def __init__(self, normalize=False):
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 3)
        self.normalize = normalize

    def one(self, row):
        h = torch.tanh(self.first(row))
        return self.head(self.norm(h).softmax(-1) if self.normalize else h)

    def forward(self, x):
        return func.vmap(self.one)(x)


class MappedConvolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv1d(1, 2, 3), nn.Linear(4, 3)

    def forward(self, x):
        return func.vmap(lambda row: self.head(torch.tanh(self.first(row[None])).flatten()))(x)


class MappedStep(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(4, 3), nn.Linear(3, 3)

    def forward(self, x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is slow
            return func.vmap(lambda row: self.head(self.cell(row[None])[0]))(x)


class Called(nn.Module):
    """Calls a layer with parameters that it is given, one sample at a time."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        parameters = dict(self.first.named_parameters())
        call = functools.partial(func.functional_call, self.first, parameters)
        return self.head(torch.tanh(func.vmap(lambda row: call((row,)))(x)))


def make(module):
    torch.manual_seed(0)
    return classifier(module()), X, Y


def _joint(loss, parameters):
    """Differentiate a loss twice in all parameters together."""

    def flat(tensors):
        pieces = [torch.zeros_like(p) if t is None else t for t, p in zip(tensors, parameters)]
        return torch.cat([piece.reshape(-1) for piece in pieces])

    options = {"allow_unused": True, "retain_graph": True}
    gradient = flat(torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True))
    return torch.stack([flat(torch.autograd.grad(g, parameters, **options)) for g in gradient])


def coupling(module):
    """The situation that blocks between layers are those of a dense Hessian."""

    def compare():
        net, _, _ = make(module)
        found = hd.spectra.layer_coupling(net, X, Y, dtype="float64", n_probes=None)
        twin = make(module)[0].module_.double()
        blocks = {name: list(getattr(twin, name).parameters()) for name in found.layer_names}
        parameters = [p for block in blocks.values() for p in block]
        loss = nn.functional.cross_entropy(twin(torch.tensor(X).double()), torch.tensor(Y))
        dense = _joint(loss, parameters)
        sizes = [sum(p.numel() for p in block) for block in blocks.values()]
        norms = [[c.norm() for c in r.split(sizes, dim=1)] for r in dense.split(sizes)]
        expected = np.array([[float(norm) for norm in row] for row in norms])
        return {"resonance": found.resonance}, {"resonance": expected}

    return Situation("transforms", "dense autograd in float64", compare)


class UnderAutocast(nn.Module):
    """Runs in bfloat16 as long as its numbers are in float32."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16, enabled=x.dtype != torch.float64):
            return self.head(torch.tanh(self.first(x)))


class AutocastThroughout(UnderAutocast):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.head(torch.tanh(self.first(x)))


class AutocastOff(UnderAutocast):
    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            return self.head(torch.tanh(self.first(x)))


def mined(outputs, y):
    """Of the five hardest samples alone."""
    return nn.functional.cross_entropy(outputs, y, reduction="none").topk(5).values.mean()


def weighted(outputs, y):
    """With a weight for every sample of the data."""
    weights = torch.linspace(0.5, 2.0, 12, dtype=outputs.dtype)
    return (nn.functional.cross_entropy(outputs, y, reduction="none") * weights).sum()


def of_all(loss):
    """The situation that a loss of all samples at once is the scalar."""

    def compare():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))
        case = hd.NetworkCase.from_module(module, X, Y, loss=loss)
        found = hd.layer_spectra(case.net, X, Y, dtype="float64")
        parameters = {n: p.detach().double() for n, p in module.named_parameters()}
        expected = {}
        for name in found:
            own = [f"{name}.weight", f"{name}.bias"]

            def value(*tensors, own=own):
                w = parameters | dict(zip(own, tensors))
                h = torch.tanh(torch.tensor(X).double() @ w["0.weight"].T + w["0.bias"])
                return loss(h @ w["2.weight"].T + w["2.bias"], torch.tensor(Y))

            tensors = tuple(parameters[key] for key in own)
            blocks = torch.autograd.functional.hessian(value, tensors)
            sizes = [t.numel() for t in tensors]
            dense = torch.cat(
                [
                    torch.cat([b.reshape(n, m) for b, m in zip(row, sizes)], dim=1)
                    for row, n in zip(blocks, sizes)
                ]
            )
            expected[name] = np.linalg.eigvalsh(dense.numpy())
        return {n: np.sort(s.eigenvalues()) for n, s in found.items()}, expected

    return Situation("losses", BY_HAND, compare)


MODULES = {
    "gradients by mapping": Energy,
    "gradients by autograd": ByAutograd,
    "gradients of all at once": OfAllAtOnce,
    "gradients by columns": ByColumns,
    "second derivatives": Second,
    "derivatives along a direction": Along,
    "samples mapped": Mapped,
    "samples mapped, normalized": functools.partial(Mapped, True),
    "samples mapped, convolution": MappedConvolution,
    "samples mapped, recurrent step": MappedStep,
    "layers called with parameters": Called,
    "autocast where it is due": UnderAutocast,
    "autocast throughout": AutocastThroughout,
    "autocast that is off": AutocastOff,
}
SITUATIONS = {
    name: spectra_by_differences("transforms", functools.partial(make, module))
    for name, module in MODULES.items()
} | {
    "coupling of gradients by mapping": coupling(Energy),
    "coupling of gradients by autograd": coupling(ByAutograd),
    "the hardest samples": of_all(mined),
    "a weight for each sample": of_all(weighted),
}
