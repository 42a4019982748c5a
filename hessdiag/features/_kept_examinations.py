"""The examinations of this process: kept by content, and counted for those who ask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hessdiag.examination import examine as plain_examine

# One holds a few eigenvalue arrays of at most `max_gram_size` numbers for each layer: some 10 kB,
# so that the bound stays below 100 MB.
_KEPT: OrderedDict[str, Any] = OrderedDict()
_KEPT_SIZE = 8192

_COUNTS: list[list[Any]] = []


def kept(key):
    """Return the examination that is kept under a key.

    Parameters
    ----------
    key : str
        Digest of the case and the settings.

    Returns
    -------
    examination : Examination or None
        None where none is kept.
    """
    return _KEPT.get(key)


def keep(key, found):
    """Keep an examination; beyond the bound the oldest go.

    Parameters
    ----------
    key : str
        Digest of the case and the settings.
    found : Examination
        The examination.
    """
    _KEPT[key] = found
    while len(_KEPT) > _KEPT_SIZE:
        _KEPT.popitem(last=False)


def forget_examinations() -> None:
    """Forget the examinations that this process keeps."""
    _KEPT.clear()


def examine(net, X, y, **settings):
    """Examine as `hessdiag.examine` does, and let it be counted.

    Parameters
    ----------
    net, X, y
        The case.
    **settings
        As in `hessdiag.examine`.

    Returns
    -------
    examination : Examination
        The examination.
    """
    for names in _COUNTS:
        names.append(settings.get("name"))
    return plain_examine(net, X, y, **settings)


@contextmanager
def counted_examinations() -> Iterator[list[Any]]:
    """Forget all examinations, and count those made by `LayerSpectra` in this process from now on.

    Yields
    ------
    calls : list of str
        Name of the case of each examination, failed ones included.

    Examples
    --------
    >>> from hessdiag import LayerSpectra
    >>> from hessdiag.features import counted_examinations
    >>> from hessdiag.testing import make_case
    >>> case = make_case()
    >>> with counted_examinations() as calls:
    ...     _ = LayerSpectra().fit_transform([case, case])
    >>> len(calls)
    1
    """
    forget_examinations()
    calls: list[Any] = []
    _COUNTS.append(calls)
    try:
        yield calls
    finally:
        _COUNTS[:] = [names for names in _COUNTS if names is not calls]
