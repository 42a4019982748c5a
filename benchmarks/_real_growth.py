"""How `explain` grows with samples, depth, width and outputs, each alone."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["ACTIVATIONS", "AXES", "BASE", "exponent", "growth"]

BASE = {"n_samples": 1000, "depth": 3, "width": 64, "n_classes": 10}
AXES = {
    "n_samples": (500, 1000, 2000, 5000, 10000, 20000, 50000),
    "depth": (2, 4, 8, 16, 32),
    "width": (32, 64, 128, 256, 512),
    "n_classes": (10, 100, 1000, 5000),
}
QUICK_BASE = {"n_samples": 20, "depth": 2, "width": 4, "n_classes": 3}
QUICK_AXES = {"n_samples": (20, 40)}
ACTIVATIONS = ("relu", "gelu")


def growth(run, quick=False):
    """Return {axis: rows}: one size varied at a time, the others as in "base".

    Parameters
    ----------
    run : callable
        ``run(task)`` does the task of explaining an untrained MLP of some sizes and activation.
    quick : bool
        Only few, tiny ones.
    """
    base, axes = (QUICK_BASE, QUICK_AXES) if quick else (BASE, AXES)
    found = {"base": base}
    for axis, sizes in axes.items():
        found[axis] = [
            {
                axis: size,
                **{a: run({"sizes": base | {axis: size}, "activation": a}) for a in ACTIVATIONS},
            }
            for size in sizes
        ]
    return found


def exponent(sizes, seconds):
    """Fit the power of the size that seconds grow as; None from less than two points."""
    points = [
        (math.log(size), math.log(value))
        for size, value in zip(sizes, seconds, strict=True)
        if value is not None and value > 0
    ]
    if len(points) < 2:
        return None
    return float(np.polyfit(*zip(*points, strict=True), 1)[0])
