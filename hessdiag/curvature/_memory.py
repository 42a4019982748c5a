"""How much memory may be used, and how many samples fit into it."""

from __future__ import annotations

import os

import torch

__all__ = ["available_memory"]


def available_memory(device=None):
    """Return half of the bytes that are free now, on the device or in main memory."""
    if device is not None and torch.device(device).type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return 0.5 * free
    try:
        return 0.5 * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 4.0 * 2**30
