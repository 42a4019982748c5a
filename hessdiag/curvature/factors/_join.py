"""Factors of several chunks of samples, or of several calls of one module, as one."""

from __future__ import annotations

import torch

from hessdiag.curvature.factors._dense_factor import DenseFactor


def join_factors(pieces):
    """Join the factors of all chunks of samples, in closed form where they allow it.

    Parameters
    ----------
    pieces : sequence of (Factor or None)
        Factors of one layer, on samples that follow each other.

    Returns
    -------
    Factor or None
        The factor on all samples; None where one of them is.
    """
    if len(pieces) == 1 or any(piece is None for piece in pieces):
        return None if None in pieces else pieces[0]
    kind = type(pieces[0])
    if kind is not DenseFactor and all(type(piece) is kind for piece in pieces):
        return kind.joined(pieces)
    return DenseFactor(torch.cat([piece.dense() for piece in pieces]))


def add_factors(parts):
    """Add the factors of several calls of one module on the same samples."""
    if len(parts) == 1 or any(part is None for part in parts):
        return None if None in parts else parts[0]
    kind = type(parts[0])
    if kind is not DenseFactor and all(type(part) is kind for part in parts):
        return kind.added(parts)
    return DenseFactor(sum(part.dense() for part in parts))
