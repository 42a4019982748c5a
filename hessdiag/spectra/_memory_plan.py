"""How the spectra of all layers are come by within the memory given, and what that takes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch

from hessdiag.curvature import dense_bytes, held_bytes
from hessdiag.curvature.factors import MAX_KEPT_ENTRIES, POSITION_WISE, OuterFactor, find_rule
from hessdiag.curvature.products import COLUMNS_AT_ONCE
from hessdiag.spectra._local_operators import (
    FEW_SAMPLES,
    LocalOperators,
    coincidence_threshold,
    forms_matrices,
    large_enough_for_few,
)
from hessdiag.spectra._ways import (
    DENSE,
    FACTOR,
    LayerSizes,
    Surroundings,
    allowed_ways,
    choose_way,
    ways,
)

__all__ = ["LayerLook", "MemoryPlan", "look_ahead"]

# Passes hold more than what graphs save: as measured, up to a quarter.
SPARE = 1.25
# Share of a bound that is left to the C library's heap, which gives freed memory back with some
# delay, and to the buffers of matrix products.
RESERVE = 0.2


@dataclass(frozen=True)
class LayerLook:
    """What a few samples show of a layer.

    `gap` is None where it was not measured; `by_factor` says whether the layer's matrix is known by
    its factor, `held`, `lean` and `capture` how many bytes that takes for every sample: as it is,
    in the form that takes least, and at the peak of building it.
    """

    gap: float | None = None
    by_factor: bool = False
    held: float = 0.0
    lean: float = 0.0
    capture: float = 0.0
    ruled: bool = True
    plain_width: int = 0


def look_ahead(problem, settings):
    """Return {name: LayerLook} from a few samples, drawn at random, one layer after the other."""
    if problem.outputs is None:
        return {block.name: LayerLook() for block in problem.blocks}
    generator = torch.Generator().manual_seed(settings.seed)
    few = problem
    if problem.n_samples > FEW_SAMPLES:
        drawn = torch.randperm(problem.n_samples, generator=generator)[:FEW_SAMPLES]
        few = problem.restrict(drawn)
    looks = {}
    for block in few.blocks:
        factor = few.factors(weighted=True, blocks=[block])[block.name]
        if factor is None:
            looks[block.name] = LayerLook()
            continue
        gap, by_factor = None, True
        if settings.curvature == "hessian":
            beyond = few.residual_products([block])
            part = LocalOperators([block], {block.name: factor}, few.outputs.signs, beyond)
            gap = part.measure_gaps(generator)[block.name]
            by_factor = gap <= 0.5 * coincidence_threshold(few.working_copy.dtype)
        held = held_bytes(factor) / few.n_samples
        dense = dense_bytes(factor) / few.n_samples
        ruled, n_outputs = _has_rule(block), few.outputs.factors.shape[1]
        capture = 3 * problem.sweep_bytes(block) + held
        if ruled and not isinstance(block.module, POSITION_WISE):
            capture = 3 * problem.sweep_bytes(block) / max(1, few.outputs.rank) + 2 * held
        elif not ruled:
            # Jacobians of all outputs, joined; the vectorized passes that give them.
            wide = n_outputs * block.n_params * factor.dtype.itemsize
            capture = 2 * wide + held + n_outputs * problem.footprint.first
        plain = isinstance(factor, OuterFactor) and factor.is_plain
        looks[block.name] = LayerLook(
            gap, by_factor, held, min(held, dense), capture, ruled, factor.width if plain else 0
        )
    return looks


def _has_rule(block):
    """Say whether a block's factor follows from a closed rule."""
    if block.module is None:
        return False
    pieces = [name.rpartition(".")[2] for name in block.parameter_names]
    return find_rule(block.module, pieces) is not None


