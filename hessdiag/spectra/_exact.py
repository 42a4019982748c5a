"""Exact spectra: eigenvalues of dense matrices, and of Gauss-Newton matrices by their factors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from hessdiag.curvature.factors import MAX_BLOCK_ENTRIES, DenseFactor, OuterFactor, rows_of
from hessdiag.spectra.results import Spectrum

if TYPE_CHECKING:
    from hessdiag.curvature.factors import Factor

# Least bytes of a Jacobian that are brought to float64 at once.
LEAST_SLICE = 2**23


def slice_bytes(limit):
    """Bytes of a Jacobian that may be brought to float64 at once."""
    return 12.0 * MAX_BLOCK_ENTRIES if limit is None else max(LEAST_SLICE, 0.125 * limit)


def symmetric_eigenvalues(matrix):
    """Return the eigenvalues of a symmetric tensor in float64; NaN where it is not finite."""
    matrix = matrix.double()
    if not torch.isfinite(matrix.sum()) and not torch.isfinite(matrix).all():
        return np.full(len(matrix), math.nan)
    if matrix.device.type == "cpu":
        return np.linalg.eigvalsh(matrix.numpy())
    return torch.linalg.eigvalsh(matrix).cpu().numpy()


def dense_spectrum(matrix, curvature, gn_gap, resolution=0.0):
    """Return the spectrum of a dense local curvature matrix (p, p)."""
    values, resolution = symmetric_eigenvalues(matrix), max(resolution, _epsilon(matrix))
    return Spectrum.from_eigenvalues(values, len(matrix), curvature, gn_gap, resolution)


def ggn_spectrum(
    factor: Factor,
    signs: torch.Tensor | None,
    curvature: Literal["hessian", "ggn"],
    gn_gap: float,
    max_memory: float | None = None,
    resolution: float = 0.0,
) -> Spectrum:
    """Return the spectrum of J' B diag(s) B' J from the factor of B' J, the smaller way.

    Where `max_memory` is given, Jacobians are brought to float64 in small slices.

    Parameters
    ----------
    factor : Factor
        Weighted factor of a layer, of B' J.
    signs : Tensor of shape (N, R) or None
        Signs s of the columns of B; None where all are positive.
    curvature : {"hessian", "ggn"}
        What the spectrum is said to be of.
    gn_gap : float
        Gap between Hessian and Gauss-Newton matrix, to be kept with it.
    max_memory : float or None, default=None
        Bytes to keep within.
    resolution : float, default=0.0
        Rounding of the factor's numbers, where it is more than that of their precision.

    Returns
    -------
    Spectrum
        All eigenvalues.
    """
    n_rows = factor.n_samples * factor.n_outputs
    resolution = max(resolution, _epsilon(factor))
    if n_rows == 0:
        return Spectrum.from_eigenvalues([], factor.n_params, curvature, gn_gap)
    entries = MAX_BLOCK_ENTRIES
    if max_memory is not None:
        entries = int(slice_bytes(max_memory) / 16)
    if factor.n_params <= n_rows:
        values = symmetric_eigenvalues(normal_matrix(factor, signs, entries))
    elif signs is None:
        values = symmetric_eigenvalues(gram_matrix(factor, max_memory, entries))
    else:
        # K^1/2 diag(s) K^1/2 has the nonzero eigenvalues of J' B diag(s) B' J.
        squares, vectors = torch.linalg.eigh(gram_matrix(factor, max_memory, entries))
        root = (vectors * squares.clamp(min=0).sqrt()) @ vectors.T
        values = symmetric_eigenvalues((root * signs.reshape(-1)) @ root)
    if signs is None:
        values = np.maximum(values, 0.0)
    return Spectrum.from_eigenvalues(values, factor.n_params, curvature, gn_gap, resolution)


def _epsilon(numbers):
    """Return the rounding of a tensor's or a factor's own precision."""
    return torch.finfo(numbers.dtype).eps


def normal_matrix(factor, signs, entries):
    """Return J' diag(s) J (p, p) in float64, at most some entries of J at a time."""
    n, p = factor.n_samples, factor.n_params
    step = max(1, entries // max(1, factor.n_outputs * p))
    total = 0.0
    for start in range(0, n, step):
        part = slice(start, min(n, start + step))
        rows = rows_of(factor, part).dense().reshape(-1, p).double()
        left = rows if signs is None else rows * signs[part].reshape(-1, 1)
        product = left.T @ rows
        total = product if start == 0 else total.add_(product)
    return total


def gram_matrix(factor, max_memory, entries):
    """Return J J' (N D, N D) in float64; in slices of the parameters where memory is bounded."""
    if max_memory is None or not isinstance(factor, DenseFactor | OuterFactor):
        return factor.gram()
    n_rows = factor.n_samples * factor.n_outputs
    if isinstance(factor, DenseFactor):
        columns = factor.jacobian.reshape(n_rows, -1)
        parts = columns.split(max(1, entries // n_rows), dim=1)
        grams = (rows @ rows.T for rows in (part.double() for part in parts))
    else:
        # The Gram matrix is a sum over what is sent, unit by unit.
        parts = factor.sweeps.split(max(1, entries // (n_rows * factor.fan_in)), dim=4)
        make, pieces, transposed = OuterFactor, factor.pieces, factor.transposed
        grams = (make(factor.inputs, part, pieces, transposed).gram() for part in parts)
    total = next(grams)
    for gram in grams:
        total += gram
    return total
