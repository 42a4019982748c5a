"""How much memory may be used, and how many samples fit into it."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Sequence

import torch


def available_memory(device: torch.device | str | None = None) -> float:
    """Return half of the bytes that are free now, on the device or in main memory.

    Parameters
    ----------
    device : torch.device, str or None, default=None
        Where; None stands for main memory.

    Returns
    -------
    float
        Bytes.
    """
    if device is not None and torch.device(device).type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return 0.5 * free
    try:
        return 0.5 * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 4.0 * 2**30


def give_back_freed() -> None:
    """Let the C library return what was freed to the system, where it is one that can.

    It keeps what lies between blocks in use; where memory is bounded, that counts.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def second_graph_bytes(
    scalar: Callable[[], torch.Tensor],
    parameters: Sequence[torch.Tensor],
    known: Sequence[torch.Tensor] = (),
) -> int:
    """Count the bytes that the graph of a scalar and of its gradient keeps beside what is known.

    Parameters
    ----------
    scalar : callable
        Evaluates a 0-d tensor.
    parameters : sequence of Tensor
        What it is differentiated in; they are held anyway.
    known : sequence of Tensor, default=()
        Other tensors that are held anyway.

    Returns
    -------
    int
        Bytes.
    """
    return _graph_bytes(scalar, parameters, known, True)


def first_graph_bytes(
    scalar: Callable[[], torch.Tensor],
    parameters: Sequence[torch.Tensor],
    known: Sequence[torch.Tensor] = (),
) -> int:
    """Count the bytes that a graph keeps for one backward pass beside what is known.

    Parameters
    ----------
    scalar : callable
        Evaluates a 0-d tensor.
    parameters : sequence of Tensor
        What it is differentiated in; they are held anyway.
    known : sequence of Tensor, default=()
        Other tensors that are held anyway.

    Returns
    -------
    int
        Bytes.
    """
    return _graph_bytes(scalar, parameters, known, False)


def _graph_bytes(scalar, parameters, known, twice):
    """Count the bytes of the tensors that autograd saves, each storage once."""
    known, held = {t.untyped_storage().data_ptr() for t in (*parameters, *known)}, {}

    def note(tensor):
        for storage in _storages(tensor):
            if storage.data_ptr() not in known:
                # Kept until all is counted, so that no address is used twice.
                held[storage.data_ptr()] = storage
        # An output that its own node saved would hold itself, and so the graph, for good.
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        value = scalar()
        if twice and value.requires_grad:
            torch.autograd.grad(value, parameters, create_graph=True, allow_unused=True)
    return sum(storage.nbytes() for storage in held.values())


def _storages(tensor):
    """List what a tensor is stored in: for sparse ones, as embeddings' gradients, in two parts."""
    if tensor.layout == torch.sparse_coo:
        return [part.untyped_storage() for part in (tensor._indices(), tensor._values())]
    return [tensor.untyped_storage()] if tensor.layout == torch.strided else []
