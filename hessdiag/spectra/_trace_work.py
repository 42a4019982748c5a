"""Traces of all layers: sums of squares of factors, and random signs for the rest."""

from __future__ import annotations

import math

import numpy as np
import torch

from hessdiag.curvature import pass_seconds
from hessdiag.curvature.factors import squared_row_norms
from hessdiag.spectra._executor import check_separable
from hessdiag.spectra._gaps import clear_gaps
from hessdiag.spectra._probes import random_signs
from hessdiag.spectra._profiles import profile_layers
from hessdiag.spectra.results import LayerPlan, LayerTrace, SpectraPlan

# Probes that pass through the net together.
PROBES_AT_ONCE = 4
# Probes below which a standard error says too little to stop by.
LEAST_PROBES = 4
# A product with the Hessian takes about as long as two backward sweeps.
SWEEPS_PER_PRODUCT = 2


class TraceWork:
    """What the traces of a problem's layers take (`plan`), and their computation (`run`)."""

    def __init__(self, problem, settings, method):
        _check(settings, method)
        check_separable(problem, settings)
        self.problem, self.settings = problem, settings
        self.takes_factors = _takes_factors(problem, settings, method)

    def run(self):
        """Add up what is exact and what is estimated: {name: LayerTrace}."""
        problem, settings = self.problem, self.settings
        generator = torch.Generator().manual_seed(settings.seed)
        known, coincident = {}, set()
        if self.takes_factors:
            known = self._gauss_newton_traces()
            coincident = set(known)
            if settings.curvature == "hessian":
                coincident = set(known) & set(clear_gaps(problem, generator))
        estimated = {}
        for products in self._parts(known, coincident):
            estimated |= _estimates(products, settings, generator)
        traces = {}
        for block in problem.blocks:
            trace, error, n_probes = estimated.get(block.name, (0.0, 0.0, 0))
            trace = known.get(block.name, 0.0) + trace
            traces[block.name] = LayerTrace(block.n_params, trace, error, n_probes)
        return traces

    def _gauss_newton_traces(self):
        """Sum the squares of every layer's factor, one layer after the other."""
        problem, settings, traces = self.problem, self.settings, {}
        signs, order = problem.outputs.signs, problem.blocks[::-1]
        for name, factor in problem.each_factor(order, True, settings.max_memory):
            if factor is not None:
                squares = squared_row_norms(factor)
                traces[name] = float((squares if signs is None else squares * signs).sum())
            elif settings.curvature == "ggn":
                raise ValueError(
                    f"Expected a Jacobian of layer {name!r} that fits in memory, found that it "
                    "does not. Pass max_samples to look at fewer samples."
                )
            del factor
        return traces

    def _parts(self, known, coincident):
        """List what is to be estimated: products with residual parts, or with whole matrices."""
        problem = self.problem

        def whole_products(blocks):
            return problem.products(self.settings.curvature, blocks)

        rest = [b for b in problem.blocks if b.name in known and b.name not in coincident]
        unknown = [b for b in problem.blocks if b.name not in known]
        parts = [(rest, problem.residual_products), (unknown, whole_products)]
        return [_Products(problem, blocks, make) for blocks, make in parts if blocks]

    def plan(self):
        """Add up time and memory from what a few samples show of the layers."""
        problem, settings = self.problem, self.settings
        profiles = profile_layers(problem, settings) if self.takes_factors else {}
        n, found, one_pass = problem.n_samples, problem.footprint, pass_seconds(problem)
        rank = 0 if problem.outputs is None else problem.outputs.rank
        chunk = problem.samples.largest_chunk
        ways = {block.name: _way(profiles.get(block.name)) for block in problem.blocks}
        signed = [block for block in problem.blocks if "signs" in ways[block.name]]
        n_signed = sum(block.n_params for block in signed)
        # One product of the net serves all layers: graphs, vectors and images over all of them.
        products = chunk * (found.second + PROBES_AT_ONCE * found.first)
        products += 4 * PROBES_AT_ONCE * n_signed * problem.itemsize
        plans = []
        for block in problem.blocks:
            way, profile = ways[block.name], profiles.get(block.name)
            seconds, size = 0.0, 0.0
            if "squares" in way:
                seconds += one_pass * (1 + 2 * rank) / len(problem.blocks)
                size = chunk * (found.first + profile.capture) + n * profile.held
            if "signs" in way:
                # A product with the Hessian costs about four passes forward and back.
                seconds += 4 * one_pass * settings.n_probes / len(signed)
                size = max(size, products)
            n_rows, p = n * rank if "squares" in way else 0, block.n_params
            plans.append(LayerPlan(block.name, block.kind, p, n_rows, way, p, seconds, size))
        peak = max(found.start, found.held + max(plan.bytes for plan in plans))
        return SpectraPlan(tuple(plans), peak, len(problem.chunks))


