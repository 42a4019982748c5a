"""What of the samples and their outputs is looked at: all, some samples, or columns of outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hessdiag.curvature import random_roots
from hessdiag.curvature.network import NotSeparableError, output_hessians_fit

# Columns for each sample, from which follows how many samples fit. Where all outputs are looked at
# these may be half as many: fewer say too little.
FEW_COLUMNS = 5
# Numbers that all columns hold, but for one column: half a GB in float64.
MOST_NUMBERS = 40_000_000
# Samples by which the rank of the output Hessians is known.
FIRST_SAMPLES = 50
# Samples by which it is known that it has roots, where the Hessians are too large to be formed.
FEW_SAMPLES = 8


@dataclass(frozen=True)
class View:
    """How much of a problem is looked at.

    Parameters
    ----------
    n_samples : int
        Samples.
    n_columns : int or None
        Random columns that stand for each sample's output Hessian; None takes these as they are.
    """

    n_samples: int
    n_columns: int | None = None


def choose_view(problem, max_samples, max_gram_size, n_columns=None):
    """Choose samples, and columns of outputs, so that Gram matrices are of a bounded side.

    Parameters
    ----------
    problem : LocalCurvature
        What is to be examined.
    max_samples : int or None
        Most samples; None takes all.
    max_gram_size : int or None
        Largest side of a Gram matrix; None sets no bound.
    n_columns : int or None, default=None
        Random columns, where these are asked for; None chooses.

    Returns
    -------
    View
        All outputs of as many samples as fit, or random columns where these would be few.
    """
    n = problem.n_samples if max_samples is None else min(max_samples, problem.n_samples)
    if not problem.is_separable:
        return View(n)
    if n_columns is not None:
        few = problem.restrict(np.arange(min(problem.n_samples, FEW_SAMPLES)))
        has_fewer = few.outputs is None or few.outputs.rank > n_columns
        return View(n, n_columns if has_fewer and _has_roots(few) else None)
    first = problem.restrict(np.arange(min(problem.n_samples, FIRST_SAMPLES))).outputs
    if first is not None:
        most = n if max_gram_size is None else max(2, max_gram_size // max(1, first.rank))
        values = problem.output_values[: min(n, most)]
        enough = n if max_gram_size is None else min(n, max_gram_size // FEW_COLUMNS // 2)
        many = most >= enough and output_hessians_fit(values)
        if many or first.signs is not None:
            # A loss that is not convex has no real roots, which columns would be made of.
            return View(min(n, most))
    elif not _has_roots(problem.restrict(np.arange(min(problem.n_samples, FEW_SAMPLES)))):
        return View(n)
    if max_gram_size is None:
        return View(n, FEW_COLUMNS)
    n = min(n, max(2, max_gram_size // FEW_COLUMNS))
    # Columns take time and memory in proportion to the outputs of all samples.
    fit = MOST_NUMBERS // (n * problem.n_outputs)
    return View(n, max(1, min(max_gram_size // n, fit)))


def _has_roots(problem):
    """Say whether the loss is convex in the outputs of some samples."""
    try:
        function = problem.output_function.without_hessians()
        random_roots(function, 1, torch.Generator().manual_seed(0))
    except NotSeparableError:
        return False
    return True
