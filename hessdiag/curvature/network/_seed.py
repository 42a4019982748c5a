"""One integer seed, drawn once, for all that is random in a piece of work."""

from __future__ import annotations

from numbers import Integral

import numpy as np


def draw_seed(random_state: int | np.random.RandomState | np.random.Generator | None) -> int:
    """Return an integer seed: that given, 0 for None, or one drawn from a generator.

    Parameters
    ----------
    random_state : None, int, RandomState or Generator
        Seed, or what to draw one from.

    Returns
    -------
    int
        The seed.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if random_state is None:
        return 0
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    if isinstance(random_state, Integral) and random_state >= 0:
        return int(random_state)
    raise ValueError(
        "Expected random_state to be None, an integer from 0 on, a numpy RandomState or a "
        f"Generator, found {random_state!r}. Pass an integer to have the same numbers again."
    )
