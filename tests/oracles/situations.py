"""What people bring, and what is right for it: by an oracle that shares no fault with torch."""

import copy
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

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
        parameters = _doubled(net)
        return _compared(
            hd.layer_spectra(net, X, y, layers=layers, dtype="float64", **settings),
            parameters,
            lambda own: loss_by_hand(parameters | own, net, X, y),
        )

    return Situation(kind, BY_HAND, compare)


def spectra_by_differences(kind, make, loss_of=None, layers=None, rtol=1e-5, **settings):
    """Return the situation that spectra are those of differences of gradients.

    ``loss_of(module, X, y)`` evaluates the loss of a module in float64, which is a copy of the
    net's own; the criterion on the module's outputs where it is left out.
    """

    def compare():
        net, X, y = make()
        module = copy.deepcopy(net.module_).double().eval()

        def loss():
            if loss_of is not None:
                return loss_of(module, X, y)
            return net.criterion_(module(torch.as_tensor(X).double()), torch.as_tensor(y))

        found = hd.layer_spectra(net, X, y, layers=layers, dtype="float64", **settings)
        named = dict(module.named_parameters())
        expected = {}
        for name in found:
            owned = [p for key, p in named.items() if key.rpartition(".")[0] == name]
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


def _doubled(net):
    return {
        name: p.detach().double().requires_grad_() for name, p in net.module_.named_parameters()
    }


def _compared(found, parameters, loss):
    expected = {}
    for name in found:
        own = {key: p for key, p in parameters.items() if key.rpartition(".")[0] == name}
        sizes = [p.numel() for p in own.values()]

        def of_vector(vector, own=own, sizes=sizes):
            parts = vector.split(sizes)
            return loss({key: part.view(p.shape) for (key, p), part in zip(own.items(), parts)})

        start = torch.cat([p.detach().reshape(-1) for p in own.values()])
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
            assert key not in collected, f"{key!r} stands twice"
            collected[key] = value
    return collected
