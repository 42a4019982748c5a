"""Factors of several chunks of samples, or of several calls of one module, as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from hessdiag.curvature.factors._dense_factor import DenseFactor

if TYPE_CHECKING:
    from hessdiag.curvature.factors._factor import Factor


def join_factors(pieces: Sequence[Factor | None]) -> Factor | None:
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
    whole = [piece for piece in pieces if piece is not None]
    if len(whole) < len(pieces):
        return None
    if len(whole) == 1:
        return whole[0]
    kind = type(whole[0])
    if all(type(piece) is kind for piece in whole):
        return kind.joined(whole)
    return DenseFactor(torch.cat([piece.dense() for piece in whole]))


def add_factors(parts: Sequence[Factor | None]) -> Factor | None:
    """Add the factors of several calls of one module on the same samples."""
    whole = [part for part in parts if part is not None]
    if len(whole) < len(parts):
        return None
    if len(whole) == 1:
        return whole[0]
    kind = type(whole[0])
    if all(type(part) is kind for part in whole):
        return kind.added(whole)
    return DenseFactor(sum(part.dense() for part in whole))
