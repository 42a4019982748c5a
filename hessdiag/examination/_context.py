"""What a user knows of a net and its data without any curvature."""

from __future__ import annotations

import math

import torch

from hessdiag.examination._null_loss import null_loss
from hessdiag.examination._task import Task

# A best constant output whose loss is below this share of another's is right for all samples.
NOTHING_LEFT = 1e-6
# Rounding that a report is to mention, relative to the size of what is rounded.
ROUGH = 1e-3


def context_of(problem):
    """Return sizes, loss, error, null loss, task and criterion of a problem.

    What is not known is NaN, and the task "unknown"; where factors are not to be had,
    ``statistics_missing`` says why.
    """
    blocks = problem.blocks
    context = {
        "n_samples": problem.n_samples,
        "n_outputs": math.nan,
        "n_params": sum(block.n_params for block in blocks),
        "n_layers": len(blocks),
        "loss": math.nan,
        "error": math.nan,
        "null_loss": math.nan,
        "task": "unknown",
        "criterion": problem.scalar.name,
    }
    if problem.why_whole is not None:
        context["statistics_missing"] = problem.why_whole
    scalar_at = problem.output_function or problem.seen
    per_sample = problem.n_samples if _sums(problem) else 1
    with torch.no_grad():
        if problem.output_function is None:
            context["loss"] = float(problem.whole_scalar()) / per_sample
        else:
            flat = problem.output_values.reshape(problem.n_samples, -1)
            context["loss"] = float(scalar_at(flat)) / per_sample
    if scalar_at is None:
        return context
    flat = scalar_at.values.reshape(problem.n_samples, -1)
    task = Task(problem, scalar_at)
    context["n_outputs"] = flat.shape[1]
    context["task"] = task.kind
    if task.values is not None:
        context["error"] = float(task.errors(flat).mean())
        if problem.output_function is not None or not _takes_parameters(scalar_at):
            context["null_loss"] = _null_loss(task, scalar_at, len(flat)) / per_sample
    return context


def note_rounding(resolution, problem, context):
    """Write in the context what of a problem's numbers is rounding."""
    precision = _named(problem.precision)
    if resolution.is_flat:
        context["statistics_missing"] = (
            "the loss has no second derivatives in the outputs, as absolute errors and hinges have "
            "none: Gauss-Newton matrices are zero"
        )
    elif resolution.leaves_nothing:
        order, where = "first", precision
        if resolution.of_curvature:
            order, where = "second", _named(problem.output_function.precision)
        context["statistics_missing"] = (
            f"the net fits its samples so closely that the loss's {order} derivatives in the "
            f"outputs are rounding in {where}"
        )
    remedy = "Scale the inputs, as sklearn.preprocessing.StandardScaler does, and train again."
    if problem.own_rounding > ROUGH:
        context["rounding"] = (
            "in the precision that it was trained in, rounding moves the net's outputs by "
            f"{problem.own_rounding:.2g} of their size, which is left out here. {remedy}"
        )
    elif resolution.of_all > ROUGH:
        what, size = "outputs", resolution.outputs
        worst = max(resolution.layers, key=resolution.layers.get, default=None)
        if worst is not None and resolution.layers[worst] > size:
            what, size = f"derivatives in layer {worst!r}", resolution.layers[worst]
        if torch.finfo(problem.precision).bits < 32:
            remedy = f"Take casts to {precision} out of forward."
        elif problem.working_copy.dtype == torch.float32:
            remedy = "Pass dtype='float64'."
        context["rounding"] = (
            f"in {precision}, rounding moves {what} by {size:.2g} of their size, and with them "
            f"spectra and statistics. {remedy}"
        )


def _named(dtype):
    """Name a precision."""
    return str(dtype).removeprefix("torch.")


def _null_loss(task, scalar_at, n_samples):
    """Return the loss of the best constant output; 0 where one is right for all samples."""
    start = task.constant_start()
    found = null_loss(scalar_at, start, n_samples)
    if task.varies:
        return found
    with torch.no_grad():
        other = float(scalar_at(torch.zeros_like(start).expand(n_samples, -1)))
    return 0.0 if abs(found) <= NOTHING_LEFT * abs(other) else found


def _takes_parameters(scalar_at):
    """Say whether the loss depends on parameters directly, and not through the outputs alone."""
    return scalar_at(scalar_at.values.detach()).requires_grad


def _sums(problem):
    """Say whether the loss is a sum over samples."""
    return getattr(problem.scalar.criterion, "reduction", "mean") == "sum"
