"""Spectra within so many seconds: what does not fit is less, and said.

What costs least in accuracy goes first: eigenvalues that Lanczos would find faster than a
decomposition, then probes, then samples, then steps. Nothing is measured where a first look says
that all fits.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import replace

import numpy as np

from hessdiag.curvature import fitting_chunks, pass_seconds
from hessdiag.progress import say
from hessdiag.spectra._executor import choose_policy
from hessdiag.spectra._plan import MeasuredCosts, eigenvalue_seconds

# A first look overestimates: less than this share of the time needs no measuring.
CLEARLY = 0.25
# Share of the time that measuring may take.
OF_MEASURING = 0.05
# Passes forward that a product with a Hessian, and a sweep with its Gram matrix, may take.
PASSES_OF_PRODUCT, PASSES_OF_SWEEP = 10, 6
# Fewest samples, before and after Lanczos gets fewer steps, and before it gets fewest; and those
# that are worth a plan.
FEW_SAMPLES, FEWER_SAMPLES, LEAST_SAMPLES, WORTH_A_PLAN = 64, 32, 8, 12
FEW_STEPS, LEAST_STEPS = 10, 5


class BudgetWarning(UserWarning):
    """Something was left out, as it would not have fitted into the time that there was.

    Examples
    --------
    >>> import warnings
    >>> from hessdiag.spectra import BudgetWarning
    >>> warnings.simplefilter("error", BudgetWarning)  # raise it: all or nothing
    """


def policy_within(problem, settings, max_time, spent=0.0):
    """Choose how layers are worked on, and what is left out to keep within a time.

    Parameters
    ----------
    problem : LocalCurvature
        As from `hessdiag.curvature.prepare`.
    settings : SpectrumSettings
        How spectra are to be computed.
    max_time : float or None
        Seconds; None sets no bound.
    spent : float, default=0
        Seconds that have gone already.

    Returns
    -------
    policy : Together or OneByOne
        For `compute_spectra`.
    left_out : list of str
        What is less than it would be without a bound.
    """
    start = time.monotonic() - spent
    policy = choose_policy(problem, settings)
    if max_time is None or problem.n_samples < WORTH_A_PLAN:
        return policy, []
    if _first_look(policy) <= CLEARLY * (max_time - spent):
        return policy, []
    costs = MeasuredCosts(policy, OF_MEASURING * max_time)
    rest = max_time - (time.monotonic() - start)
    n, kept = problem.n_samples, policy.ways
    seconds = costs.total(n, settings.n_probes, settings.n_lanczos_steps, _as_planned(kept))
    say(f"about {min(seconds, max_time):.0f} s")
    settings = replace(settings, deadline=start + max_time)
    if seconds <= rest:
        policy.settings = settings
        return policy, []
    for n_some, changes in _less(n, settings):
        changed = replace(settings, **changes)
        is_exact = _cheaper(costs, kept, n_some, changed)
        if settings.method == "exact":
            is_exact = _as_planned(kept)
        found = (n_some, changed.n_probes, changed.n_lanczos_steps, is_exact)
        if costs.total(*found) <= rest:
            break
    limits, left_out = {}, []
    if settings.method == "auto":
        dropped = [b for b in problem.blocks if kept[b.name].is_exact and not is_exact(b)]
        if dropped:
            least = min(_side(policy, block, n_some) for block in dropped) - 1
            limits = {
                "exact_limit": min(least, settings.exact_limit),
                "dense_limit": min(least, settings.dense_limit),
            }
            left_out.append(
                f"{len(dropped)} of {len(problem.blocks)} layers were left to Lanczos, whose "
                "spectra could be exact"
            )
    if changed.n_probes < settings.n_probes:
        left_out.append(f"{changed.n_probes} of {settings.n_probes} probes were drawn")
    if n_some < n:
        left_out.append(f"{n_some} of {n} samples were looked at")
        # Those that were looked at first stay in order.
        problem = problem.restrict(np.linspace(0, n - 1, n_some).round().astype(int))
        if settings.max_memory is not None:
            problem = fitting_chunks(problem, settings.max_memory)
    if changed.n_lanczos_steps < settings.n_lanczos_steps:
        left_out.append(f"{changed.n_lanczos_steps} of {settings.n_lanczos_steps} steps were taken")
    return choose_policy(problem, replace(changed, **limits)), left_out


def warn_of_left_out(left_out, max_time):
    """Say what was left out, where anything was."""
    if left_out:
        warnings.warn(
            f"To keep within max_time={max_time:g} s: {'; '.join(left_out)}. Pass max_time=None, "
            "or more seconds, for all of it.",
            BudgetWarning,
            stacklevel=4,
        )


def has_passed(settings):
    """Say whether the time was up before the end."""
    return settings.deadline is not None and time.monotonic() > settings.deadline


def _first_look(policy):
    """Estimate from above, by one pass forward."""
    problem, settings = policy.problem, policy.settings
    n_blocks, rank = len(problem.blocks), policy.rank
    products = n_blocks * settings.n_products
    if settings.curvature == "ggn" and problem.is_separable:
        products = 0
    passes = PASSES_OF_PRODUCT * products + PASSES_OF_SWEEP * (rank + 1) * n_blocks
    sides = [min(max(1, problem.n_samples * rank), b.n_params) for b in problem.blocks]
    if settings.method != "exact":
        sides = [min(side, settings.exact_limit) for side in sides]
    return pass_seconds(problem) * passes + sum(map(eigenvalue_seconds, sides))


def _side(policy, block, n):
    """Side of the matrix of an exact spectrum on n samples."""
    if policy.ways[block.name].by_factor:
        return min(block.n_params, n * policy.rank)
    return block.n_params


def _as_planned(kept):
    """Say which layers are exact as planned."""
    return lambda block: kept[block.name].is_exact


def _cheaper(costs, kept, n, settings):
    """Say which of the exact layers take less time than by Lanczos."""

    def is_exact(block):
        if not kept[block.name].is_exact:
            return False
        of_lanczos = (n, settings.n_probes, settings.n_lanczos_steps)
        return costs.of_layer(block, True, n) <= costs.of_layer(block, False, *of_lanczos)

    return is_exact


def _less(n, settings):
    """Yield (samples, changes of settings), each less than the one before."""
    one = {} if settings.method == "exact" else {"n_probes": 1}
    steps = settings.n_lanczos_steps
    fewer = one and one | {"n_lanczos_steps": min(steps, max(FEW_STEPS, steps // 2))}
    least = one and one | {"n_lanczos_steps": min(steps, LEAST_STEPS)}
    yield n, {}
    yield n, one
    size = n
    for fewest, changes, changes_then in (
        (FEW_SAMPLES, one, fewer),
        (FEWER_SAMPLES, fewer, fewer),
        (LEAST_SAMPLES, fewer, least),
    ):
        while size > fewest:
            size = max(fewest, size // 2)
            yield size, changes
        yield size, changes_then
