"""Weight normalization made of plain functions: torch's own has no symmetric second derivative."""

from __future__ import annotations

import types

import torch
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.weight_norm import WeightNorm


def compose_weight_norms(module: torch.nn.Module) -> None:
    """Let the normalized weights of a private copy be computed by plain functions.

    Parameters
    ----------
    module : torch.nn.Module
        The copy.
    """
    for part in module.modules():
        if isinstance(part, _WeightNorm):
            part.forward = types.MethodType(_normalized_weight, part)
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm):
                hook.compute_weight = types.MethodType(_hooked_weight, hook)


def _normalized_weight(self, weight_g, weight_v):
    """Return g v / |v|, with the norm over all axes but one."""
    return weight_v * (weight_g / torch.norm_except_dim(weight_v, 2, self.dim))


def _hooked_weight(self, module):
    """Return the same for the hook that came before parametrizations."""
    weight_g, weight_v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
    return weight_v * (weight_g / torch.norm_except_dim(weight_v, 2, self.dim))
