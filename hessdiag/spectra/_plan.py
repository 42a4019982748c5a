"""From a policy to what it will take: seconds measured on a few samples and carried forward.

Setting up (gaps, factors, graphs) and products grow as ``a + b n`` in the number of samples n, and
products with a Gram matrix that is formed as n^2. Operations of Gram matrices are counted, and
decompositions are carried forward from one that is timed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch

from hessdiag.curvature.factors import FormedGram
from hessdiag.spectra._one_by_one import OneByOne
from hessdiag.spectra._operators import FactorOperator
from hessdiag.spectra._together import Together
from hessdiag.spectra._ways import DenseWay
from hessdiag.spectra.results import LayerPlan, SpectraPlan

# Layers that are measured, spread over the depth, and stand for all.
MEASURED_BLOCKS = 8
# Samples that are measured: as many as no longer fit into a processor's cache, or fewer where these
# would take longer than is asked for.
MOST_MEASURED, FEW_MEASURED = (64, 32, 16), 4
# Seconds that a plan may take to measure.
SECONDS_OF_MEASURING = 3.0
# Vectors that are multiplied at once where products are timed.
N_VECTORS = 3
# Side of the matrix whose decomposition is timed, and the power by which that grows.
SIDE_TIMED, POWER_OF_SIDE = 400, 2.7


def plan_of(policy):
    """Return the `SpectraPlan` of a policy, from what it says in advance."""
    costs = MeasuredCosts(policy)
    shared = costs.setup(policy.problem.n_samples) / len(policy.problem.blocks)
    plans = []
    for block in policy.problem.blocks:
        way = policy.ways[block.name]
        plans.append(
            LayerPlan(
                block.name,
                block.kind,
                block.n_params,
                policy.problem.n_samples * policy.rank,
                way.name,
                way.side,
                shared + costs.of_layer(block, way.is_exact),
                policy.bytes_of[block.name],
            )
        )
    return SpectraPlan(tuple(plans), policy.peak, len(policy.problem.chunks))


@dataclass
class _Sample:
    """Seconds on some samples: of setting up, and of one product of every measured layer."""

    size: int
    setup: float = 0.0
    products: dict[str, float] = field(default_factory=dict)
    formed: set[str] = field(default_factory=set)
    operations: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self):
        """Seconds that all of it took."""
        return self.setup + sum(self.products.values())


class MeasuredCosts:
    """What the parts of a policy take, in seconds, in how many samples, probes and steps.

    Parameters
    ----------
    policy : Together or OneByOne
        How layers are worked on.
    most_seconds : float, default=SECONDS_OF_MEASURING
        About how long measuring may take.
    """

    def __init__(self, policy, most_seconds=SECONDS_OF_MEASURING):
        self.policy, self.problem = policy, policy.problem
        problem, n = policy.problem, policy.problem.n_samples
        count = min(len(problem.blocks), MEASURED_BLOCKS)
        places = np.linspace(0, len(problem.blocks) - 1, count).round().astype(int)
        self.blocks = [problem.blocks[i] for i in places]
        self.ratio = len(problem.blocks) / count
        generator = torch.Generator().manual_seed(policy.settings.seed)
        self._order = torch.randperm(n, generator=generator)
        if not problem.is_separable:
            # No part of the samples has a scalar of its own.
            self.few = self.more = self._measure(n)
            return
        few = self._measure(max(1, min(FEW_MEASURED, n // 4)))
        if few.seconds > 2 * most_seconds:
            # What takes that long on so few is not measured twice.
            self.few = self.more = few
            return
        sizes = [size for size in MOST_MEASURED if size <= max(2 * few.size, n // 2)]
        sizes = [s for s in sizes if few.seconds * s / few.size <= most_seconds]
        self.few, self.more = few, self._measure(min(n, sizes[0] if sizes else 2 * few.size))

    def total(self, n, n_probes, n_steps, is_exact):
        """Estimate seconds of all layers' spectra.

        Parameters
        ----------
        n : int
            Samples.
        n_probes, n_steps : int
            Of Lanczos.
        is_exact : callable
            Takes a block; says whether its spectrum is to be exact.
        """
        each = (self.of_layer(b, is_exact(b), n, n_probes, n_steps) for b in self.problem.blocks)
        return self.setup(n) + sum(each)

    def setup(self, n):
        """Estimate seconds of gaps, factors and graphs of all layers on n samples."""
        return self.ratio * self._line(self.few.setup, self.more.setup, n)

    def of_layer(self, block, is_exact, n=None, n_probes=None, n_steps=None):
        """Estimate seconds of one layer's spectrum, once it is set up."""
        settings, way = self.policy.settings, self.policy.ways[block.name]
        n = self.problem.n_samples if n is None else n
        if is_exact and way.by_factor:
            side = max(1, min(block.n_params, n * self.policy.rank))
            return self._gram(block, n) + eigenvalue_seconds(side)
        product = self._product(block, n)
        if is_exact:
            at_once = max(1, way.n_vectors if isinstance(way, DenseWay) else N_VECTORS)
            n_calls = block.n_params / at_once
            return product * n_calls * _share(at_once) + eigenvalue_seconds(block.n_params)
        n_probes = settings.n_probes if n_probes is None else n_probes
        n_steps = min(settings.n_lanczos_steps if n_steps is None else n_steps, way.side)
        steps = product * n_steps * _share(n_probes)
        return steps + 4 * n_probes * n_steps**2 * way.side * _seconds_per_operation()

    def _product(self, block, n):
        """Estimate seconds of a product of a few vectors with a layer's matrix on n samples."""
        names = [b.name for b in self.blocks]
        place = self.problem.blocks.index(block)
        nearest = min(names, key=lambda name: abs(self._place(name) - place))
        name = block.name if block.name in names else nearest
        if name not in self.few.products or name not in self.more.products:
            return 0.0
        if name in self.more.formed:
            return self.more.products[name] * (n / self.more.size) ** 2
        return self._line(self.few.products[name], self.more.products[name], n)

    def _place(self, name):
        """Place of a layer in the depth."""
        return next(i for i, block in enumerate(self.problem.blocks) if block.name == name)

    def _gram(self, block, n):
        """Estimate seconds of forming the smaller one of a factor's products with itself."""
        found, n_all = self.more.operations, self.problem.n_samples
        operations = found.get(block.name)
        if operations is None:
            operations = sum(found.values()) / len(found) if found else 0.0
        n_rows = n_all * self.policy.rank
        operations = min(operations, n_rows * float(block.n_params) ** 2)
        return operations * (n / n_all) ** 2 * _seconds_per_operation()

    def _line(self, few, more, n):
        """Carry seconds forward as ``a + b n``."""
        if self.more.size == self.few.size:
            return max(few, more) * n / self.more.size
        slope = max(0.0, more - few) / (self.more.size - self.few.size)
        start = max(0.0, few - slope * self.few.size) if slope else max(few, more)
        return start + slope * n

    def _measure(self, size):
        """Set up the measured layers on a few samples, and time a product of each."""
        found, settings = _Sample(size), self.policy.settings
        part = self.problem.with_blocks(self.blocks)
        if size < part.n_samples:
            part = part.restrict(self._order[:size].sort().values)
            part = part.cut(self.problem.samples.largest_chunk)
        if self.policy.is_bounded:
            policy = OneByOne(part, settings, part.footprint, self.policy.profiles)
        else:
            policy = Together(part, settings)
        generator = torch.Generator().manual_seed(settings.seed)
        start = time.perf_counter()
        for operators, _ in policy.batches(generator):
            found.setup += time.perf_counter() - start
            for name in list(operators):
                self._time_product(found, name, operators.pop(name))
            start = time.perf_counter()
        return found

    def _time_product(self, found, name, operator):
        """Time a product with an operator, in the form in which Lanczos would have it."""
        settings, way = self.policy.settings, self.policy.ways[name]
        start = time.perf_counter()
        if isinstance(operator, FactorOperator):
            found.operations[name] = operator.factor.gram_operations(self.problem.n_samples)
            if way.by_factor and not way.is_exact and way.side < operator.block.n_params:
                operator = operator.among_outputs()
        if self.policy.condenses and not way.is_exact:
            operator = operator.condensed(settings.n_products)
            if isinstance(getattr(operator, "factor", None), FormedGram):
                found.formed.add(name)
        first = operator.block.parameters[0]
        vectors = torch.ones(N_VECTORS, operator.size, dtype=first.dtype, device=first.device)
        operator.products(vectors)  # what is recorded is kept
        found.setup += time.perf_counter() - start
        start = time.perf_counter()
        operator.products(vectors)
        found.products[name] = time.perf_counter() - start
        # It was counted twice: once as it was recorded.
        found.setup = max(0.0, found.setup - found.products[name])


def _share(n_vectors):
    """Seconds of a product of so many vectors at once, in units of that of a few of them."""
    return (1 + 2 * n_vectors / N_VECTORS) / 3


def eigenvalue_seconds(side):
    """Estimate seconds of the eigenvalues of a symmetric matrix."""
    return _eigenvalue_seconds() * (side / SIDE_TIMED) ** POWER_OF_SIDE


@lru_cache(maxsize=1)
def _eigenvalue_seconds():
    """Time the eigenvalues of one symmetric matrix."""
    root = np.random.default_rng(0).standard_normal((SIDE_TIMED, SIDE_TIMED))
    matrix = root @ root.T
    start = time.perf_counter()
    np.linalg.eigvalsh(matrix)
    return time.perf_counter() - start


@lru_cache(maxsize=1)
def _seconds_per_operation():
    """Time a multiplication of a matrix product in float64."""
    square = torch.ones(SIDE_TIMED, SIDE_TIMED, dtype=torch.float64)
    square @ square
    start = time.perf_counter()
    square @ square
    return (time.perf_counter() - start) / (2 * SIDE_TIMED**3)
