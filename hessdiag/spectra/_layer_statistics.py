"""One decomposition of a layer's weighted Gram matrix, for spectrum and statistics alike."""

from __future__ import annotations

import math

import numpy as np

from hessdiag.curvature import (
    PointwiseLoss,
    Task,
    gram_statistics,
    output_hessian_roots,
    weighted_gram,
    weighted_gram_from_jacobian,
)
from hessdiag.spectra._exact import ggn_spectrum
from hessdiag.spectra._spectrum import Spectrum

__all__ = ["LayerStatistics"]


class LayerStatistics:
    """What the layers of one problem have in common: outputs, targets, losses, output Hessians.

    Statistics are of the loss of each sample, not averaged: `scale` times the net's own.
    """

    def __init__(self, problem):
        outputs = problem.outputs
        self.losses, self.task = PointwiseLoss(problem), Task(problem)
        self.scale = self.losses.scale
        self.device = outputs.outputs.device
        self.outputs = outputs.outputs.cpu().numpy()
        self.residuals = self.scale * outputs.residuals.cpu().numpy()
        self.signs = outputs.signs
        if outputs.signs is None and outputs.rank:
            self.roots = math.sqrt(self.scale) * outputs.factors.cpu().numpy()
        else:
            self.roots = output_hessian_roots(self.scale * outputs.hessians.cpu().numpy())
        known = self.losses.known and self.task.values is not None
        self.targets = self.task.centred_targets().cpu().numpy() if known else None

    def decompose(self, factor, gram):
        """Decompose B' K B, in the space of the parameters where these are fewer."""
        n_rows = self.roots.shape[0] * self.roots.shape[2]
        if factor.n_params < n_rows:
            jacobian = factor.dense().reshape(-1, factor.n_params).double().cpu().numpy()
            return weighted_gram_from_jacobian(jacobian, self.roots)
        return weighted_gram(gram, self.roots, factor.n_params)

    def ggn_spectrum(self, eig, weighted_factor, curvature, gap):
        """Turn a decomposition into the spectrum of the net's own loss."""
        if self.signs is not None:
            return ggn_spectrum(weighted_factor, self.signs, curvature, gap)
        values = eig.eigenvalues / self.scale
        return Spectrum.from_eigenvalues(
            values, weighted_factor.n_params, curvature, gap, weighted_factor.epsilon
        )

    def __call__(self, gram, ridge, eig, n_parameters=None):
        """Compute the statistics of one Gram matrix."""
        if self.targets is None:
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
            n_parameters=n_parameters,
        )

    def _pointwise_loss(self, outputs):
        """Evaluate losses and errors (N,) at outputs (N, C), as arrays."""
        import torch

        outputs = torch.as_tensor(outputs, dtype=torch.float64, device=self.device)
        with torch.no_grad():
            losses, errors = self.losses(outputs), self.task.errors(outputs)
        return losses.cpu().numpy(), errors.cpu().numpy()

    def gram_spectrum(self, gram, n_params):
        """Return the Gauss-Newton spectrum of the whole net from the summed Gram matrices."""
        eig = weighted_gram(gram, self.roots, n_params)
        return Spectrum.from_eigenvalues(eig.eigenvalues / self.scale, n_params, "ggn")