def _check(settings, method):
    """Check what traces alone ask for."""
    if method not in ("auto", "hutchinson"):
        raise ValueError(
            f"Expected method to be one of 'auto', 'hutchinson', found {method!r}. "
            "Pass one of these."
        )
    if settings.n_probes < 2:
        raise ValueError(
            "Expected at least 2 probes, as one has no standard error, found "
            f"{settings.n_probes!r}. Pass 2 or more."
        )
    if settings.curvature == "ggn" and method == "hutchinson":
        raise ValueError(
            f"Expected method='auto' for curvature='ggn', whose traces are exact, found "
            f"{method!r}. Leave method as it is by default."
        )


def _takes_factors(problem, settings, method):
    """Say whether factors are built: wanted, or taking no longer than the products."""
    if settings.curvature == "ggn":
        return problem.outputs is not None
    if method != "auto" or problem.outputs is None:
        return False
    return problem.outputs.rank <= SWEEPS_PER_PRODUCT * settings.n_probes


def _way(profile):
    """Name the way to a layer's trace, from what a few samples show of it."""
    if profile is None or (profile.gap is None and not profile.by_factor):
        return "signs"
    return "squares" if profile.by_factor else "squares+signs"


class _Products:
    """Products of several blocks with one vector over all of them, or of each on its own.

    Functions of layers' own outputs have nothing in common: there each is on its own anyway.
    """

    def __init__(self, problem, blocks, make, together=True):
        self.problem = problem
        self.blocks = blocks
        self.make = make
        self.whole = None
        if together and len(blocks) > 1 and not problem.is_layerwise:
            self.whole = problem.network_block(blocks)
        self.products = make(blocks if self.whole is None else [self.whole])

    def __call__(self, vectors):
        """Return (H v)_l (k, p_l) for every block, v being given block by block."""
        if self.whole is None:
            images = self.products.products({b.name: v for b, v in zip(self.blocks, vectors)})
            return [images[block.name] for block in self.blocks]
        (image,) = self.products.products({self.whole.name: torch.cat(vectors, dim=1)}).values()
        return image.split([block.n_params for block in self.blocks], dim=1)

    def one_by_one(self):
        """List the same for every block alone."""
        return [_Products(self.problem, [b], self.make, together=False) for b in self.blocks]


def _estimates(products, settings, generator):
    """Estimate traces: {name: (trace, standard error, number of probes)}."""
    blocks = products.blocks
    values = np.empty((0, len(blocks)))
    while len(values) < settings.n_probes:
        k = min(PROBES_AT_ONCE, settings.n_probes - len(values))
        vectors = [random_signs(k, block, generator) for block in blocks]
        found = [
            (v * image).sum(dim=1, dtype=torch.float64).cpu().numpy()
            for v, image in zip(vectors, products(vectors))
        ]
        values = np.concatenate([values, np.stack(found, axis=1)])
        if not np.isfinite(values).all():
            break
        if _is_within(values, settings.tolerance):
            break
    if products.whole is not None and not np.isfinite(values).all():
        # What is not finite in one layer spreads to others that pass through it.
        estimates = {}
        for one in products.one_by_one():
            estimates |= _estimates(one, settings, generator)
        return estimates
    return {
        block.name: (float(column.mean()), _standard_error(column), len(column))
        for block, column in zip(blocks, values.T)
    }


def _standard_error(values):
    """Standard error of the mean."""
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def _is_within(values, tolerance):
    """Say whether all layers' standard errors are small enough."""
    if tolerance is None or len(values) < LEAST_PROBES:
        return False
    errors = np.array([_standard_error(column) for column in values.T])
    return bool((errors <= tolerance * np.abs(values.mean(axis=0))).all())
