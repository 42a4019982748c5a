"""Progress of long work: a bar on a terminal after two seconds, silent elsewhere.

Whoever starts long work opens `shown`; whoever does a part of it says how much is to come
(`expect`) and what is done (`advance`), which is nothing where no one has opened anything.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

# Seconds of work that is not worth a bar.
DELAY = 2.0

_SHOWN: ContextVar[Any] = ContextVar("shown", default=None)


@contextlib.contextmanager
def shown(what: str) -> Iterator[None]:
    """Show progress while the context is open, unless some is shown already.

    Parameters
    ----------
    what : str
        What is done, in front of the bar.

    Yields
    ------
    None
        While the work is done.

    Examples
    --------
    >>> from hessdiag.progress import advance, expect, shown
    >>> with shown("Counting"):
    ...     expect(2)
    ...     for _ in range(2):
    ...         advance()
    """
    bar = None if _SHOWN.get() is not None else _bar(what)
    if bar is None:
        yield
        return
    token = _SHOWN.set(bar)
    try:
        yield
    finally:
        _SHOWN.reset(token)
        bar.close()


def expect(n: float) -> None:
    """Say how much more work there is.

    Parameters
    ----------
    n : float
        Steps that are about to follow.
    """
    bar = _SHOWN.get()
    if bar is not None:
        bar.total = (bar.total or 0) + n


def advance(n: float = 1, what: str | None = None) -> None:
    """Say that work is done.

    Parameters
    ----------
    n : float, default=1
        Steps.
    what : str or None, default=None
        What is worked on now, as the name of a layer.
    """
    bar = _SHOWN.get()
    if bar is None:
        return
    if what is not None:
        bar.set_postfix_str(what, refresh=False)
    # What took more steps than were expected is no reason to stop counting.
    bar.total = max(bar.total or 0, bar.n + n)
    bar.update(n)


def say(text: str) -> None:
    """Say something beside the bar.

    Parameters
    ----------
    text : str
        A few words.
    """
    bar = _SHOWN.get()
    if bar is not None:
        bar.set_description(f"{bar.desc.rstrip(': ')}, {text}", refresh=False)


def _bar(what):
    """Return a bar on a terminal; None elsewhere, and where tqdm is not installed."""
    if not (hasattr(sys.stderr, "isatty") and sys.stderr.isatty()):
        return None
    try:
        from tqdm import tqdm

        return tqdm(desc=what, total=0, delay=DELAY, leave=False, file=sys.stderr, unit="step")
    except (ImportError, TypeError):
        return None
