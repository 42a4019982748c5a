"""Stochastic Lanczos quadrature with full reorthogonalization, for several matrices in lockstep."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal

# Share of its length that a vector must keep for one projection to be enough (Daniel, Gragg,
# Kaufman and Stewart, 1976).
ENOUGH = 0.7071
# Steps that are taken whatever time it is.
LEAST_STEPS = 3


def random_probes(n_probes, size, generator, dtype, device, distribution="rademacher"):
    """Draw probe vectors (k, size) of unit length: random signs, or Gaussian directions."""
    if distribution == "rademacher":
        signs = torch.randint(0, 2, (n_probes, size), generator=generator)
        probes = (2 * signs - 1).to(dtype)
    elif distribution == "gaussian":
        probes = torch.randn(n_probes, size, generator=generator, dtype=dtype)
    else:
        raise ValueError(
            f"Expected distribution 'rademacher' or 'gaussian', found {distribution!r}. "
            "Pass one of the two."
        )
    return (probes / probes.norm(dim=1, keepdim=True)).to(device)


def lanczos(products, starts, n_steps, tolerance=None, deadline=None):
    """Tridiagonalize several symmetric matrices from several start vectors each, at once.

    `products` maps {name: vectors (k, p)} to {name: A v (k, p)}; `starts` is {name: (k, p)} of unit
    rows. Returns {name: list of k pairs (alphas, betas)}, each cut where its Krylov space is full,
    or where its Ritz value of largest size is known to `tolerance` of itself; all are cut once
    `time.monotonic` has passed `deadline`, but not before a few steps.
    """
    runs = {
        name: _Run(start, min(n_steps, start.shape[1]), tolerance) for name, start in starts.items()
    }
    for step in range(n_steps):
        active = {name: run for name, run in runs.items() if step < run.n_steps and not run.done}
        if not active or (deadline and step >= LEAST_STEPS and time.monotonic() > deadline):
            break
        images = products({name: run.current for name, run in active.items()})
        for name, run in active.items():
            run.advance(images[name])
    return {name: run.tridiagonals() for name, run in runs.items()}


class _Run:
    """The state of one matrix: its basis so far, in the products' dtype, scalars in float64."""

    def __init__(self, start, n_steps, tolerance):
        self.tolerance = tolerance
        self.n_steps = n_steps
        self.current, self.beta = start, None
        self.basis = start.new_zeros(len(start), self.n_steps, start.shape[1])
        self.alphas, self.betas = [], []
        self.alive = np.ones(len(start), dtype=bool)
        self.lengths = np.zeros(len(start), dtype=int)
        self.scale = np.zeros(len(start))
        self.epsilon = torch.finfo(start.dtype).eps

    @property
    def done(self):
        """Say whether every start vector's Krylov space is exhausted."""
        return not self.alive.any()

    def advance(self, image):
        """Take A q for the current q; orthogonalize against all before, twice where needed."""
        q, step = self.current, len(self.alphas)
        alpha = (q * image).sum(dim=1, dtype=torch.float64)
        self.basis[:, step] = q
        # The three-term recurrence leaves what is orthogonal to all before, but for rounding.
        residual = torch.addcmul(image, alpha[:, None].to(image.dtype), q, value=-1)
        if step:
            residual.addcmul_(self.beta[:, None].to(image.dtype), self.basis[:, step - 1], value=-1)
        before, basis = _lengths(residual), self.basis[:, : step + 1]
        residual = _project_out(basis, residual)
        beta = _lengths(residual)
        # Twice is enough, and once where little was taken away.
        if not bool((beta > ENOUGH * before).all()):
            residual = _project_out(basis, residual)
            beta = _lengths(residual)
        alpha_values, beta_values = alpha.cpu().numpy(), beta.cpu().numpy()
        self.scale = np.maximum(self.scale, np.abs(alpha_values) + beta_values)
        self.lengths[self.alive] += 1
        self.alphas.append(alpha_values)
        self.betas.append(beta_values)
        size = q.shape[1]
        broken = ~(beta_values > 10 * self.epsilon * math.sqrt(size) * self.scale)
        self.alive &= ~broken
        self.alive &= np.isfinite(alpha_values) & np.isfinite(beta_values)
        if self.tolerance is not None and len(self.alphas) > 2:
            self.alive &= ~np.array([self._has_converged(k) for k in range(len(alpha_values))])
        self.beta = torch.where(beta > 0, beta, torch.ones_like(beta))
        self.current = residual / self.beta[:, None].to(residual.dtype)

    def _has_converged(self, k):
        """Bound the error of the largest Ritz value by its residual, |beta_m s_m|."""
        if not self.alive[k]:
            return True
        alphas = np.array([alpha[k] for alpha in self.alphas])
        betas = np.array([beta[k] for beta in self.betas])
        values, vectors = eigh_tridiagonal(alphas, betas[:-1])
        largest = np.argmax(np.abs(values))
        return abs(betas[-1] * vectors[-1, largest]) <= self.tolerance * abs(values[largest])

    def tridiagonals(self):
        """Return (alphas, betas) of every start vector."""
        alphas, betas = np.array(self.alphas), np.array(self.betas)
        return [
            (alphas[:length, k], betas[: max(length - 1, 0), k])
            for k, length in enumerate(self.lengths)
        ]


def _project_out(basis, vectors):
    """Subtract from vectors (k, p) their parts in the spans of basis (k, steps, p)."""
    rows = vectors[:, None]
    # Vectors on the left: with them on the right the same product takes ten times as long.
    overlaps = rows @ basis.mT
    return torch.baddbmm(rows, overlaps, basis, alpha=-1)[:, 0]


def _lengths(vectors):
    """Return the lengths of vectors (k, p), accumulated in float64."""
    return torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64)


def quadrature(tridiagonals, n_params):
    """Turn tridiagonal matrices into nodes, weights, and the trace with its standard error."""
    nodes, weights, traces = [], [], []
    for alphas, betas in tridiagonals:
        if not (np.isfinite(alphas).all() and np.isfinite(betas).all()):
            return np.array([math.nan]), np.array([1.0]), math.nan, math.nan
        values, vectors = eigh_tridiagonal(alphas, betas)
        nodes.append(values)
        weights.append(vectors[0] ** 2 / len(tridiagonals))
        traces.append(n_params * alphas[0])
    nodes, weights, traces = np.concatenate(nodes), np.concatenate(weights), np.array(traces)
    error = traces.std(ddof=1) / math.sqrt(len(traces)) if len(traces) > 1 else math.nan
    return nodes, weights / weights.sum(), float(traces.mean()), float(error)
