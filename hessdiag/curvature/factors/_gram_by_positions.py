"""Gram matrices of sums of outer products, from what goes into them: no parameter appears."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Matrices of more entries than this are not formed at once.
MAX_BLOCK_ENTRIES = 30_000_000


def gram_by_positions(
    sweeps: torch.Tensor, inputs: torch.Tensor, weight: bool, bias: bool, dtype: torch.dtype
) -> torch.Tensor:
    """Return J J' (N D, N D) for J[n, c] = sum_t S[n, c, t] (x) (a[n, t], 1).

    With S_t (N D, O) and a_t (N, I) of position t, it is the sum of (S_t S_u') o (a_t a_u' + 1)
    over all t and u. The pairs (u, t) give the transpose of what (t, u) give, so that half of them
    are enough.

    Parameters
    ----------
    sweeps : Tensor of shape (N, D, T, O)
        What is sent back to the outputs of a layer.
    inputs : Tensor of shape (N, T, I)
        What the layer receives.
    weight, bias : bool
        Whether parameters are multiplied by what is received, and whether some are added.
    dtype : torch.dtype
        Precision of the sums.
    """
    n, c, t, width = sweeps.shape
    n_rows, fan_in = n * c, inputs.shape[-1]
    sweeps = sweeps.permute(2, 0, 1, 3).reshape(t, n_rows, width)
    inputs = inputs.transpose(0, 1).contiguous()
    same, above = sweeps.new_zeros(n_rows, n_rows, dtype=dtype), None
    step = max(1, MAX_BLOCK_ENTRIES // n_rows**2)
    for first in range(t):
        left, received = sweeps[first].to(dtype), inputs[first].to(dtype)
        for start in range(first, t, step):
            others = slice(start, min(t, start + step))
            right = sweeps[others].reshape(-1, width).to(dtype)
            pairs = (left @ right.T).view(n, c, -1, n, c)
            if weight:
                inner = (received @ inputs[others].reshape(-1, fan_in).to(dtype).T).view(n, -1, n)
                pairs *= (inner + 1.0 if bias else inner)[:, None, :, :, None]
            sums = pairs.view(n_rows, -1, n_rows)
            if start == first:
                same += sums[:, 0]
                sums = sums[:, 1:]
            if sums.shape[1]:
                sums = sums.sum(dim=1)
                above = sums if above is None else above + sums
    return same if above is None else same.add_(above).add_(above.T)
