"""How far each layer's Hessian is from its Gauss-Newton matrix: measured, never assumed.

With H = G + R, G the Gauss-Newton matrix and R the residual part, the gap is ``|R v| / |H v|`` for
one random v: 0 where the two matrices coincide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from hessdiag.curvature import pass_operations

if TYPE_CHECKING:
    from hessdiag.curvature import LocalCurvature
    from hessdiag.curvature.network import Block

# Products on all samples that would take more floating-point operations than this, some ten
# seconds' worth, are first taken on a few.
MAX_GAP_OPERATIONS = 2e11
FEW_SAMPLES = 2
# As many as leave next to no part of a net unseen that matters.
MORE_SAMPLES = 32
# Share of the threshold below which a gap on few samples needs no measurement on all.
CLEARLY = 0.5


@dataclass(frozen=True)
class Gap:
    """The gap of one layer: its size, and the threshold below which it is rounding.

    `vector`, `part` and `image` are v, R v and H v, as long as they are kept; H v is None where R v
    is zero.
    """

    size: float
    threshold: float
    vector: torch.Tensor | None = None
    part: torch.Tensor | None = None
    image: torch.Tensor | None = None

    @property
    def coincides(self):
        """Say whether Hessian and Gauss-Newton matrix are the same but for rounding."""
        return self.size <= self.threshold

    @property
    def clearly_coincides(self):
        """Say whether they are the same beyond doubt."""
        return self.size <= CLEARLY * self.threshold

    def beside(self, gauss_newton):
        """Return the gap with H v as the sum of R v and of the Gauss-Newton matrix times v."""
        image = self.part + gauss_newton
        size = relative_size(self.part, image)
        return Gap(size, self.threshold, self.vector, self.part, image)


@dataclass(frozen=True)
class Measured:
    """What was found out about some layers before.

    Parameters
    ----------
    gaps : dict of str to Gap
        Gaps by layer name.
    whole : HessianProducts, LayerProducts or None, default=None
        Products with the Hessians of those layers where ``R v`` is not zero, with what was recorded
        for them.
    factors : dict of str to Factor, default={}
        Weighted factors by layer name, as far as they were built.
    """

    gaps: dict[str, Gap]
    whole: object = None
    factors: dict = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, float]:
        """The sizes of the gaps, {name: float}."""
        return {name: gap.size for name, gap in self.gaps.items()}

    def without_vectors(self) -> Measured:
        """Return what takes next to no memory: sizes and thresholds.

        Returns
        -------
        Measured
            The same gaps, without vectors, products and factors.
        """
        return Measured({n: Gap(gap.size, gap.threshold) for n, gap in self.gaps.items()})


def coincidence_threshold(epsilon):
    """Relative gap below which two matrices are the same but for so large a rounding."""
    return 1e-6 if epsilon < torch.finfo(torch.float32).eps else 1e-4


def measure_gaps(
    problem: LocalCurvature, blocks: Sequence[Block], generator: torch.Generator
) -> Measured:
    """Measure the gaps of blocks on all samples of a problem, by passes through the net alone.

    Parameters
    ----------
    problem : LocalCurvature
        What is to be computed with.
    blocks : sequence of Block
        The layers.
    generator : torch.Generator
        What vectors are drawn with.

    Returns
    -------
    Measured
        Gaps with their vectors, and the products that they took.
    """
    vectors = random_vectors(blocks, generator)
    parts = problem.residual_products(blocks).products(vectors)
    curved = [block for block in blocks if parts[block.name].any()]
    whole, images = None, {}
    if curved:
        whole = problem.whole_products(curved)
        images = whole.products({block.name: vectors[block.name] for block in curved})
    gaps = {}
    for name, part in parts.items():
        image = images.get(name)
        size = 0.0 if image is None else relative_size(part, image)
        threshold = coincidence_threshold(max(problem.epsilon, torch.finfo(part.dtype).eps))
        gaps[name] = Gap(size, threshold, vectors[name], part, image)
    return Measured(gaps, whole)


def few_samples(problem, generator):
    """Return a problem on a few of its samples, drawn at random, if it has many more."""
    if problem.n_samples <= 2 * FEW_SAMPLES:
        return problem
    return problem.restrict(torch.randperm(problem.n_samples, generator=generator)[:FEW_SAMPLES])


def gaps_on_few(problem, generator):
    """Measure the gap of every layer on a few samples: {name: Gap}."""
    few = few_samples(problem, generator)
    return measure_gaps(few, few.blocks, generator).gaps


def clear_gaps(problem, generator):
    """Measure gaps on a few samples: {name: Gap} of layers that are clearly coincident.

    A layer may do nothing on so few, as an expert that none of them is sent to; so it is looked at
    on more again, which draws nothing from the generator.
    """
    gaps = gaps_on_few(problem, generator)
    blocks = [block for block in problem.blocks if gaps[block.name].clearly_coincides]
    own = torch.Generator().manual_seed(0)
    part = problem
    if asks_few_first(problem) and problem.n_samples > MORE_SAMPLES:
        part = problem.restrict(torch.randperm(problem.n_samples, generator=own)[:MORE_SAMPLES])
    if part.n_samples <= 2 * FEW_SAMPLES or not blocks:
        return {block.name: gaps[block.name] for block in blocks}
    again = measure_gaps(part, blocks, own).gaps
    return {name: gaps[name] for name, gap in again.items() if gap.coincides}


def asks_few_first(problem):
    """Say whether products on all samples take so long that a few samples are asked first."""
    if 3 * len(problem.blocks) * pass_operations(problem) <= MAX_GAP_OPERATIONS:
        return False
    return problem.n_samples > 2 * FEW_SAMPLES


def relative_size(part, whole):
    """Size of a part beside the whole's; 0 where there is no part, NaN where undefined."""
    size, part = float(whole.norm()), float(part.norm())
    if size == 0:
        return 0.0 if part == 0 else math.inf
    return part / size


def random_vectors(blocks, generator):
    """Draw one random vector (1, p) for every block: {name: v}."""
    vectors = {}
    for block in blocks:
        first = block.parameters[0]
        v = torch.randn(1, block.n_params, generator=generator, dtype=torch.float64)
        vectors[block.name] = v.to(device=first.device, dtype=first.dtype)
    return vectors
