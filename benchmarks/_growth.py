"""How the cost of all layers' spectra grows, in multiples of one gradient."""

from __future__ import annotations

import statistics

import torch
from _measure import seconds_of
from _networks import small_workload
from _tools import Hessdiag
from torch import nn

__all__ = ["growth"]

BASE = {"depth": 4, "width": 64, "n_samples": 128, "n_classes": 10}
AXES = {
    "depth": (4, 8, 16, 32),
    "width": (32, 64, 128, 256, 512),
    "n_samples": (64, 128, 256, 512, 1024),
    "n_classes": (2, 5, 10, 20, 40),
}
QUICK_AXES = {"depth": (2, 3), "n_samples": (8, 16)}
# Seconds.
LONG = 5.0
LANCZOS = {"method": "lanczos", "n_probes": 3, "n_lanczos_steps": 30}
WORK = {
    "lanczos_relu": (nn.ReLU, LANCZOS),
    "lanczos_gelu": (nn.GELU, LANCZOS),
    "exact_relu": (nn.ReLU, {"method": "exact"}),
}


def growth(repeats=5, device="cpu", quick=False):
    """Return {axis: rows}: one size varied at a time, the others as in "base"."""
    base = {"depth": 2, "width": 8, "n_samples": 16, "n_classes": 3} if quick else BASE
    axes = QUICK_AXES if quick else AXES
    return {
        "base": base,
        **{
            axis: [{axis: value, **_cost({**base, axis: value}, repeats, device)} for value in row]
            for axis, row in axes.items()
        },
    }


def _cost(sizes, repeats, device):
    """Measure one net of every kind: seconds of a gradient, and multiples of it."""
    row = {}
    for name, (activation, settings) in WORK.items():
        workload = small_workload(**sizes, activation=activation, device=device)
        gradient = _gradient_seconds(workload, repeats)
        row.setdefault("gradient_seconds", gradient)
        tool = Hessdiag(workload)

        def work(tool=tool, settings=settings):
            return seconds_of(lambda: tool.spectra(**settings))

        try:
            first = work()
            # What takes long is not repeated: what is warm after a second is warm enough.
            times = [first] if first > LONG else [work() for _ in range(repeats)]
            row[name] = statistics.median(times) / gradient
        except Exception as error:
            row[name] = None
            row[f"{name}_reason"] = f"{type(error).__name__}: {error}"
    return row


def _gradient_seconds(workload, repeats):
    """Time one gradient of the loss in all parameters."""
    model, criterion = workload.model, workload.criterion
    X, y = workload.tensors()
    parameters = list(model.parameters())

    def gradient():
        torch.autograd.grad(criterion(model(X), y), parameters)

    for _ in range(3):
        gradient()
    return statistics.median(seconds_of(gradient) for _ in range(4 * repeats))
