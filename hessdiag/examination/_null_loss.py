"""The loss of the best constant output: what a net without inputs would reach."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize


def null_loss(scalar_at, start, n_samples):
    """Minimize a loss over constant outputs, from a guess.

    Parameters
    ----------
    scalar_at : callable
        Maps outputs (N, D) to a 0-d tensor.
    start : Tensor of shape (D,)
        The guess.
    n_samples : int
        N.

    Returns
    -------
    float
        The lowest loss; NaN where it is not finite at the guess, or falls without end.
    """
    constant = start.clone().requires_grad_(True)

    def loss():
        return scalar_at(constant.expand(n_samples, -1))

    value = loss()
    (gradient,) = torch.autograd.grad(value, constant)
    best = float(value.detach())
    if not math.isfinite(best):
        return math.nan
    if gradient.norm() <= 1e-9 * (1 + abs(best)):
        return best
    steepness = float(gradient.norm())
    optimizer = torch.optim.LBFGS(
        [constant], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    try:
        optimizer.step(closure)
    except (IndexError, RuntimeError, ValueError):
        # The line search may fail where the loss is not defined everywhere.
        return _by_scipy(scalar_at, start, n_samples, best)
    with torch.no_grad():
        found = float(loss())
    if found < best and _falls_on(loss, constant, steepness):
        return math.nan
    return min(best, found) if found == found else best


def _falls_on(loss, constant, steepness):
    """Say whether a loss falls far from the guess as steeply as it did there."""
    if float(constant.detach().norm()) < 1e6:
        return False
    (gradient,) = torch.autograd.grad(loss(), constant)
    return not float(gradient.norm()) < 0.1 * steepness


def _by_scipy(scalar_at, start, n_samples, best):
    """Minimize by another optimizer, which takes losses that are not finite for high ones."""
    least = [best]

    def evaluate(numbers):
        constant = torch.as_tensor(numbers, dtype=start.dtype, device=start.device)
        with torch.no_grad():
            value = float(scalar_at(constant.expand(n_samples, -1)))
        if math.isfinite(value):
            least[0] = min(least[0], value)
            return value
        return 1e300

    first = start.detach().cpu().numpy()
    with np.errstate(all="ignore"):
        minimize(evaluate, first, method="Nelder-Mead", options={"maxfev": 2000 * len(first)})
    return least[0]
