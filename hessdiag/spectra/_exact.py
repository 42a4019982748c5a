"""Exact spectra: eigenvalues of dense matrices, and of Gauss-Newton matrices by their factors."""

from __future__ import annotations

import math

import numpy as np
import torch

from hessdiag.spectra._spectrum import Spectrum

__all__ = ["dense_spectrum", "gauss_newton_gap", "ggn_spectrum", "symmetric_eigenvalues"]


def symmetric_eigenvalues(matrix):
    """Return the eigenvalues of a symmetric tensor, on its device, in float64; NaN if not finite."""
    matrix = matrix.double()
    if not torch.isfinite(matrix.sum()) and not torch.isfinite(matrix).all():
        return np.full(len(matrix), math.nan)
    if matrix.device.type == "cpu":
        return np.linalg.eigvalsh(matrix.numpy())
    return torch.linalg.eigvalsh(matrix).cpu().numpy()


def dense_spectrum(matrix, gn_gap, curvature="hessian"):
    """Return the spectrum of a dense local Hessian (p, p)."""
    resolution = _resolution(matrix.dtype)
    return Spectrum.from_eigenvalues(
        symmetric_eigenvalues(matrix), len(matrix), curvature, gn_gap, resolution
    )


def ggn_spectrum(factor, signs, curvature, gn_gap):
    """Return the exact spectrum of J' B diag(s) B' J from the factor of B' J, the smaller way."""
    n_rows = factor.n_samples * factor.n_outputs
    dtype = factor.sweeps.dtype if hasattr(factor, "sweeps") else factor.jacobian.dtype
    if factor.n_params <= n_rows:
        rows = factor.dense().reshape(n_rows, -1).double()
        left = rows if signs is None else rows * signs.reshape(-1, 1)
        values = symmetric_eigenvalues(left.T @ rows)
    else:
        gram = factor.gram()
        if signs is None:
            values = symmetric_eigenvalues(gram)
        else:
            # K^1/2 diag(s) K^1/2 has the nonzero eigenvalues of J' B diag(s) B' J.
            squares, vectors = torch.linalg.eigh(gram)
            root = (vectors * squares.clamp(min=0).sqrt()) @ vectors.T
            values = symmetric_eigenvalues((root * signs.reshape(-1)) @ root)
    if signs is None:
        values = np.maximum(values, 0.0)
    return Spectrum.from_eigenvalues(
        values, factor.n_params, curvature, gn_gap, _resolution(dtype)
    )


def gauss_newton_gap(problem, weighted_factors, residuals, generator):
    """Measure |H v - G v| / |H v| for one random v per layer."""
    vectors = {
        block.name: torch.randn(
            1, block.n_params, generator=generator, dtype=problem.working_copy.dtype
        ).to(problem.working_copy.device)
        for block in problem.blocks
    }
    beyond = residuals.products(vectors)
    gaps = {}
    signs = problem.outputs.signs
    for name, v in vectors.items():
        factor = weighted_factors[name]
        image = factor.matvec(v)
        if signs is not None:
            image = image * signs.to(image.dtype)
        whole = beyond[name] + factor.rmatvec(image)
        size, rest = float(whole.norm()), float(beyond[name].norm())
        gaps[name] = rest / size if size > 0 else (0.0 if rest == 0 else math.inf)
    return gaps


def _resolution(dtype):
    """Choose the relative size below which an eigenvalue is rounding."""
    return torch.finfo(dtype).eps
