"""Closed rules: from what a layer received, and how outputs depend on what it sent, to a factor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from hessdiag.curvature.factors._dense_factor import DenseFactor
from hessdiag.curvature.factors._embedding_factor import EmbeddingFactor
from hessdiag.curvature.factors._factor import Factor
from hessdiag.curvature.factors._outer_factor import OuterFactor

# What rules call the parameters of a module.
KNOWN_PIECES = ("weight", "bias")
# From a module, its pieces, what it received (n, ...) and the sweeps (n, D, ...) to a factor.
Rule = Callable[[nn.Module, Sequence[str], torch.Tensor, torch.Tensor], Factor]


def find_rule(module: torch.nn.Module, pieces: Sequence[str]) -> Rule | None:
    """Return the closed rule for a module, or None if there is none.

    A subclass may do something else in its forward pass: whoever applies a rule compares what it
    gives with a plain backward pass.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    pieces : sequence of str
        The module's own names of the parameters that are wanted.

    Returns
    -------
    callable or None
        Takes (module, pieces, received (n, ...), sweeps (n, D, ...)) to a factor.
    """
    if any(name not in module._parameters for name in pieces):
        return None
    # As where hooks compute the weights: pruned, or normalized.
    if any(name not in KNOWN_PIECES for name in pieces):
        return None
    return next((rule for kinds, rule in RULES if isinstance(module, tuple(kinds))), None)


def _linear(module, pieces, received, sweeps):
    """Treat all leading dimensions between sample and feature as positions."""
    n = len(received)
    inputs = received.reshape(n, 1, -1, received.shape[-1])
    return OuterFactor(inputs, sweeps.reshape(n, sweeps.shape[1], 1, -1, sweeps.shape[-1]), pieces)


def _convolution(module, pieces, received, sweeps):
    """Unfold the input into patches; each output position sees one."""
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        padding = module._reversed_padding_repeated_twice
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        received = functional.pad(received, padding, mode=mode)
    else:
        padding = [p for size in reversed(module.padding) for p in (size, size)]
        if any(padding):
            received = functional.pad(received, padding)
    n, n_channels = received.shape[:2]
    spatial = len(module.kernel_size)
    patches = received
    for axis in range(spatial):
        span = module.dilation[axis] * (module.kernel_size[axis] - 1) + 1
        patches = patches.unfold(2 + axis, span, module.stride[axis])
        patches = patches[..., :: module.dilation[axis]]
    # (n, channels, *positions, *kernel) -> (n, groups, channels per group * kernel, positions): the
    # one copy that is made of the patches. Positions stay last in memory, as in the sweeps.
    groups, axes = module.groups, range(2, 2 + spatial)
    patches = patches.permute(0, 1, *(axis + spatial for axis in axes), *axes)
    inputs = patches.reshape(n, groups, n_channels // groups * math.prod(module.kernel_size), -1).mT
    n_outputs = sweeps.shape[1]
    sweeps = sweeps.reshape(n, n_outputs, groups, module.out_channels // groups, -1).mT
    return OuterFactor(inputs, sweeps, pieces)


def _embedding(module, pieces, received, sweeps):
    """Keep tokens and sweeps; the row of padding has no derivative."""
    n, n_outputs, width = len(received), sweeps.shape[1], sweeps.shape[-1]
    index = received.reshape(n, -1)
    sweeps = sweeps.reshape(n, n_outputs, index.shape[1], width)
    if module.padding_idx is not None:
        sweeps = sweeps * (index != module.padding_idx)[:, None, :, None]
    return EmbeddingFactor(index, sweeps, module.num_embeddings)


def _scale_and_shift(normalized, pieces, sweeps, kept):
    """Build the factor of s = weight * normalized + bias, parameters along the axes `kept`."""
    n, n_outputs = sweeps.shape[:2]
    summed = [axis for axis in range(2, sweeps.ndim) if axis not in kept]
    parts = []
    for piece in pieces:
        shares = sweeps * normalized.unsqueeze(1) if piece == "weight" else sweeps
        shares = shares.sum(dim=summed) if summed else shares
        parts.append(shares.reshape(n, n_outputs, -1))
    return DenseFactor(torch.cat(parts, dim=2))


def _batch_norm(module, pieces, received, sweeps):
    """Take the running statistics, which evaluation mode holds fixed."""
    normalized = functional.batch_norm(
        received, module.running_mean, module.running_var, training=False, eps=module.eps
    )
    return _scale_and_shift(normalized, pieces, sweeps, kept=(2,))


def _layer_norm(module, pieces, received, sweeps):
    """Normalize over the trailing axes."""
    normalized = functional.layer_norm(received, module.normalized_shape, eps=module.eps)
    first = sweeps.ndim - len(module.normalized_shape)
    return _scale_and_shift(normalized, pieces, sweeps, kept=range(first, sweeps.ndim))


def _group_norm(module, pieces, received, sweeps):
    """Normalize over groups of channels."""
    normalized = functional.group_norm(received, module.num_groups, eps=module.eps)
    return _scale_and_shift(normalized, pieces, sweeps, kept=(2,))


def _rms_norm(module, pieces, received, sweeps):
    """Normalize over the trailing axes without centring."""
    normalized = functional.rms_norm(received, module.normalized_shape, eps=module.eps)
    first = sweeps.ndim - len(module.normalized_shape)
    return _scale_and_shift(normalized, pieces, sweeps, kept=range(first, sweeps.ndim))


def _prelu(module, pieces, received, sweeps):
    """Take the slope on negative inputs, one per channel or one for all."""
    kept = (2,) if module.num_parameters > 1 else ()
    return _scale_and_shift(received.clamp(max=0), pieces, sweeps, kept=kept)


RULES = (
    ((nn.Linear,), _linear),
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    ((nn.Embedding,), _embedding),
    ((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _batch_norm),
    ((nn.LayerNorm,), _layer_norm),
    ((nn.GroupNorm,), _group_norm),
    ((nn.RMSNorm,), _rms_norm),
    ((nn.PReLU,), _prelu),
)
