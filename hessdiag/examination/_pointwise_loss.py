"""The net's loss sample by sample, as a function of outputs."""

from __future__ import annotations

import torch

from hessdiag.curvature.network import flatten_outputs, take


class PointwiseLoss:
    """Losses (N,) of all samples at any outputs (N, D), whose mean or sum is the net's own loss.

    `scale` turns the net's loss into the sum of these losses: N for a mean reduction, 1 for a sum.
    """

    def __init__(self, problem):
        self.problem = problem
        n_samples = problem.n_samples
        z = flatten_outputs(problem.output_values)
        nudge = torch.linspace(-0.1, 0.1, z.numel(), dtype=z.dtype, device=z.device).view_as(z)
        probes = [z, z + nudge]
        with torch.no_grad():  # a loss may have parameters of its own
            wholes = [float(problem.output_function(probe)) for probe in probes]
        self._raw, self._factor, self.scale = None, 1.0, float(n_samples)
        # Not bound to this object, which would then hold itself, and the problem with it.
        for way in (PointwiseLoss._unreduced, PointwiseLoss._mapped, PointwiseLoss._looped):
            try:
                means = [float(way(self, probe).mean().detach()) for probe in probes]
            except Exception:
                continue
            found = _proportional(means, wholes, n_samples)
            if found is not None:
                self._raw = way
                self._factor, self.scale = found
                break

    @property
    def known(self):
        """Say whether the loss could be taken apart."""
        return self._raw is not None

    def __call__(self, outputs):
        """Return the losses (N,) at outputs (N, D), a tensor."""
        return self._raw(self, outputs) * self._factor

    def _unreduced(self, outputs):
        """Evaluate the criterion itself without its reduction."""
        problem = self.problem
        criterion = problem.scalar.criterion
        reduction = criterion.reduction
        if reduction not in ("mean", "sum"):
            raise ValueError("no known reduction")
        criterion.reduction = "none"
        try:
            losses = problem.output_function(outputs)
        finally:
            criterion.reduction = reduction
        losses = losses.reshape(problem.n_samples, -1)
        return losses.mean(dim=1) if reduction == "mean" else losses.sum(dim=1)

    def _mapped(self, outputs):
        """Evaluate the loss on every sample alone, vectorized."""
        problem = self.problem

        def one(z, y):
            return problem.output_function.at(z[None], take(y, None), None)

        return torch.func.vmap(one)(outputs, problem.y)

    def _looped(self, outputs):
        """Evaluate the loss on every sample alone, one after the other."""
        problem = self.problem
        losses = []
        for n in range(problem.n_samples):
            one = slice(n, n + 1)
            X = None if problem.X is None else take(problem.X, one)
            losses.append(problem.output_function.at(outputs[one], take(problem.y, one), X))
        return torch.stack(losses)


def _proportional(means, wholes, n_samples):
    """Find the constant between mean pointwise and whole loss; None where there is none."""
    if not all(map(_finite, means + wholes)):
        return None
    size = max(abs(whole) for whole in wholes) + 1e-300
    for scale in (n_samples, 1):  # a mean, a sum
        expected = [mean * n_samples / scale for mean in means]
        if all(abs(e - w) <= 1e-7 * size for e, w in zip(expected, wholes)):
            return 1.0, float(scale)
    if means[0] == 0 or means[1] == 0:
        return None
    ratios = [whole / mean for whole, mean in zip(wholes, means)]
    if abs(ratios[0] - ratios[1]) <= 1e-7 * abs(ratios[0]):
        return ratios[0], float(n_samples)  # a weighted mean
    return None


def _finite(value):
    """Say whether a number is finite."""
    return value == value and abs(value) != float("inf")