class MemoryPlan:
    """The way of every layer, and the bytes that all will take.

    `is_tight` says whether layers are worked on one after the other, in chunks of samples, to keep
    `max_memory`; else they share what they can. `peak` is the most that is held at any time, and
    `bytes_of` what each layer adds to it at its own peak. `groups` are the layers that share graphs
    where memory is tight, with the number of vectors that are multiplied at once.
    """

    def __init__(self, problem, settings):
        self.problem, self.settings = problem, settings
        self.found = problem.footprint
        self.looks = look_ahead(problem, settings)
        self.rank = 0 if problem.outputs is None else problem.outputs.rank
        self.itemsize = problem.working_copy.dtype.itemsize
        self.chunk = self._largest_chunk()
        self.held = self.found.held
        if problem.is_layerwise:
            self.held += problem.n_samples * self.found.first
        few = min(FEW_SAMPLES, problem.n_samples)
        looking = max(look.capture for look in self.looks.values()) + self.found.second
        self.start = max(self.found.start, self.held + SPARE * few * looking)
        self.is_tight = False
        self._in_one_go()
        self.groups = []
        if settings.max_memory is None:
            return
        self.limit = limit = (1 - RESERVE) * settings.max_memory
        if self.peak > limit or len(problem.chunks) > 1:
            self.is_tight = True
            least, name = self._one_by_one()
            may_cut = problem.may_cut and (
                problem.output_values is not None or problem.is_layerwise
            )
            while least > limit and self.chunk > 1 and may_cut:
                problem.cut(self.chunk // 2)
                self.chunk = self._largest_chunk()
                least, name = self._one_by_one()
            if least > limit:
                self._refuse(least, name)
            self._group()
        self.peak /= 1 - RESERVE

    def _largest_chunk(self):
        """Count the samples that pass through the net at once, at most."""
        if self.problem.output_values is None and not self.problem.is_layerwise:
            return self.problem.n_samples
        return max(chunk.n_samples for chunk in self.problem.chunks)

    def sizes(self, block, tight=False):
        """Return what the cost of a layer's spectrum depends on."""
        look, n = self.looks[block.name], self.problem.n_samples
        kept = n * (look.lean if tight else look.held)
        if len(self.problem.chunks) > 1:
            kept *= 2  # the chunks' parts, and what they are joined to
        n_rows = n * self.rank
        convex = self.problem.outputs is None or self.problem.outputs.convex
        plain = look.plain_width > 0
        return LayerSizes(
            block.n_params, n_rows, look.by_factor, kept, self.itemsize, convex, plain
        )

    def _in_one_go(self):
        """Plan for all layers together, no bound set on memory."""
        problem, n = self.problem, self.problem.n_samples
        self.ways = {
            b.name: choose_way(b.name, self.sizes(b), self.settings, Surroundings())
            for b in problem.blocks
        }
        settled = set()
        if self.settings.curvature == "hessian" and self.rank and large_enough_for_few(problem):
            settled = {name for name, look in self.looks.items() if look.by_factor}
        together = [b for b in problem.blocks if b.name not in settled]
        apart = [b for b in problem.blocks if b.name in settled]
        self.bytes_of = {block.name: self._own_bytes(block) for block in problem.blocks}
        peaks = [self.start]
        if apart:
            for group in problem.sweep_groups(apart[::-1], self.settings.max_memory):
                looks = [self.looks[b.name] for b in group]
                building = n * (self.found.first + sum(look.held for look in looks))
                building += n * max(look.capture for look in looks)
                working = max(self.bytes_of[b.name] for b in group)
                peaks.append(self.held + max(building, n * looks[0].held + working))
        if together:
            looks = [self.looks[b.name] for b in together if self._is_captured(b)]
            factors = n * sum(look.held for look in looks)
            most = max((look.capture for look in looks), default=0.0)
            capture = min(self.chunk, n) * (self.found.first + most)
            bent = [b for b in together if not self.looks[b.name].by_factor]
            graphs = 0.0
            if self.settings.curvature == "hessian":
                graphs = self.chunk * self.found.second * (2 if bent and self.rank else 1)
            exact = [self.bytes_of[b.name] for b in together if not self._pending(b)]
            pending = [b for b in together if self._pending(b)]
            by_factor = [self.bytes_of[b.name] for b in pending if self.ways[b.name].by_factor]
            by_graph = [self.bytes_of[b.name] for b in pending if not self.ways[b.name].by_factor]
            if by_graph:
                # Those that share the recording of graphs, chunk by chunk, go together.
                working = sum(by_graph) if len(problem.chunks) > 1 else max(by_graph)
                by_graph = [working + self.settings.n_probes * self.chunk * self.found.first]
            working = max([*by_factor, *by_graph, *exact], default=0.0)
            peaks.append(self.held + factors + max(capture, graphs + working))
        self.peak = max(peaks)

    def _is_captured(self, block):
        """Say whether a layer's factor is built."""
        look = self.looks[block.name]
        return look.by_factor or self._is_formed(look)

    def _is_formed(self, look):
        """Say whether sample-wise Hessians of a linear layer are built."""
        width, n_products = look.plain_width, self.settings.n_products
        return width > 0 and forms_matrices(self.problem.n_samples, width, n_products)

    def _pending(self, block):
        """Say whether a layer goes by Lanczos."""
        return self.ways[block.name].name not in (DENSE, FACTOR)

    def _own_bytes(self, block):
        """Count what a layer's decomposition or basis takes, beside factors and graphs."""
        way, look = self.ways[block.name], self.looks[block.name]
        n, p = self.problem.n_samples, block.n_params
        size = way.bytes - (self.sizes(block).kept if way.by_factor else 0.0)
        if self._pending(block) and way.by_factor and not look.plain_width:
            # Products may be faster with the Jacobian itself, or with what it gives with itself.
            size += min(n * self.rank * p, MAX_KEPT_ENTRIES) * self.itemsize
        elif way.name == DENSE:
            width = look.plain_width
            if self._is_formed(look):
                size += 2 * n * width**2 * self.itemsize
                size += min(COLUMNS_AT_ONCE, width) * self.chunk * self.found.first
            else:
                size += self.problem.vectors_at_once() * self.chunk * self.found.first
        return size

    def _one_by_one(self):
        """Plan for one layer after the other; return the least bound that would do, and why."""
        self.ways, self.bytes_of, least = {}, {}, (self.start, None)
        # The gradient in all layers is kept with its graph.
        n_params = sum(block.n_params for block in self.problem.blocks)
        self.graph = SPARE * self.chunk * self.found.second + n_params * self.itemsize
        for block in self.problem.blocks:
            look = self.looks[block.name]
            capture = self.chunk * (self.found.first + look.capture)
            around = Surroundings(
                capture=capture + self.sizes(block, True).kept,
                graph=self.graph,
                vector=SPARE * self.chunk * self.found.first,
                limit=self.limit - self.held,
            )
            sizes = self.sizes(block, True)
            # With a bound of nothing, every way is as small as can be.
            options = ways(sizes, self.settings, dataclasses.replace(around, limit=0.0))
            smallest = min(way.bytes for way in allowed_ways(options, self.settings))
            least = max(least, (self.held + smallest, block.name), key=lambda pair: pair[0])
            self.ways[block.name] = way = choose_way(block.name, sizes, self.settings, around)
            self.bytes_of[block.name] = way.bytes
        self.peak = max(self.start, self.held + max(self.bytes_of.values()))
        return least

    def _group(self):
        """Put layers together whose products share the recording of graphs, as many as fit."""
        k_all, vectors = self.settings.n_probes, SPARE * self.chunk * self.found.first
        size, room = math.inf, self.limit - self.held
        for block in self.problem.blocks:
            way = self.ways[block.name]
            if way.by_factor or way.name == DENSE:
                continue
            # What passes through the net at once is of one layer.
            k = way.n_vectors
            own = way.bytes - self.graph - k * vectors
            if size + own > room or k < k_all:
                self.groups.append(([], k))
                size = self.graph + k * vectors
            self.groups[-1][0].append(block.name)
            size += own
            self.peak = max(self.peak, self.held + size)
            if k < k_all:
                size = math.inf

    def _refuse(self, least, name):
        """Say what would do."""
        limit, settings = self.settings.max_memory, self.settings
        least /= 1 - RESERVE
        what = "the net, its data, its outputs and a first look at its layers"
        if name is not None:
            what += f", and layer {name!r} beside them"
        advice = ["Raise max_memory", "pass max_samples to look at fewer samples"]
        if self.chunk > 1 and len(self.problem.chunks) > 1:
            advice.append(f"a batch_size below {self.chunk}")
        if settings.n_lanczos_steps > 10:
            advice.append("fewer n_lanczos_steps")
        raise ValueError(
            f"Expected max_memory of at least {least:.0f} bytes ({least / 2**20:.1f} MiB), which "
            f"{what} take at the least, found {limit:.0f} ({limit / 2**20:.1f} MiB). "
            f"{', '.join(advice[:-1])} or {advice[-1]}."
        )
