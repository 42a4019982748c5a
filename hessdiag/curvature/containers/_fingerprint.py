"""Whether two draws of the same samples are the same: by a short digest of all that they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch


def fingerprint(tree: object) -> bytes:
    """Digest all numbers in a tree of tensors, arrays and plain values.

    Parameters
    ----------
    tree : object
        A batch or a sample.

    Returns
    -------
    bytes
        The same for the same numbers, NaN included.
    """
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, tree)
    return digest.digest()


def _feed(digest, tree):
    """Add a tree."""
    if isinstance(tree, torch.Tensor):
        tensor = tree.detach().cpu()
        tensor = tensor if tensor.layout is torch.strided else tensor.to_dense()
        tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        tree = tensor.resolve_conj().resolve_neg().numpy()
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            digest.update(repr(key).encode())
            _feed(digest, value)
    elif isinstance(tree, (list, tuple)):
        digest.update(f"{len(tree)} in a row".encode())
        for value in tree:
            _feed(digest, value)
    elif isinstance(tree, (np.ndarray, np.generic)) and not tree.dtype.hasobject:
        digest.update(f"{tree.dtype.str} {tree.shape}".encode())
        digest.update(np.ascontiguousarray(tree).tobytes())
    elif hasattr(tree, "tocsr"):
        rows = tree.tocsr()
        _feed(digest, [rows.data, rows.indices, rows.indptr])
    elif hasattr(tree, "iloc"):
        _feed(digest, np.asarray(tree))
    elif isinstance(tree, np.ndarray):
        _feed(digest, tree.tolist())
    else:
        # An address in memory says nothing of what an object holds.
        digest.update(repr(tree).encode() if type(tree).__repr__ is not object.__repr__ else b"")
