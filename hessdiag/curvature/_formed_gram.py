"""The Gram matrix of a Jacobian formed once, where many products with it are due."""

from __future__ import annotations

import torch

from hessdiag.curvature._factors import MAX_BLOCK_ENTRIES, Factor, OuterFactor

__all__ = ["FormedGram", "form_gram", "gram_pays"]

# A number of the Gram matrix that is read for one product takes as long as so many operations of a
# matrix product, whose numbers stay in the processor's cache.
OPERATIONS_PER_READ = 10


class FormedGram(Factor):
    """What is left of a Jacobian (N, D, p) once only products with J J' are due: J J' itself."""

    prefers_dense = False

    def __init__(self, matrix, n_samples, n_outputs, n_params):
        self.matrix = matrix
        self.dtype, self.epsilon = matrix.dtype, torch.finfo(matrix.dtype).eps
        self.n_samples, self.n_outputs, self.n_params = n_samples, n_outputs, n_params

    def gram(self):
        """Return J J' (N D, N D) in float64."""
        return self.matrix.double()

    def gram_products(self, outputs):
        """Return J J' u for outputs (k, N, D) as (k, N, D)."""
        return (outputs.flatten(1) @ self.matrix).view_as(outputs)


def gram_pays(factor, n_products):
    """Say whether J J' is formed, and read for every product, in less time than products take.

    For T positions, J J' takes (N D T)² O / 2 + (N T)² I / 2 multiplications, each product without
    it 2 N T O (I + D).
    """
    if not isinstance(factor, OuterFactor) or factor.groups > 1:
        return False
    n_rows, t = factor.n_samples * factor.n_outputs, factor.positions
    if n_rows**2 > MAX_BLOCK_ENTRIES:
        return False
    forming = t**2 * (n_rows**2 * factor.width + factor.n_samples**2 * factor.fan_in) / 2
    reading = n_products * n_rows**2 * OPERATIONS_PER_READ
    sent = factor.n_samples * t * factor.width
    return forming + reading < n_products * 2 * sent * (factor.fan_in + factor.n_outputs)


def form_gram(factor):
    """Form J J' of an `OuterFactor` of one group, from half of the pairs of positions.

    With S_t (N D, O) and a_t (N, I) of position t, J J' is the sum of (S_t S_u') o (a_t a_u' + 1)
    over all t and u; the pairs (u, t) give the transpose of what (t, u) give.
    """
    n, c, t = factor.n_samples, factor.n_outputs, factor.positions
    n_rows = n * c
    sweeps = factor.sweeps[:, :, 0].permute(2, 0, 1, 3).reshape(t, n_rows, factor.width)
    inputs = factor.inputs[:, 0].transpose(0, 1).contiguous()
    weight, bias = "weight" in factor.pieces, "bias" in factor.pieces
    above = sweeps.new_zeros(n_rows, n_rows)
    same = torch.zeros_like(above)
    step = max(1, MAX_BLOCK_ENTRIES // n_rows**2)
    for first in range(t):
        for start in range(first, t, step):
            others = slice(start, min(t, start + step))
            pairs = (sweeps[first] @ sweeps[others].reshape(-1, factor.width).T).view(
                n, c, -1, n, c
            )
            if weight:
                inner = (inputs[first] @ inputs[others].reshape(-1, factor.fan_in).T).view(n, -1, n)
                pairs *= (inner + 1.0 if bias else inner)[:, None, :, :, None]
            sums = pairs.view(n_rows, -1, n_rows)
            if start == first:
                same += sums[:, 0]
                sums = sums[:, 1:]
            above += sums.sum(dim=1)
    return FormedGram(same + above + above.T, n, c, factor.n_params)
