"""A keyword's old name, which works for one release more."""

from __future__ import annotations

import functools
import warnings


def renamed_keyword(old, new):
    """Make a decorator that accepts the old name of a keyword, with a FutureWarning.

    Parameters
    ----------
    old, new : str
        Names of the keyword.

    Returns
    -------
    decorator : callable
        Wraps a function that knows the new name only.
    """

    def decorate(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            if old in kwargs:
                warnings.warn(
                    f"Expected {new} as keyword of {function.__name__}, found its old name {old}. "
                    "Rename it: the next release knows the new one only.",
                    FutureWarning,
                    stacklevel=2,
                )
                if new not in kwargs:
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
