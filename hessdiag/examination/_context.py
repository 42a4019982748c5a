"""What a user knows of a net and its data without any curvature."""

from __future__ import annotations

import math

import torch

from hessdiag.examination._task import Task, null_loss


def context_of(problem):
    """Return sizes, loss, error, null loss, task and criterion of a problem."""
    blocks = problem.blocks
    context = {
        "n_samples": problem.n_samples,
        "n_outputs": math.nan,
        "n_params": sum(block.n_params for block in blocks),
        "n_layers": len(blocks),
        "loss": math.nan,
        "error": math.nan,
        "null_loss": math.nan,
        "task": "regression",
        "criterion": problem.scalar.name,
    }
    if problem.output_function is None:
        with torch.no_grad():
            context["loss"] = float(problem.whole_scalar())
        return context
    values, scalar_at = problem.output_values, problem.output_function
    task = Task(problem)
    per_sample = problem.n_samples if _sums(problem) else 1
    flat = values.reshape(problem.n_samples, -1)
    context["n_outputs"] = flat.shape[1]
    context["task"] = task.kind
    with torch.no_grad():
        context["loss"] = float(scalar_at(flat)) / per_sample
    if task.values is not None:
        context["error"] = float(task.errors(flat).mean())
        start = task.constant_start()
        context["null_loss"] = null_loss(scalar_at, start, len(flat)) / per_sample
    return context


def _sums(problem):
    """Say whether the loss is a sum over samples."""
    return getattr(problem.scalar.criterion, "reduction", "mean") == "sum"
