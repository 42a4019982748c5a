"""Exact spectra: eigenvalues of dense matrices, and of Gauss-Newton matrices by their factors."""

from __future__ import annotations

import math

import numpy as np
import torch

from hessdiag.spectra._spectrum import Spectrum

__all__ = ["dense_spectrum", "ggn_spectrum", "symmetric_eigenvalues"]


def symmetric_eigenvalues(matrix):
    """Return the eigenvalues of a symmetric tensor in float64; NaN where it is not finite."""
    matrix = matrix.double()
    if not torch.isfinite(matrix.sum()) and not torch.isfinite(matrix).all():
        return np.full(len(matrix), math.nan)
    if matrix.device.type == "cpu":
        return np.linalg.eigvalsh(matrix.numpy())
    return torch.linalg.eigvalsh(matrix).cpu().numpy()


def dense_spectrum(matrix, curvature, gn_gap):
    """Return the spectrum of a dense local curvature matrix (p, p)."""
    values, resolution = symmetric_eigenvalues(matrix), torch.finfo(matrix.dtype).eps
    return Spectrum.from_eigenvalues(values, len(matrix), curvature, gn_gap, resolution)


def ggn_spectrum(factor, signs, curvature, gn_gap):
    """Return the spectrum of J' B diag(s) B' J from the factor of B' J, the smaller way."""
    n_rows = factor.n_samples * factor.n_outputs
    resolution = torch.finfo(factor.dtype).eps
    if n_rows == 0:
        return Spectrum.from_eigenvalues([], factor.n_params, curvature, gn_gap)
    if factor.n_params <= n_rows:
        rows = factor.dense().reshape(n_rows, -1).double()
        left = rows if signs is None else rows * signs.reshape(-1, 1)
        values = symmetric_eigenvalues(left.T @ rows)
    elif signs is None:
        values = symmetric_eigenvalues(factor.gram())
    else:
        # K^1/2 diag(s) K^1/2 has the nonzero eigenvalues of J' B diag(s) B' J.
        squares, vectors = torch.linalg.eigh(factor.gram())
        root = (vectors * squares.clamp(min=0).sqrt()) @ vectors.T
        values = symmetric_eigenvalues((root * signs.reshape(-1)) @ root)
    if signs is None:
        values = np.maximum(values, 0.0)
    return Spectrum.from_eigenvalues(values, factor.n_params, curvature, gn_gap, resolution)
