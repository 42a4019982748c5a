"""What people bring, and what is right for it: by an oracle that shares no fault with torch."""

import copy
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn

import hessdiag as hd

BY_HAND = "forward pass written by hand, dense autograd in float64"
DIFFERENCES = "central differences of gradients in float64"
CLOSED_FORM = "closed form"


@dataclass(frozen=True)
class Situation:
    """One kind of net or data, and how a result compares with the right one.

    `compare` returns (found, expected): dicts of the same keys, of numbers or arrays.
    """

    kind: str
    oracle: str
    compare: Callable
    rtol: float = 1e-6


def spectra_by_hand(kind, make, loss_by_hand, layers=None, **settings):
    """Return the situation that spectra are those of a loss written by hand.

    `make` returns (net, X, y); ``loss_by_hand(parameters, net, X, y)`` evaluates the loss of a dict
    of the module's parameters by name, in float64, from arrays X and y.
    """

    def compare():
        net, X, y = make()
        parameters = {n: _double(p.detach()) for n, p in net.module_.named_parameters()}
        return _compared(
            hd.layer_spectra(net, X, y, layers=layers, dtype="float64", **settings),
            parameters,
            lambda own: loss_by_hand(parameters | own, net, X, y),
        )

    return Situation(kind, BY_HAND, compare)


def classifier(module, net_class=NeuralNetClassifier, criterion=nn.CrossEntropyLoss, **settings):
    """Return a net that is not trained, with weights as its module has them."""
    net = net_class(module, criterion=criterion, train_split=None, verbose=0, **settings)
    return net.initialize()


def spectra_by_differences(kind, make, loss_of=None, layers=None, rtol=1e-5, **settings):
    """Return the situation that spectra are those of differences of gradients.

    ``loss_of(module, X, y)`` evaluates the loss of a module in float64, which is a copy of the
    net's own; the criterion on the module's outputs where it is left out.
    """

    def compare():
        net, X, y = make()
        # Made a second time, as not all modules can be copied.
        module = make()[0].module_.double().eval()
        criterion = copy.deepcopy(net.criterion_).double()

        def loss():
            if loss_of is not None:
                return loss_of(module, X, y)
            return criterion(module(_double(X)), _double(y))

        found = hd.layer_spectra(net, X, y, layers=layers, dtype="float64", **settings)
        owners = {}
        for key, p in module.named_parameters():
            owner = key.partition(".parametrizations.")[0]
            owner = owner if owner != key else key.rpartition(".")[0]
            if p.requires_grad:
                owners.setdefault(owner or "module", []).append(p)
        expected = {}
        for name in found:
            owned = owners[name]
            expected[name] = np.linalg.eigvalsh(hessian_by_differences(loss, owned))
        return {name: np.sort(s.eigenvalues()) for name, s in found.items()}, expected

    return Situation(kind, DIFFERENCES, compare, rtol)


def hessian_by_differences(loss, parameters, step=1e-5):
    """Return the dense Hessian of a loss in some parameters, by differences of its gradient."""

    def gradient():
        found = torch.autograd.grad(loss(), parameters, allow_unused=True)
        return torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).reshape(-1)
                for p, g in zip(parameters, found)
            ]
        )

    rows = []
    for parameter in parameters:
        entries = parameter.data.view(-1)
        for i in range(len(entries)):
            kept = float(entries[i])
            entries[i] = kept + step
            up = gradient()
            entries[i] = kept - step
            rows.append((up - gradient()) / (2 * step))
            entries[i] = kept
    matrix = torch.stack(rows).numpy()
    return (matrix + matrix.T) / 2


def _double(data):
    tensor = torch.as_tensor(data)
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.double() if tensor.is_floating_point() else tensor


def _compared(found, parameters, loss):
    """Differentiate a loss of {name: parameter} twice, in real coordinates, layer by layer."""
    expected = {}
    for name in found:
        own = {key: p for key, p in parameters.items() if key.rpartition(".")[0] in (name, "")}
        if name != "module":
            own = {key: p for key, p in own.items() if key.rpartition(".")[0] == name}
        real = {k: torch.view_as_real(p) if p.is_complex() else p for k, p in own.items()}
        sizes = [p.numel() for p in real.values()]

        def of_vector(vector, own=own, real=real, sizes=sizes):
            given = {}
            for (key, p), part in zip(real.items(), vector.split(sizes)):
                part = part.view(p.shape)
                given[key] = torch.view_as_complex(part) if own[key].is_complex() else part
            return loss(given)

        start = torch.cat([p.reshape(-1) for p in real.values()])
        hessian = torch.autograd.functional.hessian(of_vector, start)
        expected[name] = np.linalg.eigvalsh(hessian.numpy())
    return {name: np.sort(s.eigenvalues()) for name, s in found.items()}, expected


def tables_in(folder, name):
    """Collect the dicts of one name of all modules in a folder, file by file."""
    collected = {}
    for path in sorted(Path(folder).glob("*.py")):
        if path.name.startswith(("test_", "_")):
            continue
        spec = importlib.util.spec_from_file_location(f"{Path(folder).name}_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for key, value in getattr(module, name).items():
            collected[f"{path.stem}: {key}"] = value
    return collected


def case_by_differences(kind, bring, X, y, loss, layers=None, rtol=1e-5):
    """Return the situation that a case brought through a door is that of plain arrays.

    `bring` returns the case; the oracle takes its module, and evaluates ``loss(outputs, y)`` on X
    and y as written here: several inputs are a tuple.
    """

    def compare():
        case = bring()
        module = copy.deepcopy(getattr(case.net.module_, "_orig_mod", case.net.module_))
        module = module.double().eval()
        inputs = [_double(part) for part in (X if isinstance(X, tuple) else (X,))]
        targets = _double(y)
        found = hd.layer_spectra(case.net, case.X, case.y, layers=layers, dtype="float64")
        named, expected = dict(module.named_parameters()), {}
        for name in found:
            owned = [p for key, p in named.items() if key.rpartition(".")[0] == name]
            expected[name] = np.linalg.eigvalsh(
                hessian_by_differences(lambda: loss(module(*inputs), targets), owned)
            )
        return {name: np.sort(s.eigenvalues()) for name, s in found.items()}, expected

    return Situation(kind, DIFFERENCES, compare, rtol)
