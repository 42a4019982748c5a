"""Random columns that stand for the output Hessians, where these have too many of their own.

With ``Lambda_n = B_n B_n'`` (D, D) and a random ``Omega_n`` of r columns with
``E[Omega_n Omega_n'] = I``, drawn for every sample by itself, ``S_n = B_n Omega_n`` (D, r) has
``E[S_n S_n'] = Lambda_n``. So ``sum_n J_n' S_n S_n' J_n`` is the Gauss-Newton matrix in the mean,
and so is its trace; with r the rank of the Hessians it is that matrix itself.

Where Hessians can be formed, ``B`` is known and ``Omega`` has orthogonal columns, which lessens
the variance. Where they cannot, a closed form of ``B`` is used where there is one; else
``B = Lambda^(1/2)``, and ``Lambda^(1/2) w`` follows from products
with Lambda by Lanczos iterations from w, run for all samples at once: with ``Lambda V = V T`` it is
``|w| V T^(1/2) e_1``, whose squared length is ``w' Lambda w`` after any number of steps, as
long as V stays orthogonal.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from hessdiag.curvature._closed_roots import closed_root, random_signs
from hessdiag.curvature.network import NotSeparableError

if TYPE_CHECKING:
    from hessdiag.curvature._output_function import OutputFunction

# Steps of the iterations for square roots: what they leave is below what few columns leave.
N_STEPS = 12
# Negative curvature beyond this share of a sample's largest, or so many roundings of the precision
# that the loss is computed in, is no rounding.
NEGATIVE, ROUNDINGS = 1e-6, 100


def random_roots(
    function: OutputFunction, n_columns: int, generator: torch.Generator
) -> torch.Tensor:
    """Draw columns that stand for the roots of every sample's output Hessian.

    Parameters
    ----------
    function : OutputFunction
        The scalar as a function of the outputs.
    n_columns : int
        Columns r for every sample; from the rank of the Hessians on, these are exact.
    generator : torch.Generator
        Where random numbers come from.

    Returns
    -------
    Tensor of shape (N, D, r)
        Columns S in float64 with ``E[S_n S_n'] = Lambda_n``, of the scalar itself, a mean over
        samples as a rule.

    Raises
    ------
    NotSeparableError
        If an output Hessian has negative eigenvalues, and therefore no roots.
    """
    if function.hessians_fit:
        return _of_formed(function, n_columns, generator)
    root = closed_root(function, generator)
    if root is None:
        columns = [_of_products(function, generator) for _ in range(n_columns)]
    else:
        columns = [root(random_signs(function, generator)) for _ in range(n_columns)]
    return torch.stack(columns, dim=2) / math.sqrt(n_columns)


def _of_formed(function, n_columns, generator):
    """Combine the columns of known roots at random; all of them where there are no more."""
    known = function.curvature
    if known.signs is not None:
        raise NotSeparableError("the loss is not convex in the outputs")
    roots, rank = known.factors, known.rank
    if n_columns >= rank:
        return roots
    drawn = torch.randn(len(roots), rank, n_columns, generator=generator, dtype=torch.float64)
    orthogonal = torch.linalg.qr(drawn.to(roots.device))[0]
    return math.sqrt(rank / n_columns) * (roots @ orthogonal)


def _of_products(function, generator):
    """Multiply one random sign per output by the square root of every output Hessian: (N, D)."""
    products, shape = function.products, function.products.residuals.shape
    start = random_signs(function, generator) / math.sqrt(shape[1])
    diagonal, off = _tridiagonal(products, start)
    values, vectors = _decomposed(diagonal, off)
    _check_convex(function, values)
    roots = values.clamp(min=0).sqrt()
    # The first columns of the square roots of the tridiagonal matrices.
    weights = (vectors * (roots * vectors[:, 0])[:, None, :]).sum(dim=2)
    weights *= math.sqrt(shape[1])
    # The vectors are made anew rather than kept, of which there would be as many as steps.
    total = torch.zeros_like(start)
    for step, vector in enumerate(_vectors(products, start, diagonal, off)):
        total += weights[:, step, None] * vector
    return total


def _image(products, vector):
    """Multiply one vector (N, D) by the output Hessians."""
    return products.products(vector[None], 0)[0]


def _tridiagonal(products, start):
    """Run Lanczos iterations in every sample: diagonals (N, m) and off-diagonals (N, m)."""
    diagonal, off = [], []
    previous, vector = torch.zeros_like(start), start
    below = start.new_zeros(len(start))
    for _ in range(min(N_STEPS, start.shape[1])):
        image = _image(products, vector) - below[:, None] * previous
        along = (image * vector).sum(dim=1)
        image -= along[:, None] * vector
        diagonal.append(along)
        below = image.norm(dim=1)
        # Rounding is all that is left where an invariant space was found.
        below = torch.where(below > 1e-10 * torch.stack(diagonal).abs().amax(dim=0), below, 0.0)
        off.append(below)
        previous, vector = vector, _divided(image, below)
    return torch.stack(diagonal, dim=1), torch.stack(off, dim=1)


def _vectors(products, start, diagonal, off):
    """Yield the vectors of the same iterations once more."""
    previous, vector = torch.zeros_like(start), start
    below = torch.zeros_like(diagonal[:, 0])
    for step in range(diagonal.shape[1]):
        yield vector
        if step + 1 == diagonal.shape[1]:
            return
        image = _image(products, vector) - below[:, None] * previous
        image -= diagonal[:, step, None] * vector
        below = off[:, step]
        previous, vector = vector, _divided(image, below)


def _divided(vectors, lengths):
    """Divide vectors (N, D) by their lengths; zeros where these are zero."""
    scales = torch.where(lengths > 0, 1 / torch.where(lengths > 0, lengths, 1.0), 0.0)
    return vectors * scales[:, None]


def _decomposed(diagonal, off):
    """Return eigenvalues (N, m) and eigenvectors (N, m, m) of tridiagonal matrices."""
    matrices = torch.diag_embed(diagonal)
    if diagonal.shape[1] > 1:
        beside = off[:, :-1]
        matrices = matrices + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
    return torch.linalg.eigh(matrices)


def _check_convex(function, values):
    """Check that the eigenvalues (N, m) of no sample are negative but for rounding.

    Products of a sample have the rounding of that sample's own terms, whatever the others weigh:
    a share of its largest eigenvalue, or of what its curvature is where terms do not cancel.
    """
    share = max(NEGATIVE, ROUNDINGS * torch.finfo(function.precision).eps)
    allowed = share * values.abs().amax(dim=1, keepdim=True)
    if not bool((values < -allowed).any()):
        return
    if bool((values < -torch.maximum(allowed, function.floors()[:, None])).any()):
        raise NotSeparableError("the loss is not convex in the outputs")
