"""What a few samples show of each layer: its gap, and the sizes of its factor."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hessdiag.curvature import capture_bytes, dense_bytes, held_bytes
from hessdiag.curvature.factors import MAX_KEPT_ENTRIES, OuterFactor
from hessdiag.spectra._gaps import few_samples, measure_gaps


@dataclass(frozen=True)
class LayerProfile:
    """What is known of a layer before anything large is computed.

    `gap` is None where it was not measured; `by_factor` says whether the layer's matrix is known by
    its factor. `held`, `lean` and `capture` are the bytes that takes for every sample: as it is, in
    the form that takes least, and at the peak of building it. `plain_width` is the width of a
    linear layer that is called once on one vector per sample, else 0.
    """

    gap: float | None = None
    by_factor: bool = False
    held: float = 0.0
    lean: float = 0.0
    capture: float = 0.0
    plain_width: int = 0
    prefers_dense: bool = False


def profile_layers(problem, settings):
    """Return {name: LayerProfile} from a few samples, drawn at random.

    All layers at once, or one at a time where memory is bounded.
    """
    if problem.outputs is None:
        return {block.name: LayerProfile() for block in problem.blocks}
    generator = torch.Generator().manual_seed(settings.seed)
    few = few_samples(problem, generator)
    at_once = [few.blocks] if settings.max_memory is None else [[block] for block in few.blocks]
    profiles = {}
    for blocks in at_once:
        factors = few.factors(weighted=True, blocks=blocks)
        gaps = {}
        known = [block for block in blocks if factors[block.name] is not None]
        if settings.curvature == "hessian" and known:
            gaps = measure_gaps(few, known, generator).gaps
        for block in blocks:
            factor, gap = factors.pop(block.name), gaps.get(block.name)
            profiles[block.name] = _profile(problem, few, block, factor, gap)
    return profiles


def _profile(problem, few, block, factor, measured):
    """Return the profile of one layer of a problem on a few of its samples."""
    if factor is None:
        return LayerProfile()
    gap, by_factor = None, True
    if measured is not None:
        gap, by_factor = measured.size, measured.clearly_coincides
    held = held_bytes(factor) / few.n_samples
    entries = problem.n_samples * factor.n_outputs * block.n_params
    return LayerProfile(
        gap,
        by_factor,
        held,
        min(held, dense_bytes(factor) / few.n_samples),
        capture_bytes(problem, block, problem.outputs.rank, held),
        factor.width if isinstance(factor, OuterFactor) and factor.is_plain else 0,
        factor.prefers_dense
        and (not isinstance(factor, OuterFactor) or entries < MAX_KEPT_ENTRIES),
    )
