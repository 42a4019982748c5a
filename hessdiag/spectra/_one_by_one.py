"""One layer after the other, within a bound on memory: data in chunks, few vectors at once."""

from __future__ import annotations

import dataclasses
import math

from hessdiag.curvature import product_operations
from hessdiag.curvature.network import give_back_freed
from hessdiag.spectra._gaps import gaps_on_few, measure_gaps
from hessdiag.spectra._operators import FactorOperator, NetOperator
from hessdiag.spectra._policy import RESERVE, SPARE, Policy, check_factors
from hessdiag.spectra._ways import DenseWay, Surroundings, allowed_ways, choose_way, ways


class OneByOne(Policy):
    """Layers keep a bound: each by its smallest way that fits, in chunks that are small enough.

    `groups` are the layers that share graphs, as many as fit.
    """

    condenses = False
    is_bounded = True

    def __init__(self, problem, settings, footprint, profiles):
        super().__init__(problem, settings)
        self.footprint, self.profiles = footprint, profiles
        self.limit = (1 - RESERVE) * settings.max_memory
        least, name = self._plan()
        may_cut = problem.may_cut and (problem.is_separable or problem.is_layerwise)
        while least > self.limit and self.largest_chunk > 1 and may_cut:
            self.problem = self.problem.cut(self.largest_chunk // 2)
            least, name = self._plan()
        if least > self.limit:
            self._refuse(least, name)
        self.groups, most = self._group()
        self.peak = max(self._peak, most) / (1 - RESERVE)

    def batches(self, generator, measured=None):
        """Yield ({name: operator}, {name: size of its gap}) as they are ready."""
        problem, settings = self.problem, self.settings
        sizes = self._gap_sizes(generator, measured)
        give_back_freed()
        by_factor = [b for b in problem.blocks if self.ways[b.name].by_factor]
        # Late layers are small: they are done and gone before the large early ones come.
        for block in by_factor[::-1]:
            factors = problem.factors(weighted=True, blocks=[block], lean=True)
            check_factors(problem, factors)
            factor = factors.pop(block.name)
            operators = {block.name: FactorOperator(block, factor, problem.outputs.signs)}
            del factor
            yield operators, sizes
            del operators
            give_back_freed()
        rest = {b.name: b for b in problem.blocks if not self.ways[b.name].by_factor}
        if not rest:
            return
        source = problem.products(settings.curvature, list(rest.values()))
        for name, block in rest.items():
            if isinstance(self.ways[name], DenseWay):
                yield {name: NetOperator(block, source)}, sizes
                give_back_freed()
        for names in self.groups:
            yield {name: NetOperator(rest[name], source) for name in names}, sizes
            give_back_freed()

    def _gap_sizes(self, generator, measured):
        """Return {name: gap}: those that are known, or measured where a few samples leave doubt."""
        problem = self.problem
        if measured is not None:
            return measured.sizes
        sizes = {name: p.gap for name, p in self.profiles.items() if p.gap is not None}
        if problem.outputs is not None:
            open_ones = [
                block
                for block in problem.blocks
                if self.profiles[block.name].gap and not self.profiles[block.name].by_factor
            ]
            if open_ones:
                sizes |= measure_gaps(problem, open_ones, generator).sizes
        elif self.settings.curvature == "hessian" and problem.is_separable:
            sizes = {name: gap.size for name, gap in gaps_on_few(problem, generator).items()}
        return sizes

    def way_of(self, operator):
        """Return the way to an operator's spectrum, as planned."""
        return self.ways[operator.block.name]

    def _plan(self):
        """Choose the way of every layer; return the least bound that would do, and why."""
        problem, found = self.problem, self.footprint
        chunk, held = self.largest_chunk, self.held
        self.ways, self.bytes_of, least = {}, {}, (self.start, None)
        # The gradient in all layers is kept with its graph.
        n_params = sum(block.n_params for block in problem.blocks)
        self.graph = SPARE * chunk * found.second + n_params * problem.itemsize
        for block in problem.blocks:
            name, sizes = block.name, self.sizes(block, lean=True)
            around = Surroundings(
                capture=chunk * (found.first + self.profiles[name].capture) + sizes.kept,
                graph=self.graph,
                vector=SPARE * chunk * found.first,
                limit=self.limit - held,
                product=product_operations(problem),
            )
            # With a bound of nothing, every way is as small as can be.
            options = ways(sizes, self.settings, dataclasses.replace(around, limit=0.0))
            allowed = allowed_ways(options, self.settings, around.product)
            smallest = min(way.bytes for way in allowed)
            least = max(least, (held + smallest, name), key=lambda pair: pair[0])
            self.ways[name] = way = choose_way(name, sizes, self.settings, around)
            self.bytes_of[name] = way.bytes
        self._peak = max(self.start, held + max(self.bytes_of.values()))
        return least

    def _group(self):
        """Put layers together that share graphs, as many as fit; return the most they take."""
        k_all, vectors = self.settings.n_probes, SPARE * self.largest_chunk
        vectors *= self.footprint.first
        groups, size, room, most = [], math.inf, self.limit - self.held, 0.0
        for block in self.problem.blocks:
            way = self.ways[block.name]
            if way.by_factor or isinstance(way, DenseWay):
                continue
            # What passes through the net at once is of one layer.
            k = way.n_vectors
            own = way.bytes - self.graph - k * vectors
            if size + own > room or k < k_all:
                groups.append([])
                size = self.graph + k * vectors
            groups[-1].append(block.name)
            size += own
            most = max(most, self.held + size)
            if k < k_all:
                size = math.inf
        return groups, most

    def _refuse(self, least, name):
        """Say what would do."""
        limit, settings = self.settings.max_memory, self.settings
        least /= 1 - RESERVE
        what = "the net, its data, its outputs and a first profile of its layers"
        if name is not None:
            what += f", and layer {name!r} beside them"
        advice = ["Raise max_memory", "pass max_samples to look at fewer samples"]
        if self.largest_chunk > 1 and len(self.problem.chunks) > 1:
            advice.append(f"a batch_size below {self.largest_chunk}")
        if settings.n_lanczos_steps > 10:
            advice.append("fewer n_lanczos_steps")
        raise ValueError(
            f"Expected max_memory of at least {least:.0f} bytes ({least / 2**20:.1f} MiB), which "
            f"{what} take at the least, found {limit:.0f} ({limit / 2**20:.1f} MiB). "
            f"{', '.join(advice[:-1])} or {advice[-1]}."
        )
