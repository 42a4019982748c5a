"""What fits into a budget of time: chosen before long work starts, and said where it is less.

Seconds are measured on a few samples and carried forward: products with Hessians, and factors,
grow as ``a + b n`` in the number of samples n; the operations of Gram matrices are counted. Each
part has its share of the time. What matters least to a diagnosis goes first: samples and probes of
the Hessians' spectra, then these themselves, in whose place Gauss-Newton spectra stand, then
samples of factors and Gram matrices, of gaps, and of the comparison between samples.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from hessdiag.curvature import pass_seconds
from hessdiag.examination._between_samples import between_samples_work, samples_between
from hessdiag.examination._sketched_statistics import FIRST_ROOT
from hessdiag.examination._wide_forecasts import log_softmax
from hessdiag.examination._wide_layers import wide_layer_work
from hessdiag.spectra import measure_gaps

# Share of a budget that Hessians' spectra, factors, gaps and passes forward may take.
OF_HESSIANS, OF_FACTORS, OF_GAPS, OF_PASSES = 0.35, 0.25, 0.1, 0.15
# Of factors, where no Hessians are looked at.
OF_FACTORS_ALONE = 0.6
# By how much all takes longer than its parts.
MORE = 1.2
# Evaluations of the loss for each layer, which take a while from so many outputs on.
EVALUATIONS, MANY_OUTPUTS = 12, 100_000
# Side of the matrix whose decomposition is timed, the power by which that grows, and by how much
# statistics add to it.
SIDE_TIMED, POWER_OF_SIDE, WITH_STATISTICS = 400, 2.6, 1.3
# Samples that seconds are measured on: as many as no longer fit into a processor's cache, or fewer
# where these alone would take more than a share of the time.
MOST_MEASURED, FEW_MEASURED = (64, 32, 16), 4
OF_MEASURING = 0.05
# Of the gaps of all layers; beyond that only those of some are measured.
MOST_OF_GAPS = 0.2
# Of factors of the fewest samples; beyond that only some layers are looked at, but not fewer.
MOST_OF_FACTORS, FEWEST_LAYERS = 0.5, 4
# Layers whose gaps and products stand for those of all where time is estimated.
MEASURED_BLOCKS = 8
# Passes forward through as many samples that are looked at between samples.
PASSES_BETWEEN = 12
# Fewest samples that are looked at, and that are worth a plan.
LEAST_SAMPLES, LEAST_GAPS, WORTH_A_PLAN = 32, 8, 12
# Samples, probes and steps of the least that is worth a spectrum.
LEAST = (LEAST_SAMPLES, 1, 10)
# Seconds that a plan is made for, at least.
LEAST_TIME = 1e-3
# Seconds beyond which it is said what an examination is expected to take. A first look, by passes
# forward alone, mostly overestimates: what is below these, and a clear share of the time, is not
# measured.
LONG, CLEARLY = 2.0, 0.25
# Passes forward that a product with the Hessian, and that a sweep with its Gram matrix, may take.
PASSES_OF_PRODUCT, PASSES_OF_SWEEP = 10, 6


@dataclass(frozen=True)
class Budget:
    """What of an examination is to be done.

    Parameters
    ----------
    n_samples : int
        Samples that factors and Gram matrices are made of.
    n_hessian : int
        Samples that Hessians' spectra are taken on; 0 where Gauss-Newton spectra stand in.
    n_probes, n_lanczos_steps : int
        Of these spectra.
    seconds : float
        Estimated time of all.
    n_gaps, n_between : int or None, default=None
        Samples that gaps are measured on, and between which the net is looked at; None takes all.
    gap_blocks : tuple of str or None, default=None
        Names of the layers whose gaps are measured; None takes all.
    blocks : tuple of str or None, default=None
        Names of the layers that are looked at; None takes all.
    left_out : tuple of str
        What is less than it would be without a bound on time.
    """

    n_samples: int
    n_hessian: int
    n_probes: int
    n_lanczos_steps: int
    seconds: float
    n_gaps: int | None = None
    n_between: int | None = None
    gap_blocks: tuple[str, ...] | None = None
    blocks: tuple[str, ...] | None = None
    left_out: tuple[str, ...] = ()

    def settings(self, settings):
        """Return settings of Hessians' spectra as the budget has them."""
        return replace(settings, n_probes=self.n_probes, n_lanczos_steps=self.n_lanczos_steps)


