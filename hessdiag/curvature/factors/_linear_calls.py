"""Weights that are multiplied by `torch.nn.functional.linear` outside of linear layers.

So attention calls its projections. What was received and sent is noted while the net runs; which
axis the samples are along is found by trying.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from hessdiag.curvature.factors._factor import Factor
from hessdiag.curvature.factors._outer_factor import OuterFactor
from hessdiag.curvature.network import is_irregular

if TYPE_CHECKING:
    from hessdiag.curvature.network import Block


class LinearCalls:
    """Notes calls of ``linear`` with some weights, as long as it is entered.

    What attention calls cannot be seen by torch's own modes, which end where a function of torch
    begins; so the name is bound anew for a while.

    Parameters
    ----------
    blocks : sequence of Block
        Layers of one weight (O, I), or of one and of one bias (O,), whose calls are noted.

    Attributes
    ----------
    calls : dict of str to list
        What every layer's weight was multiplied with, and what it gave, call by call; None for a
        call with another bias, or of what is no array by itself.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.calls: dict[str, list] = {}
        self._names: dict[int, tuple[str, int | None]] = {}
        for block in blocks:
            weights = [p for p in block.parameters if p.ndim == 2]
            biases = [p for p in block.parameters if p.ndim == 1]
            if len(weights) != 1 or len(weights) + len(biases) != len(block.parameters):
                continue
            if len(biases) > 1 or any(len(b) != len(weights[0]) for b in biases):
                continue
            self._names[id(weights[0])] = block.name, id(biases[0]) if biases else None
            self.calls[block.name] = []

    def __enter__(self) -> LinearCalls:
        """Bind the name to what takes notes."""
        self._plain = functional.linear

        def noting(input, weight, bias=None):
            output = self._plain(input, weight, bias)
            name, own_bias = self._names.get(id(weight), (None, None))
            if name is not None:
                fits = own_bias is None or id(bias) == own_bias
                fits = fits and not is_irregular((input, output))
                self.calls[name].append((input.detach(), output) if fits else None)
            return output

        functional.linear = noting
        return self

    def __exit__(self, *error) -> None:
        """Bind the name to what it was."""
        functional.linear = self._plain


class LinearCall:
    """One call of ``linear`` with a layer's weight.

    Parameters
    ----------
    received : Tensor of shape (..., I)
        What was multiplied.
    sent : Tensor of shape (..., O)
        What it gave.
    block : Block
        The layer.
    n_samples : int
        Samples of the batch.
    """

    def __init__(
        self, received: torch.Tensor, sent: torch.Tensor, block: Block, n_samples: int
    ) -> None:
        self.received, self.sent, self.n_samples = received, [sent], n_samples
        self.pieces = ["weight" if p.ndim == 2 else "bias" for p in block.parameters]
        self._sweeps: list[torch.Tensor] = []

    def add(self, shares: Sequence[torch.Tensor | None]) -> None:
        """Take the next column's derivatives in what was sent; None stands for zeros.

        Parameters
        ----------
        shares : sequence of one Tensor or None
            The derivatives.
        """
        (share,) = shares
        self._sweeps.append(torch.zeros_like(self.sent[0]) if share is None else share)

    def factors(self) -> Iterator[Factor]:
        """Yield the factors by every layout that the shape of the call allows.

        Yields
        ------
        Factor
            One of them is right, if samples are along an axis.
        """
        for layout in _layouts(self.received.shape[:-1], self.n_samples):
            inputs = layout(self.received)[:, None]
            sweeps = torch.stack([layout(share) for share in self._sweeps], dim=1)[:, :, None]
            yield OuterFactor(inputs, sweeps, self.pieces)


def _layouts(shape, n):
    """List ways to see (*shape, width) as (n, positions, width)."""

    def first(x):
        return x.reshape(n, -1, x.shape[-1])

    def second(x):
        return x.transpose(0, 1).reshape(n, -1, x.shape[-1])

    def inner(x):
        return x.reshape(-1, n, x.shape[-1]).transpose(0, 1)

    found = []
    if len(shape) > 1 and shape[1] == n:
        found.append(second)
    if len(shape) >= 1 and shape[0] == n:
        found.append(first)
    if len(shape) == 1 and shape[0] != n and shape[0] % n == 0:
        found += [inner, first]
    return found
