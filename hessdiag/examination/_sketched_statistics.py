"""Statistics of layers where a sample has too many outputs to look at all: by random columns.

A factor is swept by a few columns of outputs for each sample instead of by all: the residual, the
centred target, random roots of the output Hessian (`random_roots`), and two columns of random
signs. With C_n (D, q) these columns, ``C' K C`` has all that statistics ask for:

- the block of the roots is ``S' K S``, whose eigenvalues stand for those of the Gauss-Newton
  matrix: unbiased in the trace, with the standard error that the columns' own traces show;
- that of the residuals holds the inner products ``g_n' g_m`` of the samples' gradients: exact;
- leave-one-out shifts of the outputs are found as ``C_n' shift``, and put back as the vector of
  least length in the span of the columns;
- ``|K|_F^2`` is the mean of ``sum_nm (u_n' K_nm v_m)^2`` over random signs u and v.

What would take all outputs at once, kernels centred over samples, is not known.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from hessdiag.curvature import Resolution, random_roots
from hessdiag.examination._gram_statistics import MULTIPLES, gradient_statistics, ridge_statistics
from hessdiag.examination._layer_statistics import LayerStatistics
from hessdiag.examination._leave_one_out import weighted_gram
from hessdiag.examination._pointwise_loss import PointwiseLoss
from hessdiag.examination._task import Task
from hessdiag.spectra import Spectrum

# Places of the columns: residual, target, two of signs, and then the roots.
FIRST_ROOT = 4


class SketchedStatistics(LayerStatistics):
    """What the layers of one problem have in common, seen through a few columns of outputs.

    `columns` (N, D, q) are what factors are to be weighted by. Statistics are of the loss of each
    sample, as those of `LayerStatistics`.
    """

    def __init__(self, problem, n_roots, generator, resolution=None):
        function = problem.output_function
        self.resolution = Resolution() if resolution is None else resolution
        self.losses, self.task = PointwiseLoss(problem), Task(problem)
        self.scale, self.signs, self.epsilon = self.losses.scale, None, problem.epsilon
        self.values = function.values.reshape(problem.n_samples, -1).double()
        self.device = self.values.device
        residuals = self.scale * function.products.residuals
        targets = torch.zeros_like(residuals)
        self.knows_targets = self.task.kind != "unknown"
        if self.knows_targets:
            targets = self.task.centred_targets().to(residuals)
        self.lengths = float(residuals.square().sum()), float(targets.square().sum())
        self.targets = targets.cpu().numpy()
        drawn = math.sqrt(self.scale) * random_roots(function, n_roots, generator)
        signs = torch.randint(0, 2, (*residuals.shape, 2), generator=generator, dtype=torch.int8)
        n, q, self.n_roots = problem.n_samples, FIRST_ROOT + drawn.shape[2], drawn.shape[2]
        dtype = problem.working_copy.dtype
        columns = residuals.new_empty(*residuals.shape, q, dtype=dtype)
        columns[..., 0], columns[..., 1] = residuals, targets
        columns[..., 2:FIRST_ROOT], columns[..., FIRST_ROOT:] = 2 * signs - 1, drawn
        self.columns = columns
        del residuals, drawn
        # In the coordinates of the columns, roots are the last of them, and residuals the first.
        self.roots = np.zeros((n, q, self.n_roots))
        self.roots[:, FIRST_ROOT:] = np.eye(self.n_roots)
        self.residuals = np.zeros((n, q))
        self.residuals[:, 0] = 1.0
        # Sample by sample, as columns may be many.
        products = torch.stack([each.double().mT @ each.double() for each in columns])
        self.inverse = torch.linalg.pinv(products, hermitian=True, rtol=1e-10)

    def weighted(self, factor):
        """Return None: the Gauss-Newton matrix itself is not to be had from this factor."""

    def ggn_spectrum(self, eig, gram, factor, curvature, gap):
        """Turn a decomposition into an estimate of the spectrum of the net's own loss."""
        if self.resolution.of_curvature:
            return Spectrum.undefined(factor.n_params, curvature)
        values = eig.eigenvalues / self.scale
        return self._estimate(values, gram, factor.n_params, curvature, gap)

    def gram_spectrum(self, gram, n_params):
        """Return the Gauss-Newton spectrum of the whole net from the summed Gram matrices."""
        exact = super().gram_spectrum(gram, n_params)
        if self.resolution.of_curvature:
            return exact
        values = exact.nodes[exact.nodes != 0]
        return self._estimate(values, gram, n_params, "ggn")

    def _estimate(self, values, gram, n_params, curvature, gap=math.nan):
        """Make a spectrum of eigenvalues that random columns gave, which have an error."""
        known = Spectrum.from_eigenvalues(values, n_params, curvature, gap, self.epsilon)
        r = self.n_roots
        diagonal = gram.diagonal().reshape(len(self.roots), -1)[:, FIRST_ROOT:]
        traces = diagonal.sum(axis=0) / self.scale
        error = math.sqrt(r) * float(traces.std(ddof=1)) if r > 1 else math.nan
        return replace(known, exact=False, trace_error=error)

    def __call__(self, gram, ridge, eig, n_params=None, resolution=None):
        """Compute the statistics of one Gram matrix ``C' K C``."""
        if not self.known:
            return {}
        if eig is None:
            eig = weighted_gram(gram, self.roots, n_params)
        none = np.zeros(self.residuals.shape)
        with np.errstate(all="ignore"):
            losses, errors = self._pointwise_loss(none)
            found = ridge_statistics(
                eig,
                gram,
                self.residuals,
                none,
                losses,
                errors,
                self._pointwise_loss,
                ridge,
                np.array(MULTIPLES),
                self._digits(resolution),
            )
            blocks = gram.reshape(2 * self.residuals.shape)
            ones = np.ones((len(blocks), 1))
            found |= gradient_statistics(
                blocks[:, 0, :, 0], ones, self.targets, self._digits(resolution)
            )
            found |= self._alignments(blocks)
        return {name: float(v) if np.isfinite(v) else math.nan for name, v in found.items()}

    def _alignments(self, blocks):
        """Cosines of K with the outer products of residuals and targets."""
        norm = math.sqrt(np.square(blocks[:, 2, :, 3]).sum())
        found = {}
        for place, name in enumerate(("residual", "target")):
            energy = blocks[:, place, :, place].sum()
            found[f"{name}_alignment"] = energy / (norm * self.lengths[place])
        if not self.knows_targets:
            found["target_alignment"] = math.nan
        return found

    def _pointwise_loss(self, shifts):
        """Evaluate losses and errors (N,) at shifts of the outputs, given as ``C' shift``."""
        shifts = torch.as_tensor(shifts, dtype=torch.float64, device=self.device)
        along = (self.inverse @ shifts[..., None]).to(self.columns.dtype)
        outputs = self.values + (self.columns @ along)[..., 0]
        with torch.no_grad():
            losses, errors = self.losses(outputs), self.task.errors(outputs)
        return losses.cpu().numpy(), errors.cpu().numpy()
