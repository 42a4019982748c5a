"""Roots of output Hessians in closed form, for losses that turn out to have them.

Whether a loss is of such a form is found by products with its Hessians, not by its name:

- a diagonal ``Lambda_n``, as of squared errors or of one sigmoid for each output, has
  ``B_n = Lambda_n^(1/2)``;
- a softmax over classes at each position, ``Lambda = c (diag(p) - p p')`` with any weight
  ``c >= 0``, has ``B = c^(1/2) diag(q) (I - q q')`` with ``q = p^(1/2)``: as ``|q| = 1``,
  ``I - q q'`` is its own square.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from hessdiag.curvature._output_function import OutputFunction

# What is left of a product that is not of the form, relative to it, in float64.
TOLERANCE = 1e-8


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
    diagonal = signs * images[1]
    if _is_same(diagonal * normals, images[0]):
        if bool((diagonal < 0).any()):
            return None
        root = diagonal.sqrt_()
        return lambda w: root * w
    del diagonal
    shape = function.values.shape
    for axis in range(1, len(shape)):
        found = _softmax_root(function.values.double(), axis, vectors, images)
        if found is not None:
            return found
    return None


def random_signs(function: OutputFunction, generator: torch.Generator) -> torch.Tensor:
    """Draw one random sign per output, (N, D) in float64."""
    residuals = function.products.residuals
    drawn = torch.randint(0, 2, residuals.shape, generator=generator, dtype=torch.int8)
    return (2 * drawn - 1).to(residuals)


def _softmax_root(values, axis, vectors, images):
    """Return the root of a softmax along an axis; None where Hessians are not of its form."""
    if values.shape[axis] < 2:
        return None
    p = values.softmax(dim=axis)
    weights = None
    for vector, image in zip(vectors, images, strict=True):
        vector, image = vector.view_as(p), image.view_as(p)
        product = p * (vector - (p * vector).sum(dim=axis, keepdim=True))
        if weights is None:
            lengths = product.square().sum(dim=axis, keepdim=True)
            along = (product * image).sum(dim=axis, keepdim=True)
            # Where one class has all the probability there is nothing to weigh.
            weights = torch.where(lengths > 0, along / torch.where(lengths > 0, lengths, 1.0), 0.0)
        if not _is_same(weights * product, image) or bool((weights < 0).any()):
            return None
    q, scale = p.sqrt_(), weights.sqrt()

    def root(w):
        w = w.view_as(q)
        return (scale * q * (w - q * (q * w).sum(dim=axis, keepdim=True))).flatten(1)

    return root


def _is_same(found, expected):
    """Say whether two tensors are the same up to rounding."""
    return bool((found - expected).norm() <= TOLERANCE * expected.norm())
