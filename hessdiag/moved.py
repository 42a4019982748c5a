"""Names that have moved or changed: the old ones are known for one release more."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def moved_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make a package's ``__getattr__``, by which names that have left it are still found.

    Every use of such a name warns, and says where it lives now. The new home is imported only then,
    so that a package may name one that is built upon it.

    Parameters
    ----------
    package : str
        The old home: the package's ``__name__``.
    homes : mapping of str to str
        The new home of each name.

    Returns
    -------
    callable
        To be called ``__getattr__`` in the package's ``__init__``.

    Examples
    --------
    >>> import warnings
    >>> from hessdiag.moved import moved_names
    >>> find = moved_names("here", {"sqrt": "math"})
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     find("sqrt")(4.0)
    2.0
    >>> str(caught[0].message)[:50]
    'Expected sqrt from its home math, found it asked f'
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = homes[name]
        warnings.warn(
            f"Expected {name} from its home {home}, found it asked for from {package}. Import it "
            f"from {home}: the next release knows it there only.",
            FutureWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module(home), name)

    return find


def warn_of_old_name(old: str, new: str, what: str, stacklevel: int = 3) -> None:
    """Warn of a name that has another one now.

    Parameters
    ----------
    old, new : str
        The names.
    what : str
        What they name, such as ``"attribute of Recipe"``.
    stacklevel : int, default=3
        Whose line the warning points to: the caller of what calls this.
    """
    warnings.warn(
        f"Expected {new} as {what}, found its old name {old}. Rename it: the next release knows "
        "the new one only.",
        FutureWarning,
        stacklevel=stacklevel,
    )


def renamed_keyword(old: str, new: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
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

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if old in kwargs:
                warn_of_old_name(old, new, f"keyword of {function.__name__}")
                if new not in kwargs:
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
