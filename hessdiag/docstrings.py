"""One place for the words of each parameter: functions take them from where they are written."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])
_SECTION = re.compile(r"(?m)^(?=[^\n]+\n-{3,}$)")


def take_parameters(*sources: Callable[..., Any]) -> Callable[[_Function], _Function]:
    """Complete a numpydoc docstring by what others say of the same parameters.

    Parameters of the decorated function or class that its own docstring does not describe are
    described as in the docstring of the first source that does, in the order of the signature.

    Parameters
    ----------
    *sources : classes or functions
        Where parameters are described.

    Returns
    -------
    callable
        Decorator that gives a function its full docstring.

    Raises
    ------
    ValueError
        If nobody describes a parameter.

    Examples
    --------
    >>> from hessdiag.docstrings import take_parameters
    >>> def first(a):
    ...     '''Do one thing.
    ...
    ...     Parameters
    ...     ----------
    ...     a : int
    ...         A number.
    ...     '''
    >>> @take_parameters(first)
    ... def second(a):
    ...     '''Do another.'''
    >>> print(second.__doc__)
    Do another.
    <BLANKLINE>
    Parameters
    ----------
    a : int
        A number.
    """

    def complete(function: _Function) -> _Function:
        if function.__doc__ is None:  # as under python -OO
            return function
        parts = _SECTION.split(inspect.cleandoc(function.__doc__))
        known = [_described(source) for source in (function, *sources)]
        lines = []
        for name in inspect.signature(function).parameters:
            if name == "self":
                continue
            words = next((words[name] for words in known if name in words), None)
            if words is None:
                raise ValueError(
                    f"Expected a description of {name!r} of {function.__qualname__}, found none. "
                    "Describe it there, or in one of the sources."
                )
            lines.append(words)
        parts = [part for part in parts if not part.startswith("Parameters\n")]
        section = "Parameters\n----------\n" + "\n".join(lines)
        function.__doc__ = "\n\n".join(part.strip() for part in [parts[0], section, *parts[1:]])
        return function

    return complete


def _described(source):
    """Return {parameter: its lines} of a numpydoc docstring."""
    words = {}
    for part in _SECTION.split(inspect.cleandoc(source.__doc__ or "")):
        if not part.startswith("Parameters\n"):
            continue
        body = part.split("\n", 2)[2].rstrip()
        for block in re.split(r"\n(?=\S)", body):
            head, _, rest = block.partition("\n")
            names, colon, kind = head.partition(" : ")
            # Names without a type say where they are described, not what they are.
            for name in names.split(",") if colon else ():
                words[name.strip().lstrip("*")] = f"{name.strip()} : {kind}\n{rest}".rstrip()
    return words
