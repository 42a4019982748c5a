"""What policies for memory have in common: what is known in advance, and what all layers share."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hessdiag.spectra._gaps import FEW_SAMPLES
from hessdiag.spectra._profiles import profile_layers
from hessdiag.spectra._ways import LayerSizes

if TYPE_CHECKING:
    from hessdiag.curvature import LocalCurvature

# Passes hold more than what graphs save: as measured, up to a quarter.
SPARE = 1.25
#: Share of a bound that is left to the C library's heap, which gives freed memory back with some
#: delay, and to the buffers of matrix products.
RESERVE = 0.2


class Policy:
    """What the policies have in common.

    A policy has `problem` and `settings`, `profiles` of the layers, and says in advance, from these
    alone, the `ways` of all layers, `bytes_of` what each adds at its own peak, and the `peak` of
    all. `batches` yields operators as they are ready, with what is known of their gaps; `way_of`
    gives the way of one; `condenses` says whether factors may take their cheapest form first.
    """

    def __init__(self, problem, settings):
        self.problem, self.settings = problem, settings

    @functools.cached_property
    def footprint(self):
        """What is held in memory throughout, and what every sample adds; chunks do not matter."""
        return self.problem.footprint

    @functools.cached_property
    def profiles(self):
        """What a few samples show of the layers."""
        return profile_layers(self.problem, self.settings)

    @property
    def rank(self):
        """Columns of the output Hessians' roots; 0 where there are none."""
        return 0 if self.problem.outputs is None else self.problem.outputs.rank

    @property
    def largest_chunk(self):
        """Count the samples that pass through the net at once, at most."""
        if self.problem.is_separable or self.problem.is_layerwise:
            return self.problem.samples.largest_chunk
        return self.problem.n_samples

    @property
    def held(self):
        """Bytes that are held throughout."""
        held = self.footprint.held
        if self.problem.is_layerwise:
            held += self.problem.n_samples * self.footprint.first
        return held

    @property
    def start(self):
        """Bytes at the peak of preparing the problem, and of profiling its layers."""
        found = self.footprint
        few = min(FEW_SAMPLES, self.problem.n_samples)
        profiling = max(p.capture for p in self.profiles.values()) + found.second
        return max(found.start, self.held + SPARE * few * profiling)

    def sizes(self, block, lean=False):
        """Return what the cost of a layer's spectrum depends on, by its profile."""
        profile, problem = self.profiles[block.name], self.problem
        kept = problem.n_samples * (profile.lean if lean else profile.held)
        if len(problem.chunks) > 1:
            kept *= 2  # the chunks' parts, and what they are joined to
        return LayerSizes(
            block.n_params,
            problem.n_samples * self.rank,
            profile.by_factor,
            kept,
            problem.itemsize,
            problem.outputs is None or problem.outputs.convex,
            profile.plain_width > 0,
            profile.prefers_dense and not lean,
        )


def check_factors(problem: LocalCurvature, factors: Mapping[str, Any]) -> None:
    """Refuse Gauss-Newton matrices of layers whose Jacobian does not fit in memory.

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with.
    factors : dict of str to (Factor or None)
        Factors by layer name; None where one was not built.

    Raises
    ------
    ValueError
        If a layer has none.
    """
    for block in problem.blocks:
        if block.name in factors and factors[block.name] is None:
            rank = 0 if problem.outputs is None else problem.outputs.rank
            size = problem.n_samples * rank * block.n_params
            raise ValueError(
                f"Expected a Jacobian of layer {block.name!r} ({block.kind}) that fits in memory, "
                f"found one of {size:.2g} entries. Pass max_samples to look at fewer samples."
            )
