"""All layers together: they share passes, graphs and factors as far as memory allows."""

from __future__ import annotations

import functools

from hessdiag.curvature import held_bytes, product_operations, sweep_groups, vectors_at_once
from hessdiag.curvature.factors import MAX_KEPT_ENTRIES, OuterFactor
from hessdiag.curvature.products import COLUMNS_AT_ONCE
from hessdiag.spectra._gaps import asks_few_first, clear_gaps, gaps_on_few, measure_gaps
from hessdiag.spectra._hessian_operators import forms_matrices, hessian_operators
from hessdiag.spectra._operators import FactorOperator, LinearHessianOperator, NetOperator
from hessdiag.spectra._policy import RESERVE, Policy, check_factors
from hessdiag.spectra._ways import DenseWay, LayerSizes, Surroundings, choose_way


class Together(Policy):
    """Layers share what they can.

    Those whose Hessians on a few samples are Gauss-Newton matrices beyond doubt go by factors, one
    after the other, where products on all samples would take long.
    """

    condenses = True
    is_bounded = False

    def batches(self, generator, measured=None):
        """Yield ({name: operator}, {name: size of its gap}) as they are ready."""
        problem, settings = self.problem, self.settings
        if problem.outputs is None:
            yield self._by_net(generator, measured)
            return
        blocks = problem.blocks
        if settings.curvature == "ggn":
            factors = problem.factors(weighted=True)
            check_factors(problem, factors)
            signs = problem.outputs.signs
            operators = {b.name: FactorOperator(b, factors.pop(b.name), signs) for b in blocks}
            yield operators, {}
            return
        if measured is None and asks_few_first(problem):
            done = set()
            for operators, sizes in self._clear_ones(generator):
                done |= set(operators)
                yield operators, sizes
            blocks = [block for block in blocks if block.name not in done]
        if not blocks:
            return
        if measured is None:
            measured = measure_gaps(problem, blocks, generator)
        batch = hessian_operators(problem, blocks, settings.n_products, measured)
        # Vectors and graphs that only gaps were measured with are let go.
        del measured
        yield batch

    def _by_net(self, generator, measured):
        """Return operators by passes through the net, and gaps as far as there are any."""
        problem, settings, sizes = self.problem, self.settings, {}
        if measured is not None:
            sizes = measured.sizes
        elif settings.curvature == "hessian" and problem.is_separable:
            sizes = {name: gap.size for name, gap in gaps_on_few(problem, generator).items()}
        source = problem.products(settings.curvature)
        return {b.name: NetOperator(b, source) for b in problem.blocks}, sizes

    def _clear_ones(self, generator):
        """Yield the operators of layers whose Hessian a few samples show to be Gauss-Newton."""
        problem = self.problem
        sizes = {name: gap.size for name, gap in clear_gaps(problem, generator).items()}
        blocks = {block.name: block for block in problem.blocks if block.name in sizes}
        # Late layers are small: they are done and gone before the large early ones come.
        order = list(blocks.values())[::-1]
        for name, factor in problem.each_factor(order, True, self.settings.max_memory):
            if factor is None:
                continue
            operators = {name: FactorOperator(blocks[name], factor, problem.outputs.signs)}
            del factor
            yield operators, sizes
            del operators

    def way_of(self, operator):
        """Return the way to an operator's spectrum."""
        block, problem = operator.block, self.problem
        sizes = LayerSizes(block.n_params, 0, False, itemsize=problem.itemsize)
        if isinstance(operator, FactorOperator):
            factor = operator.factor
            sizes = LayerSizes(
                block.n_params,
                operator.n_rows,
                True,
                held_bytes(factor),
                problem.itemsize,
                operator.signs is None,
                isinstance(factor, OuterFactor) and factor.is_plain,
                factor.prefers_dense,
            )
        return self._choose(block, sizes, isinstance(operator, LinearHessianOperator))

    def _choose(self, block, sizes, is_formed):
        """Choose a way, no bound set on memory."""
        around = Surroundings(
            most_vectors=vectors_at_once(self.problem),
            product=0.0 if is_formed else product_operations(self.problem),
        )
        return choose_way(block.name, sizes, self.settings, around)

    @functools.cached_property
    def ways(self):
        """The ways of all layers, by their profiles."""
        return {
            b.name: self._choose(b, self.sizes(b), self._is_formed(self.profiles[b.name]))
            for b in self.problem.blocks
        }

    @functools.cached_property
    def bytes_of(self):
        """What each layer's decomposition or basis takes, beside factors and graphs."""
        return {block.name: self._own_bytes(block) for block in self.problem.blocks}

    @property
    def peak(self):
        """Bytes at the highest; with what is left to the C library, where there is a bound."""
        peak = max([self.start, *self._peaks()])
        return peak if self.settings.max_memory is None else peak / (1 - RESERVE)

    def _peaks(self):
        """List the peaks of the layers that go one after the other, and of all others."""
        problem, clear = self.problem, set()
        if self.settings.curvature == "hessian" and self.rank and asks_few_first(problem):
            clear = {name for name, profile in self.profiles.items() if profile.by_factor}
        apart = [block for block in problem.blocks if block.name in clear]
        together = [block for block in problem.blocks if block.name not in clear]
        peaks = []
        if apart:
            limit = self.settings.max_memory
            groups = sweep_groups(problem, apart[::-1], self.rank, limit)
            peaks += [self._peak_of_group(group) for group in groups]
        if together:
            peaks.append(self._peak_together(together))
        return peaks

    def _peak_of_group(self, blocks):
        """Count what layers take whose sweeps are held together, but not their factors."""
        n, profiles = self.problem.n_samples, [self.profiles[b.name] for b in blocks]
        building = n * (self.footprint.first + sum(p.held for p in profiles))
        building += n * max(p.capture for p in profiles)
        working = max(self.bytes_of[b.name] for b in blocks)
        return self.held + max(building, n * profiles[0].held + working)

    def _peak_together(self, blocks):
        """Count what layers take whose factors and graphs are held together."""
        problem, found, chunk = self.problem, self.footprint, self.largest_chunk
        captured = [self.profiles[b.name] for b in blocks if self._is_captured(b)]
        factors = problem.n_samples * sum(p.held for p in captured)
        most = max((p.capture for p in captured), default=0.0)
        capture = min(chunk, problem.n_samples) * (found.first + most)
        by_net = [b for b in blocks if not self.profiles[b.name].by_factor]
        graphs = 0.0
        if self.settings.curvature == "hessian":
            graphs = chunk * found.second * (2 if by_net and self.rank else 1)
        exact = [self.bytes_of[b.name] for b in blocks if self.ways[b.name].is_exact]
        pending = [b for b in blocks if not self.ways[b.name].is_exact]
        by_factor = [self.bytes_of[b.name] for b in pending if self.ways[b.name].by_factor]
        by_graph = [self.bytes_of[b.name] for b in pending if not self.ways[b.name].by_factor]
        if by_graph:
            # Those that share the recording of graphs, chunk by chunk, go together.
            working = sum(by_graph) if len(problem.chunks) > 1 else max(by_graph)
            by_graph = [working + self.settings.n_probes * chunk * found.first]
        working = max([*by_factor, *by_graph, *exact], default=0.0)
        return self.held + factors + max(capture, graphs + working)

    def _is_captured(self, block):
        """Say whether a layer's factor is built."""
        profile = self.profiles[block.name]
        return profile.by_factor or self._is_formed(profile)

    def _is_formed(self, profile):
        """Say whether sample-wise Hessians of a linear layer are built."""
        width, n_products = profile.plain_width, self.settings.n_products
        return width > 0 and forms_matrices(self.problem.n_samples, width, n_products)

    def _own_bytes(self, block):
        """Count what a layer's decomposition or basis takes, beside factors and graphs."""
        way, profile = self.ways[block.name], self.profiles[block.name]
        problem, n = self.problem, self.problem.n_samples
        size = way.bytes - (self.sizes(block).kept if way.by_factor else 0.0)
        if not way.is_exact and way.by_factor and not profile.plain_width:
            # Products may be faster with the Jacobian itself, or with what it gives with itself.
            size += min(n * self.rank * block.n_params, MAX_KEPT_ENTRIES) * problem.itemsize
        elif isinstance(way, DenseWay):
            width, chunk = profile.plain_width, self.largest_chunk
            first = self.footprint.first
            if self._is_formed(profile):
                size += 2 * n * width**2 * problem.itemsize
                size += min(COLUMNS_AT_ONCE, width) * chunk * first
            else:
                size += vectors_at_once(problem) * chunk * first
        return size
