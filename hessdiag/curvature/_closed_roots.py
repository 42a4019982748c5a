"""Roots of output Hessians in closed form, for losses that turn out to have them.

Whether a loss is of such a form is found by products with its Hessians, not by its name:

- a diagonal ``Lambda_n``, as of squared errors or of one sigmoid for each output, has
  ``B_n = Lambda_n^(1/2)``;
- a softmax over classes at each position, ``Lambda = c (diag(p) - p p')`` with any weight
  ``c >= 0``, has ``B = c^(1/2) diag(q) (I - q q')`` with ``q = p^(1/2)``: as ``|q| = 1``,
  ``I - q q'`` is its own square.

Every sample, and every position, is held to its own scale, as some may weigh far more than others.

A softmax that is sure of class m leaves little of its terms: ``(Lambda v)_m`` is ``c p_m`` times
``v_m - p' v``, two numbers that are next to equal. What the loss makes of them has an error of some
roundings of ``c p_m |v|``, whatever is left: so much is allowed for, in every row. The other
classes' rows ``c p_j (v_j - p' v)`` have their digits, and tell c and whether the form fits; row m
is minus their sum, as rows of Lambda sum to zero. So with ``1 - p_m = sum_(j != m) p_j``, here

``(Lambda v)_m = c p_m ((1 - p_m) v_m - sum_(j != m) p_j v_j)``,

and so for B, with q in place of p in the last sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from hessdiag.curvature._output_function import OutputFunction

# What is left of a product that is not of the form, relative to it, in float64; or so many
# roundings of the precision that the loss is computed in.
TOLERANCE, ROUNDINGS = 1e-8, 100


def closed_root(
    function: OutputFunction, generator: torch.Generator
) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Find a root of all output Hessians in closed form.

    Parameters
    ----------
    function : OutputFunction
        The scalar as a function of the outputs.
    generator : torch.Generator
        Where random signs come from, with which the form is tried.

    Returns
    -------
    callable or None
        Maps w (N, D) to ``B_n w_n`` with ``B_n B_n' = Lambda_n``; None where no form fits, or
        where the Hessians are not positive semidefinite.
    """
    signs = random_signs(function, generator)
    # No class of a softmax has the same number as all others here, as signs may have.
    normals = torch.randn(signs.shape, generator=generator, dtype=torch.float64).to(signs)
    vectors = normals, signs
    images = [function.products.products(each[None], 0)[0] for each in vectors]
    epsilon = torch.finfo(function.precision).eps
    tolerance = max(TOLERANCE, ROUNDINGS * epsilon)
    diagonal = signs * images[1]
    # Outputs by themselves; what is far below a sample's largest is rounding of sums with it.
    floors = ROUNDINGS * epsilon * diagonal.abs().amax(dim=1, keepdim=True)
    found, image = diagonal * normals, images[0]
    if bool(((found - image).abs() <= tolerance * found.abs() + floors * normals.abs()).all()):
        if bool((diagonal < -floors).any()):
            return None
        root = diagonal.clamp_(min=0).sqrt_()
        return lambda w: root * w
    del diagonal, found, image
    for axis in range(1, function.values.ndim):
        root = _softmax_root(function.values.double(), axis, vectors, images, tolerance, epsilon)
        if root is not None:
            return root
    return None


def random_signs(function: OutputFunction, generator: torch.Generator) -> torch.Tensor:
    """Draw one random sign per output, (N, D) in float64."""
    residuals = function.products.residuals
    drawn = torch.randint(0, 2, residuals.shape, generator=generator, dtype=torch.int8)
    return (2 * drawn - 1).to(residuals)


def _softmax_root(values, axis, vectors, images, tolerance, epsilon):
    """Return the root of a softmax along an axis; None where Hessians are not of its form."""
    if values.shape[axis] < 2:
        return None
    softmax = _Softmax(values, axis)
    weights = None
    for vector, image in zip(vectors, images, strict=True):
        vector, image = vector.view_as(values), image.view_as(values)
        product = softmax.product(vector)
        others, rest = product.masked_fill(softmax.top, 0.0), image.masked_fill(softmax.top, 0.0)
        if weights is None:
            # Numbers whose squares would be too small for float64 are made larger first.
            sizes = others.abs().amax(dim=axis, keepdim=True)
            sizes = torch.where(sizes > 0, sizes, 1.0)
            unit = others / sizes
            lengths = unit.square().sum(dim=axis, keepdim=True)
            along = (unit * (rest / sizes)).sum(dim=axis, keepdim=True)
            # Where one class has all the probability there is nothing to weigh.
            weights = torch.where(lengths > 0, along / torch.where(lengths > 0, lengths, 1.0), 0.0)
            if bool((weights < 0).any()):
                return None
        lost = (weights * product - image).abs()
        allowed = tolerance * (weights * others).abs().amax(dim=axis, keepdim=True)
        largest = weights * vector.abs().amax(dim=axis, keepdim=True)
        if not bool((lost <= allowed + ROUNDINGS * epsilon * largest * softmax.p).all()):
            return None
    scale = weights.sqrt_()
    return lambda w: (scale * softmax.root(w.view_as(values))).flatten(1)


class _Softmax:
    """Probabilities p along an axis, the second derivatives of their normalizer, and their root."""

    def __init__(self, values, axis):
        self.axis, self.p = axis, values.softmax(dim=axis)
        index = values.argmax(dim=axis, keepdim=True)
        self.top = torch.zeros_like(values, dtype=torch.bool).scatter_(axis, index, True)
        # One minus the largest probability, with all its digits.
        self.left = self._sum(self.p.masked_fill(self.top, 0.0))
        self.q = self.p.sqrt()

    def product(self, v):
        """Return ``p (v - p' v)``."""
        return self.p * self._away(self.p, v)

    def root(self, w):
        """Return ``q (w - q q' w)``."""
        return self.q * self._away(self.q, w, self.q)

    def _away(self, weights, v, factor=1.0):
        """Return v less its weighted sum, times a factor; at the largest probability as it is."""
        total = self._sum(weights * v)
        rest = self._sum((weights * v).masked_fill(self.top, 0.0))
        return torch.where(self.top, self.left * v - factor * rest, v - factor * total)

    def _sum(self, tensor):
        """Sum along the axis."""
        return tensor.sum(dim=self.axis, keepdim=True)
