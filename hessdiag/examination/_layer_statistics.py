"""One decomposition of a layer's weighted Gram matrix, for spectrum and statistics alike."""

from __future__ import annotations

import math

import numpy as np
import torch

from hessdiag.curvature import Resolution
from hessdiag.examination._gram_statistics import RESOLUTION, gram_statistics
from hessdiag.examination._leave_one_out import (
    output_hessian_roots,
    weighted_gram,
    weighted_gram_from_jacobian,
)
from hessdiag.examination._pointwise_loss import PointwiseLoss
from hessdiag.examination._task import Task
from hessdiag.spectra import Spectrum, ggn_spectrum


class LayerStatistics:
    """What the layers of one problem have in common: outputs, targets, losses, output Hessians.

    Statistics are of the loss of each sample, not averaged: `scale` times the net's own.
    """

    def __init__(self, problem, resolution=None):
        outputs = problem.outputs
        self.resolution = Resolution() if resolution is None else resolution
        self.columns, self.factors = None, outputs.factors
        self.losses, self.task = PointwiseLoss(problem), Task(problem)
        self.scale, self.epsilon = self.losses.scale, problem.epsilon
        self.device = outputs.outputs.device
        self.outputs = outputs.outputs.cpu().numpy()
        self.residuals = self.scale * outputs.residuals.cpu().numpy()
        self.signs, self.hessians = outputs.signs, outputs.hessians.cpu().numpy()
        if outputs.signs is None and outputs.rank:
            self.roots = math.sqrt(self.scale) * outputs.factors.cpu().numpy()
        else:
            self.roots = output_hessian_roots(self.scale * outputs.hessians.cpu().numpy())
        self.targets = np.full_like(self.outputs, math.nan)
        if self.task.kind != "unknown":
            self.targets = self.task.centred_targets().cpu().numpy()

    def decompose(self, factor, gram):
        """Decompose B' K B, in the space of the parameters where these are fewer."""
        n_rows = self.roots.shape[0] * self.roots.shape[2]
        if factor.n_params < n_rows:
            jacobian = factor.dense().reshape(-1, factor.n_params).double().cpu().numpy()
            return weighted_gram_from_jacobian(jacobian, self.roots)
        return weighted_gram(gram, self.roots, factor.n_params)

    def weighted(self, factor):
        """Return the factor of B' J."""
        return factor.weighted(self.factors)

    def ggn_spectrum(self, eig, gram, factor, curvature, gap):
        """Turn a decomposition into the spectrum of the net's own loss; `factor` is weighted."""
        if self.resolution.of_curvature:
            return Spectrum.undefined(factor.n_params, curvature)
        if self.signs is not None:
            return ggn_spectrum(factor, self.signs, curvature, gap, resolution=self.epsilon)
        values = eig.eigenvalues / self.scale
        return Spectrum.from_eigenvalues(values, factor.n_params, curvature, gap, self.epsilon)

    @property
    def known(self):
        """Say whether there are statistics: losses of each sample, and derivatives of them."""
        return self.losses.known and not self.resolution.leaves_nothing

    def __call__(self, gram, ridge, eig, n_params=None, resolution=None):
        """Compute the statistics of one Gram matrix."""
        if not self.known:
            return {}
        hessians = None if eig is not None else np.einsum("ncr,ndr->ncd", self.roots, self.roots)
        return gram_statistics(
            gram,
            hessians,
            self.residuals,
            self.outputs,
            self.targets,
            self._pointwise_loss,
            ridge,
            eig=eig,
            n_params=n_params,
            resolution=self._digits(resolution),
        )

    def _digits(self, resolution):
        """Return the rounding of a Gram matrix; that of all layers' sum where None is given."""
        given = self.resolution.of_all if resolution is None else resolution
        return max(given, RESOLUTION)

    def _pointwise_loss(self, outputs):
        """Evaluate losses and errors (N,) at outputs (N, C), as arrays."""
        outputs = torch.as_tensor(outputs, dtype=torch.float64, device=self.device)
        with torch.no_grad():
            losses, errors = self.losses(outputs), self.task.errors(outputs)
        return losses.cpu().numpy(), errors.cpu().numpy()

    def gram_spectrum(self, gram, n_params):
        """Return the Gauss-Newton spectrum of the whole net from the summed Gram matrices."""
        if self.resolution.of_curvature:
            return Spectrum.undefined(n_params, "ggn")
        if self.signs is not None:
            values = _product_eigenvalues(gram, self.hessians)
        else:
            n_samples, n_outputs, n_roots = self.roots.shape
            blocks = gram.reshape(n_samples, n_outputs, -1)
            left = (self.roots.transpose(0, 2, 1) @ blocks).reshape(-1, n_samples, n_outputs)
            weighted = left.transpose(1, 0, 2) @ self.roots  # (M, N R, R), columns of sample M
            size = n_samples * n_roots
            weighted = weighted.transpose(1, 0, 2).reshape(size, size)
            values = np.maximum(_eigenvalues(weighted) / self.scale, 0.0)
        return Spectrum.from_eigenvalues(values, n_params, "ggn", resolution=self.epsilon)


def _eigenvalues(matrix):
    """Return the eigenvalues of a symmetric array, NaN where it is not finite."""
    if not np.isfinite(matrix).all():
        return np.full(len(matrix), np.nan)
    return np.linalg.eigvalsh(matrix)


def _product_eigenvalues(gram, hessians):
    """Return the eigenvalues of J' Lambda J from K = J J', Lambda block-diagonal and indefinite."""
    if not np.isfinite(gram).all():
        return np.full(len(gram), np.nan)
    squares, vectors = np.linalg.eigh(gram)
    root = vectors * np.sqrt(np.maximum(squares, 0.0))
    blocks = root.reshape(*hessians.shape[:2], -1)
    return np.linalg.eigvalsh(root.T @ (hessians @ blocks).reshape(len(gram), -1))