def plan_budget(problem, settings, max_time, n_columns=None, whole=None, kind="unknown"):
    """Choose what of a problem is looked at within so many seconds.

    Parameters
    ----------
    problem : LocalCurvature
        What would be examined.
    settings : SpectrumSettings
        How.
    max_time : float or None
        Seconds; None sets no bound.
    n_columns : int or None, default=None
        Random columns that stand for each sample's output Hessian; None takes these as they are.
    whole : LocalCurvature or None, default=None
        All samples, of which `problem` has some; None takes those of `problem`.
    kind : str, default="unknown"
        Kind of the task, as in `Task`: without targets nothing is forecast.

    Returns
    -------
    Budget
        All of it, where that fits.
    """
    n = problem.n_samples
    one_pass = pass_seconds(problem)
    beside = _Beside(problem if whole is None else whole, kind, one_pass / n)
    losses = _evaluations(problem)
    rest = beside.layers + beside.between(beside.most) + losses
    first_look = one_pass * _passes(problem, settings, n_columns) + rest
    first_look += _decompositions(problem, n, n_columns)
    all_of_it = Budget(n, n, settings.n_probes, settings.n_lanczos_steps, first_look)
    max_time = math.inf if max_time is None else max_time
    # Of few samples, and where no part of them has a loss of its own, nothing is left out.
    is_whole = n < WORTH_A_PLAN or not problem.is_separable
    if first_look <= (LONG if is_whole else min(LONG, CLEARLY * max_time)):
        return all_of_it
    costs = _Costs(problem, settings, n_columns, OF_MEASURING * min(max_time, first_look))
    measured = costs.hessians(n, settings.n_probes, settings.n_lanczos_steps) + costs.factors(n)
    measured += costs.gaps(n)
    all_of_it = replace(all_of_it, seconds=MORE * (measured + rest))
    if is_whole or all_of_it.seconds <= max_time:
        return all_of_it
    max_time = max(LEAST_TIME, max_time - beside.layers)
    n_between = _most(beside.most, lambda size: beside.between(size) <= OF_PASSES * max_time)
    rest = beside.layers + beside.between(n_between) + losses
    n_between = None if n_between == beside.most else n_between
    if measured <= (OF_HESSIANS + OF_FACTORS + OF_GAPS) * max_time:
        seconds, said = MORE * (measured + rest), _of_between(n_between)
        return replace(all_of_it, seconds=seconds, n_between=n_between, left_out=said)
    n_samples = n
    of_factors = OF_FACTORS if settings.curvature == "hessian" else OF_FACTORS_ALONE
    if costs.has_factors:
        n_samples = _most(n, lambda size: costs.factors(size) <= of_factors * max_time)
    looked_at, names, left_out = 1.0, None, []
    if costs.has_factors:
        most = max(of_factors, MOST_OF_FACTORS) * max_time
        looked_at = min(1.0, most / max(1e-9, costs.factors(n_samples)))
    blocks = problem.blocks
    if looked_at < 1:
        blocks = _spread(blocks, max(FEWEST_LAYERS, int(looked_at * len(blocks))))
        looked_at = len(blocks) / len(problem.blocks)
    if len(blocks) < len(problem.blocks):
        names = tuple(block.name for block in blocks)
        left_out.append(f"{len(blocks)} of {len(problem.blocks)} layers were looked at")
    costs.scale(looked_at)
    found = _hessians_within(costs, settings, n_samples, OF_HESSIANS * max_time)
    if found[0] == 0 and not costs.has_factors:
        found = LEAST  # nothing stands in
    n_hessian, n_probes, n_steps = found
    if n_samples < n:
        left_out.append(f"{n_samples} of {n} samples were looked at")
    if costs.n_curved and n_hessian == 0:
        left_out.append(
            f"Gauss-Newton spectra stand in for the Hessians of {costs.n_curved} layers"
        )
    elif costs.n_curved and found != (n_samples, settings.n_probes, settings.n_lanczos_steps):
        left_out.append(
            f"the Hessians of {costs.n_curved} layers were looked at on {n_hessian} of {n} samples "
            f"by {n_probes} probe{'s'[: n_probes != 1]} of {n_steps} steps"
        )
    n_gaps = n_samples
    while n_gaps > LEAST_GAPS and costs.gaps(n_gaps) > OF_GAPS * max_time:
        n_gaps = max(LEAST_GAPS, n_gaps // 2)
    gap_blocks = None
    if costs.has_factors and settings.curvature == "hessian":
        share = MOST_OF_GAPS * max_time / max(1e-9, costs.gaps(n_gaps))
        what = ""
        if share < 1:
            count = max(1, int(share * len(blocks)))
            gap_blocks = tuple(b.name for b in _spread(blocks, count))
            what = f" of {count} of {len(problem.blocks)} layers"
        if n_gaps < n_samples or what:
            left_out.append(
                f"gaps to Gauss-Newton matrices were measured on {n_gaps} of {n} samples{what}"
            )
    left_out += _of_between(n_between)
    seconds = costs.factors(n_samples) + costs.hessians(*found) + costs.gaps(n_gaps)
    seconds = MORE * (seconds + rest)
    return Budget(n_samples, *found, seconds, n_gaps, n_between, gap_blocks, names, tuple(left_out))


def _spread(blocks, count):
    """Choose some layers, spread evenly over the depth."""
    return [blocks[i] for i in evenly(len(blocks), min(count, len(blocks)))]


def _of_between(n_between):
    """Say between how many samples the net was looked at, where these are not all."""
    if n_between is None:
        return ()
    return (f"the net was looked at between {n_between} samples",)


class _Beside:
    """Seconds of what is not measured: wide layers, and the comparison between samples.

    One pass forward takes `each` for a sample; `most` samples are looked at between, at most.
    """

    def __init__(self, problem, kind, each):
        self.problem, self.kind, self.each = problem, kind, each
        self.most, self.layers = 0, 0.0
        if kind != "unknown" and problem.output_values is not None:
            multiplications, sides = wide_layer_work(problem)
            self.layers = multiplications * _seconds_per_operation() + _decomposed(sides)
            self.most = samples_between(problem)

    def between(self, n):
        """Estimate seconds of looking between n samples."""
        if n == 0:
            return 0.0
        multiplications, logarithms, sides = between_samples_work(self.problem, self.kind, n)
        seconds = PASSES_BETWEEN * self.each * n + _decomposed(sides)
        seconds += multiplications * _seconds_per_operation()
        return seconds + logarithms * _seconds_per_logarithm()


def _evaluations(problem):
    """Estimate seconds of evaluating the loss at other outputs, layer by layer."""
    function, values = problem.output_function, problem.output_values
    if function is None or values is None or values.numel() < MANY_OUTPUTS:
        return 0.0
    start = time.perf_counter()
    with torch.no_grad():
        function(values.double())
    return EVALUATIONS * (len(problem.blocks) + 1) * (time.perf_counter() - start)


def _decompositions(problem, n, n_columns):
    """Estimate seconds of decomposing the layers' Gram matrices on n samples."""
    if n_columns is None and problem.outputs is None:
        return 0.0
    side = n * (problem.outputs.rank if n_columns is None else n_columns)
    sides = [min(side, block.n_params) for block in problem.blocks] + [side]
    return WITH_STATISTICS * _decomposed(sides)


def _decomposed(sides):
    """Estimate seconds of decomposing symmetric matrices of these sides."""
    return _decomposition_seconds() * sum((size / SIDE_TIMED) ** POWER_OF_SIDE for size in sides)


@lru_cache(maxsize=1)
def _decomposition_seconds():
    """Time the decomposition of one symmetric matrix."""
    root = np.random.default_rng(0).standard_normal((SIDE_TIMED, SIDE_TIMED))
    start = time.perf_counter()
    np.linalg.eigh(root @ root.T)
    return time.perf_counter() - start


@lru_cache(maxsize=1)
def _seconds_per_operation():
    """Time a multiplication of a matrix product in float64."""
    square = torch.ones(SIDE_TIMED, SIDE_TIMED, dtype=torch.float64)
    start = time.perf_counter()
    square @ square
    return (time.perf_counter() - start) / SIDE_TIMED**3


@lru_cache(maxsize=1)
def _seconds_per_logarithm():
    """Time the logarithm of a probability, of as many as no longer fit into a processor's cache."""
    logits = np.zeros((4 * SIDE_TIMED, 4 * SIDE_TIMED))
    start = time.perf_counter()
    log_softmax(logits)
    return (time.perf_counter() - start) / logits.size


def evenly(n, size):
    """Choose some of n samples, spread evenly; their order, which is that of a draw, is kept.

    Parameters
    ----------
    n : int
        Samples that there are.
    size : int
        Samples to take.

    Returns
    -------
    ndarray of int of shape (size,)
        Their places.
    """
    return np.linspace(0, n - 1, size).round().astype(int)


def _passes(problem, settings, n_columns):
    """Count the passes forward that all takes as long as: too many, for a first look."""
    n_blocks, rank = len(problem.blocks), 1
    if n_columns is not None:
        rank = FIRST_ROOT + n_columns
    elif problem.outputs is not None:
        rank = problem.outputs.rank
    products = n_blocks * settings.n_probes * settings.n_lanczos_steps
    if settings.curvature == "ggn" and problem.is_separable:
        products = 0
    return PASSES_OF_PRODUCT * products + PASSES_OF_SWEEP * (rank + 1) * n_blocks


def _most(n, fits):
    """Halve a number of samples until it fits, but not below the fewest."""
    while n > LEAST_SAMPLES and not fits(n):
        n = max(LEAST_SAMPLES, n // 2)
    return n


def _hessians_within(costs, settings, n, limit):
    """Return samples, probes and steps of Hessians' spectra that fit; no samples where none do."""
    probes, steps = settings.n_probes, settings.n_lanczos_steps
    for least, k, m in ((64, probes, steps), (64, 1, steps), (32, 1, max(2, steps // 2))):
        size = n
        while size > least and costs.hessians(size, k, m) > limit:
            size = max(least, size // 2)
        if costs.hessians(size, k, m) <= limit:
            return size, k, m
    return 0, probes, steps


class _Costs:
    """Seconds of an examination's parts, measured on a few samples, within some `limit` itself."""

    def __init__(self, problem, settings, n_columns, limit):
        self.settings, self.n_columns = settings, n_columns
        self.has_factors = n_columns is not None or problem.outputs is not None
        self.blocks = _spread(problem.blocks, MEASURED_BLOCKS)
        self.ratio, self.share = len(problem.blocks) / len(self.blocks), 1.0
        generator = torch.Generator().manual_seed(settings.seed)
        order = torch.randperm(problem.n_samples, generator=generator)
        self.operations = np.zeros(2)
        self.problem = problem
        n_all = problem.n_samples
        self.few = self.more = n_all
        part = problem
        if problem.is_separable:  # otherwise no part has a loss of its own
            self.few = min(n_all, max(2, min(FEW_MEASURED, n_all // 4)))
            part = problem.restrict(order[: self.few].sort().values)
        curved = self._measure(part, generator)
        found = [self.seconds]
        if self.few < n_all:
            least = min(n_all, 2 * self.few)
            most = [n for n in MOST_MEASURED if n <= max(least, n_all // 2)]
            most = [n for n in most if sum(found[0].values()) * n / self.few <= limit] or [least]
            self.more = most[0]
            self._measure(problem.restrict(order[: self.more].sort().values), generator, curved)
            found.append(self.seconds)
        self.found = [found[0], found[-1]]
        self.n_curved = round(self.ratio * len(curved))

    def _measure(self, problem, generator, curved=None):
        """Time the parts on a few samples; return the layers whose Hessians are their own."""
        start, own = time.perf_counter(), self.settings.curvature == "hessian"
        if self.has_factors and own:
            found = measure_gaps(problem, self.blocks, generator).gaps
        # The net as one takes as long as a layer.
        gaps = (time.perf_counter() - start) * (self.ratio + 1 / len(self.blocks))
        if curved is None and self.has_factors:
            curved = [b for b in self.blocks if own and not found[b.name].clearly_coincides]
        elif curved is None:
            # Without factors all layers, and the net as one, go by products.
            curved = [*self.blocks, problem.network_block()]
        self.seconds = {
            "gaps": gaps,
            "factors": self._factor_seconds(problem),
            "products": self.ratio * self._product_seconds(problem, curved),
        }
        return curved

    def scale(self, share):
        """Estimate for a share of the layers."""
        self.share = share
        self.found = [{what: share * s for what, s in found.items()} for found in self.found]
        self.n_curved = round(share * self.n_curved)

    def gaps(self, n):
        """Estimate seconds of measuring all gaps on n samples."""
        few, more = (found["gaps"] for found in self.found)
        return self._line(few, more, n)

    def _line(self, few, more, n):
        """Carry seconds forward as ``a + b n``."""
        if self.more == self.few:
            return few * n / self.few
        slope = max(0.0, more - few) / (self.more - self.few)
        each = max(0.0, few - slope * self.few) if slope else max(few, more)
        return each + slope * n

    def factors(self, n):
        """Estimate seconds of factors, Gram matrices and their decompositions on n samples."""
        few, more = (found["factors"] for found in self.found)
        n_all = self.problem.n_samples
        # Operations are some number times n, and another times n^2.
        half, whole = self.operations
        square = 2 * (whole - 2 * half)
        operations = square * (n / n_all) ** 2 + (whole - square) * n / n_all
        seconds = _seconds_per_operation() * operations
        seconds += _decompositions(self.problem, n, self.n_columns)
        return self._line(few, more, n) + self.share * seconds

    def hessians(self, n, n_probes, n_steps):
        """Estimate seconds of the spectra of those layers whose Hessians are their own."""
        few, more = (found["products"] for found in self.found)
        share = (1 + 2 * n_probes / 3) / 3  # several at once take less than one by one
        return self._line(few, more, n) * n_steps * share

    def _factor_seconds(self, problem):
        """Time the factors of all layers, and their Gram matrices."""
        if not self.has_factors:
            return 0.0
        columns = None
        if self.n_columns is not None:
            shape = problem.n_samples, problem.n_outputs, FIRST_ROOT + self.n_columns
            columns = torch.ones(shape, dtype=problem.working_copy.dtype)
            columns = columns.to(problem.working_copy.device)
        start, n = time.perf_counter(), self.problem.n_samples
        self.operations = np.zeros(2)
        for _, factor in problem.each_factor(problem.blocks, columns=columns):
            if factor is not None:
                self.operations += [factor.gram_operations(size) for size in (n // 2, n)]
        return time.perf_counter() - start

    def _product_seconds(self, problem, blocks):
        """Time one product of three vectors with every one of these layers' Hessians."""
        if not blocks:
            return 0.0
        source = problem.products(self.settings.curvature, blocks)
        vectors = {b.name: _ones(b) for b in blocks}
        source.products({blocks[0].name: vectors[blocks[0].name]})  # what is recorded is kept
        start = time.perf_counter()
        for name, vector in vectors.items():
            source.products({name: vector})
        return time.perf_counter() - start


def _ones(block):
    """Return three vectors of a block's parameters."""
    first = block.parameters[0]
    return torch.ones(3, block.n_params, dtype=first.dtype, device=first.device)
