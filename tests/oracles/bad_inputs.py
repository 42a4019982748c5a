"""One bad input: how to bring it, the error that is due, and words that its message must say."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Bad:
    """`bring()` must raise `error`, with all of `words` in its message.

    Nets whose state must not change are listed in `nets`, a function without arguments that is
    called before `bring`, where there are any.
    """

    bring: Callable
    error: type | tuple
    words: tuple = ()
    nets: Callable | None = None
