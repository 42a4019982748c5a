"""Random probe vectors on the parameters of a layer."""

from __future__ import annotations

import torch


def random_signs(k, block, generator):
    """Draw k vectors of random signs (k, p), as after Hutchinson."""
    first = block.parameters[0]
    signs = torch.randint(0, 2, (k, block.n_params), generator=generator)
    return (2 * signs - 1).to(device=first.device, dtype=first.dtype)
