"""Embedding bags made of plain functions: torch's own have no second derivative."""

from __future__ import annotations

import types

import torch
from torch.nn import functional


def compose_bags(module: torch.nn.Module) -> None:
    """Let the embedding bags of a private copy look rows up, mask them and add them.

    Parameters
    ----------
    module : torch.nn.Module
        The copy; its bags get another forward pass, of the same values.
    """
    for part in module.modules():
        if type(part) is torch.nn.EmbeddingBag:
            part.forward = types.MethodType(_forward, part)


def _forward(self, input, offsets=None, per_sample_weights=None):
    """Reduce the rows that each bag names, as ``torch.nn.EmbeddingBag.forward`` does."""
    indices, weights = input, per_sample_weights
    held = torch.ones_like(indices, dtype=torch.bool)
    if indices.ndim == 1:
        indices, held, weights = _padded(self, indices, offsets, weights)
    if self.padding_idx is not None:
        held = held & (indices != self.padding_idx)
    rows = functional.embedding(
        indices, self.weight, max_norm=self.max_norm, norm_type=self.norm_type
    )
    if weights is not None:
        rows = rows * weights.unsqueeze(-1)
    mask = held.unsqueeze(-1)
    if self.mode == "max":
        highest = rows.masked_fill(~mask, -torch.inf).max(dim=1).values
        return torch.where(mask.any(dim=1), highest, torch.zeros_like(highest))
    total = torch.where(mask, rows, torch.zeros_like(rows)).sum(dim=1)
    return total if self.mode == "sum" else total / mask.sum(dim=1).clamp(min=1)


def _padded(bag, indices, offsets, weights):
    """Write bags that follow each other as rows of one length, with a mask of what is in them."""
    n_indices = len(indices)
    if bag.include_last_offset:
        offsets = offsets[:-1]
    places = torch.arange(n_indices, device=indices.device)
    owners = torch.searchsorted(offsets.contiguous(), places, right=True) - 1
    within = places - offsets[owners]
    shape = len(offsets), int(within.max()) + 1 if n_indices else 1
    padded = indices.new_zeros(shape)
    padded[owners, within] = indices
    held = torch.zeros(shape, dtype=torch.bool, device=indices.device)
    held[owners, within] = True
    if weights is not None:
        weights = weights.new_zeros(shape).index_put((owners, within), weights)
    return padded, held, weights
