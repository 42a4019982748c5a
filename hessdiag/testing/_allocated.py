"""How many bytes of tensors are held, now and at the most: what torch itself counts on CUDA."""

from __future__ import annotations

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class AllocatedBytes(TorchDispatchMode):
    """Count the bytes of the tensors that are made while this is active and still held.

    On the CPU torch keeps no count, and what the system calls resident holds the C library's heap
    too. Every storage that an operation makes counts once, from then until it is let go, also after
    the mode has been left; views of what was there before do not count.

    Attributes
    ----------
    held : int
        Bytes held now.
    peak : int
        Most bytes held at any time.

    Examples
    --------
    >>> import torch
    >>> from hessdiag.testing import AllocatedBytes
    >>> with AllocatedBytes() as count:
    ...     x = torch.zeros(1000)
    ...     y = (x + 1).sum()
    >>> count.held, count.peak
    (4004, 8004)
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Run an operation and count what it returns."""
        kwargs = kwargs or {}
        given = {storage._cdata for storage in _storages([args, kwargs])}
        result = function(*args, **kwargs)
        for storage in _storages(result):
            if storage._cdata not in given:
                self._count(storage)
        self.peak = max(self.peak, self.held)
        return result

    def _count(self, storage):
        """Count a storage until it is let go."""
        key = storage._cdata
        if key not in self._known:
            self._known.add(key)
            self.held += storage.nbytes()
            weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key, n_bytes):
        """Take a storage off the count."""
        self._known.discard(key)
        self.held -= n_bytes


def _storages(tree):
    """List the storages of a tree, and what its plain tensors are stored in.

    Operations take and return tensors, storages and lists, tuples and dicts of them; every one of
    them comes here, and `torch.utils._pytree` would take most of a run's time.
    """
    found, todo = [], [tree]
    while todo:
        part = todo.pop()
        if isinstance(part, torch.Tensor):
            if part.layout == torch.strided:
                found.append(part.untyped_storage())
        elif isinstance(part, (tuple, list)):
            todo.extend(part)
        elif isinstance(part, dict):
            todo.extend(part.values())
        elif isinstance(part, torch.UntypedStorage):
            found.append(part)
    return found
