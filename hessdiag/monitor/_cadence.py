"""When to look: a schedule, thinned so that looking keeps within its share of the time."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from numbers import Integral, Real

#: Shorter runs may spend on looks what one of so many seconds may.
LEAST_SECONDS = 60.0


class Cadence:
    """A schedule of looks within a budget of time.

    A look that is due and cannot be afforded stays due. The first one is always made: what it
    takes is not known before.

    Parameters
    ----------
    every : "log" or int
        Counts at which a look is due: 1, 2, 3, 4, 6, 8, 11, 16, ... (powers of the root of 2), or
        multiples of a number.
    budget : float or None
        Seconds of looks for each second of training, of `LEAST_SECONDS` at least; None sets no
        bound.

    Attributes
    ----------
    spent : float
        Seconds that looks have taken.
    trained : float
        Seconds of training without them, until it was last stopped.
    """

    def __init__(self, every, budget):
        check_cadence(every, budget)
        self.every, self.budget = every, budget
        self.spent = self.trained = 0.0
        self.next = self._last = None
        self._since = None

    def start(self) -> None:
        """Let the time of training run."""
        self._since, self._own = time.perf_counter(), 0.0

    def stop(self) -> None:
        """Stop the time of training."""
        self.trained, self._since = self.seconds_trained(), None

    def seconds_trained(self) -> float:
        """Return seconds of training without looks, until now.

        Returns
        -------
        float
            Seconds.
        """
        if self._since is None:
            return self.trained
        return self.trained + time.perf_counter() - self._since - self._own

    def is_due(self, count: int, at_the_end: bool = False) -> bool:
        """Say whether to look now.

        Parameters
        ----------
        count : int
            Epochs, or steps, that have been made.
        at_the_end : bool, default=False
            Whether this is the last time, at which a look is due whatever the schedule says.

        Returns
        -------
        bool
            Whether one is due, and can be afforded.
        """
        if self.next is None:
            self.next = self._after(count - 1)
        if count < self.next and not at_the_end:
            return False
        if self.budget is None or self._last is None:
            return True
        allowed = self.budget * max(LEAST_SECONDS, self.seconds_trained())
        return self.spent + self._last <= allowed

    @contextlib.contextmanager
    def look(self, count: int) -> Iterator[None]:
        """Look, while time counts as that of looks.

        Parameters
        ----------
        count : int
            Epochs, or steps, that have been made.

        Yields
        ------
        None
            While the look is made.
        """
        start = time.perf_counter()
        try:
            yield
        finally:
            self._last = time.perf_counter() - start
            self.spent += self._last
            if self._since is not None:
                self._own += self._last
            self.next = self._after(count)

    def _after(self, count):
        """The first count on the schedule after one."""
        if self.every != "log":
            return (count // self.every + 1) * self.every
        power = 0 if count < 1 else math.floor(2 * math.log2(count))
        while round(2 ** (power / 2)) <= count:
            power += 1
        return round(2 ** (power / 2))


def check_cadence(every: object, budget: object) -> None:
    """Check what is asked for.

    Parameters
    ----------
    every : object
        A schedule.
    budget : object
        A share.

    Raises
    ------
    ValueError
        If they are none.
    """
    is_count = isinstance(every, Integral) and not isinstance(every, bool) and int(every) >= 1
    if every != "log" and not is_count:
        raise ValueError(
            f"Expected every='log' or a number of at least 1, found {every!r}. Pass how many "
            "epochs or steps lie between two looks."
        )
    if budget is not None and not (isinstance(budget, Real) and float(budget) >= 0):
        raise ValueError(
            f"Expected a budget of at least 0, found {budget!r}. Pass the share of the time of "
            "training that looks may take, as 0.1, or None for no bound."
        )
