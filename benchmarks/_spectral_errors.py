"""References of all layers' spectra, and how far quadrature of given effort lies from them."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from hessdiag.spectra import LocalSpectra

__all__ = [
    "N_PROBES",
    "N_STEPS",
    "QUANTITIES",
    "EffortErrors",
    "Errors",
    "Reference",
    "density_distance",
]

# Quantity: error that is to be reached, and what it is a share of.
QUANTITIES = {"trace": 0.01, "max_eigenvalue": 1e-3, "density": 0.25}
# Largest side of a matrix whose reference is decomposed; beyond it is estimated by long runs.
LARGEST_SIDE = 6000
# Of references that are estimated.
REFERENCE_PROBES, REFERENCE_STEPS, REFERENCE_PARTS = 96, 120, 4
# Lanczos steps among which the least that do are looked for.
N_STEPS = (3, 5, 8, 12, 20, 30, 45)
# Probes likewise.
N_PROBES = (1, 2, 4, 8, 16)


def density_distance(nodes, weights, other_nodes, other_weights):
    """Wasserstein-1 distance of two spectra: the area between their distribution functions."""
    points = np.concatenate([nodes, other_nodes])
    signed = np.concatenate([weights, -np.asarray(other_weights)])
    order = np.argsort(points)
    gaps = np.diff(points[order])
    return float(np.abs(np.cumsum(signed[order])[:-1]) @ gaps)


@dataclass
class Reference:
    """Spectra of a workload's layers in float64, and how sure they are."""

    spectra: dict
    # What an estimate may be off, by layer; 0 where exact.
    density_errors: dict

    @classmethod
    def of(cls, workload, layers):
        """Decompose what is small enough; estimate the rest by long runs of Lanczos."""
        local = LocalSpectra(
            workload.net, workload.X, workload.y, layers=layers, dtype="float64", random_state=17
        )
        small = [row.name for row in local.plan(method="exact").layers if row.side <= LARGEST_SIDE]
        spectra, errors = {}, dict.fromkeys(layers, 0.0)
        if small:
            part = _of_layers(workload, small, 17)
            spectra |= part.spectra(method="exact")
        rest = [name for name in layers if name not in small]
        if rest:
            parts = [_reference_part(workload, rest, part) for part in range(REFERENCE_PARTS)]
            short = _reference_part(workload, rest, 0, REFERENCE_STEPS // 2)
            traces = _of_layers(workload, rest, 17).traces(n_probes=REFERENCE_PROBES)
            for name in rest:
                found = [part[name] for part in parts]
                spectra[name] = _joined(found, traces[name].trace)
                # Two parts, independent, are apart by sqrt(2) of what each is off, and the mean of
                # all of them is off by 1 / sqrt(REFERENCE_PARTS) of that.
                apart = np.mean(
                    [Errors.distance(a, b) for a, b in itertools.combinations(found, 2)]
                )
                too_few_steps = Errors.distance(short[name], found[0])
                errors[name] = float(apart) / math.sqrt(2 * REFERENCE_PARTS) + too_few_steps
        return cls({name: spectra[name] for name in layers}, errors)

    def check(self, workload, n_layers=2):
        """Largest relative distance of largest eigenvalues from ARPACK's, on products by autograd.

        Parameters
        ----------
        workload : Workload
            The network.
        n_layers : int
            As many layers, evenly spaced, are looked at.
        """
        names = list(self.spectra)
        chosen = names[:: max(1, len(names) // n_layers)][:n_layers]
        return max(
            abs(self.spectra[name].max_eigenvalue / _arpack(workload, name) - 1) for name in chosen
        )


class Errors:
    """Distances of an estimate from a reference, each as a share."""

    @staticmethod
    def distance(spectrum, reference):
        """Wasserstein distance as a share of the mean size of the reference's eigenvalues."""
        scale = float(np.abs(reference.nodes) @ reference.weights)
        return (
            density_distance(spectrum.nodes, spectrum.weights, reference.nodes, reference.weights)
            / scale
        )

    @staticmethod
    def of(quantity, spectrum, reference):
        """Error in one of `QUANTITIES`."""
        if quantity == "density":
            return Errors.distance(spectrum, reference)
        value, true = getattr(spectrum, quantity), getattr(reference, quantity)
        return abs(value - true) / abs(true)


class EffortErrors:
    """Errors of quadrature in its number of probes and steps, layer by layer.

    In exact arithmetic all tools' Lanczos find the same from the same starts; so what an effort is
    worth is found once, from single probes.

    Parameters
    ----------
    workload : Workload
        The network.
    reference : Reference
        What is compared with.
    n_probes : int
        Single probes that are run.
    """

    def __init__(self, workload, reference, n_probes=32):
        self.reference = reference
        steps = [n for n in N_STEPS if n <= workload.largest_steps]
        self.runs = {n_steps: [] for n_steps in steps}
        for seed in range(n_probes):
            local = _of_layers(workload, list(reference.spectra), 100 + seed, dtype=None)
            for n_steps, found in self.runs.items():
                found.append(local.spectra(method="lanczos", n_probes=1, n_lanczos_steps=n_steps))

    def least(self, quantity, layer):
        """Return the least (n_probes, n_steps) by products whose error is small enough, or None."""
        efforts = [
            (n_probes * n_steps, n_probes, n_steps)
            for n_steps in self.runs
            for n_probes in N_PROBES
            if self.error(quantity, layer, n_probes, n_steps) <= QUANTITIES[quantity]
        ]
        return min(efforts)[1:] if efforts else None

    def needed_probes(self, layer):
        """Return how many random signs make a trace right enough, by the spread of single ones."""
        found = [run[layer].trace for run in self.runs[min(self.runs)]]
        one = np.std(found, ddof=1) / abs(self.reference.spectra[layer].trace)
        return max(1, math.ceil((one / QUANTITIES["trace"]) ** 2))

    def error(self, quantity, layer, n_probes, n_steps):
        """Root mean square error of what `n_probes` probes find in `n_steps` steps."""
        reference = self.reference.spectra[layer]
        found = [run[layer] for run in self.runs[n_steps]]
        if quantity == "max_eigenvalue":
            largest = np.array([one.max_eigenvalue for one in found])
            groups = largest[: len(found) // n_probes * n_probes].reshape(-1, n_probes).max(axis=1)
            return float(np.sqrt(np.mean((groups / reference.max_eigenvalue - 1) ** 2)))
        errors = [
            Errors.distance(_pooled(found[start : start + n_probes]), reference)
            for start in range(0, len(found) - n_probes + 1, n_probes)
        ]
        return float(np.sqrt(np.mean(np.square(errors))))


@dataclass
class _Pooled:
    """The mean of several quadratures."""

    nodes: np.ndarray
    weights: np.ndarray


def _pooled(spectra):
    """Take the mean of several quadratures."""
    return _Pooled(
        np.concatenate([one.nodes for one in spectra]),
        np.concatenate([one.weights for one in spectra]) / len(spectra),
    )


@dataclass
class _Estimated(_Pooled):
    """A reference from long runs."""

    max_eigenvalue: float
    trace: float


def _reference_part(workload, layers, part, n_steps=None):
    """Run a part of the probes of an estimated reference."""
    return _of_layers(workload, layers, 18 + part).spectra(
        method="lanczos",
        n_probes=REFERENCE_PROBES // REFERENCE_PARTS,
        n_lanczos_steps=n_steps or REFERENCE_STEPS,
    )


def _joined(parts, trace):
    """Join the parts of an estimate; its trace is the better one of traces alone."""
    pooled = _pooled(parts)
    largest = max(part.max_eigenvalue for part in parts)
    return _Estimated(pooled.nodes, pooled.weights, largest, trace)


def _of_layers(workload, layers, seed, dtype="float64"):
    """Look at some layers."""
    return LocalSpectra(
        workload.net, workload.X, workload.y, layers=layers, dtype=dtype, random_state=seed
    )


def _arpack(workload, layer):
    """Largest eigenvalue by ARPACK on double backward passes in float64: no code of hessdiag's."""
    model, criterion = copy.deepcopy(workload.model).double(), workload.criterion
    X, y = workload.tensors()
    X = X.double() if X.is_floating_point() else X
    parameters = list(model.get_submodule(layer).parameters(recurse=False))
    sizes = [p.numel() for p in parameters]
    gradients = torch.autograd.grad(criterion(model(X), y), parameters, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in gradients])

    def product(vector):
        vector = torch.as_tensor(np.ascontiguousarray(vector).reshape(-1), dtype=flat.dtype)
        rows = torch.autograd.grad(flat, parameters, vector.to(flat.device), retain_graph=True)
        return torch.cat([row.reshape(-1) for row in rows]).cpu().numpy()

    operator = LinearOperator((sum(sizes),) * 2, matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(sum(sizes))
    return float(eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False)[0])
