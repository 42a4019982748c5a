"""Names that have moved to another package: their old homes know them for one release more."""

from __future__ import annotations

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
