"""From a policy to the plan of what it will do, timed on this machine."""

from __future__ import annotations

import time

import numpy as np

from hessdiag.curvature import pass_seconds
from hessdiag.spectra.results import LayerPlan, SpectraPlan


def plan_of(policy):
    """Return the `SpectraPlan` of a policy, from what it says in advance."""
    problem, settings = policy.problem, policy.settings
    speed, one_pass = _speed(), pass_seconds(problem)
    plans = []
    for block in problem.blocks:
        way = policy.ways[block.name]
        seconds = way.operations / speed
        if way.by_factor:
            # The columns' sweeps serve all layers at once, unless they go one by one.
            share = 1 if policy.is_bounded else len(problem.blocks)
            seconds += one_pass * (1 + 2 * policy.rank) / share
        else:
            # A Hessian-vector product costs about four passes forward and back, and three more
            # where its graph is not kept.
            n_products = way.side if way.is_exact else settings.n_products
            seconds += 4 * one_pass * n_products
            if len(problem.chunks) > 1:
                seconds += 3 * one_pass * n_products / way.n_vectors
        plans.append(
            LayerPlan(
                block.name,
                block.kind,
                block.n_params,
                problem.n_samples * policy.rank,
                way.name,
                way.side,
                seconds,
                policy.bytes_of[block.name],
            )
        )
    return SpectraPlan(tuple(plans), policy.peak, len(problem.chunks))


def _speed():
    """Measure floating-point operations per second of a matrix product in float64."""
    matrix = np.ones((256, 256))
    matrix @ matrix
    start = time.perf_counter()
    matrix @ matrix
    return 2 * 256**3 / max(time.perf_counter() - start, 1e-6)
