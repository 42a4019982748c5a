"""How many samples derivatives are checked on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hessdiag.curvature.products import Problem

# Samples that derivatives are checked on: one of so many, between the least and the most.
ONE_SAMPLE_OF, LEAST_SAMPLES, MOST_SAMPLES = 25, 2, 16
# Vectors of all parameters, in float64, that are held at once.
N_VECTORS = 5


def n_checked(problem: Problem) -> int:
    """Count the samples that the derivatives of a problem are checked on.

    Parameters
    ----------
    problem : LocalCurvature
        What is checked.

    Returns
    -------
    int
        All where samples interact. Else few: their graphs are twice as deep as those of the forward
        passes that the first chunk was made for, and twice as wide.
    """
    if not problem.is_separable:
        return problem.n_samples
    n = min(problem.n_samples // ONE_SAMPLE_OF, problem.first_chunk // 8, MOST_SAMPLES)
    return min(problem.n_samples, max(n, LEAST_SAMPLES))
