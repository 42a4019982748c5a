"""What of an examination is rounding, and how the context says so."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from hessdiag.curvature import Resolution, measure_resolution
from hessdiag.curvature.network import sample_indices

# Samples that are asked first whether the loss still has derivatives, where its Hessians in the
# outputs are not formed.
FIRST_SAMPLES = 64
# Share of first derivatives that is rounding, and of second ones by an upper bound of it, from
# which on they say nothing.
OF_RESIDUALS, OF_CURVATURE = 0.1, 1.0
# Rounding that a report is to mention.
ROUGH = 1e-3


@dataclass(frozen=True)
class Rounding:
    """Digits of a problem's numbers.

    Parameters
    ----------
    resolution : Resolution
        Of outputs, and of their derivatives in each layer.
    of_residuals, of_curvature : bool, default=False
        Whether the loss's first, and second, derivatives in the outputs are rounding.
    """

    resolution: Resolution = field(default_factory=Resolution)
    of_residuals: bool = False
    of_curvature: bool = False


def rounding_of(problem):
    """Measure the rounding of a problem whose samples are separate."""
    if not problem.is_separable:
        return Rounding()
    resolution = measure_resolution(problem)
    parts, few = [problem], sample_indices(problem.n_samples, FIRST_SAMPLES, 0)
    if few is not None and problem.outputs is None:
        parts.insert(0, problem.restrict(few))
    for part in parts:
        first, second = part.output_function.rounding(resolution.outputs)
        found = Rounding(resolution, first > OF_RESIDUALS, second > OF_CURVATURE)
        if not (found.of_residuals or found.of_curvature):
            break
    return found


def note_rounding(rounding, problem, context):
    """Write in the context what is rounding."""
    precision = str(problem.precision).removeprefix("torch.")
    if rounding.of_residuals or rounding.of_curvature:
        order, where = "first", precision
        if rounding.of_curvature:
            order, where = "second", str(problem.output_function.precision).removeprefix("torch.")
        context["statistics_missing"] = (
            f"the net fits its samples so closely that the loss's {order} derivatives in the "
            f"outputs are rounding in {where}"
        )
    sizes = rounding.resolution
    worst = max(sizes.layers, key=sizes.layers.get, default=None)
    if problem.own_rounding > ROUGH:
        context["rounding"] = (
            "in the precision that it was trained in, rounding moves the net's outputs by "
            f"{problem.own_rounding:.2g} of their size, which is left out here. Scale the inputs, "
            "as sklearn.preprocessing.StandardScaler does, and train again."
        )
    elif sizes.of_all > ROUGH:
        what, size = "outputs", sizes.outputs
        if worst is not None and sizes.layers[worst] > size:
            what, size = f"derivatives in layer {worst!r}", sizes.layers[worst]
        remedy = "Scale the inputs, as sklearn.preprocessing.StandardScaler does, and train again."
        if problem.working_copy.dtype == torch.float32:
            remedy = "Pass dtype='float64'."
        context["rounding"] = (
            f"in {precision}, rounding moves {what} by {size:.2g} of their size, and with them "
            f"spectra and statistics. {remedy}"
        )
