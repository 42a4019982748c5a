"""The loss as a function of the outputs alone: residuals and output Hessians of every sample."""

from __future__ import annotations

import torch

__all__ = ["OutputCurvature", "output_curvature"]

# Output Hessians of more entries than this are not formed.
MAX_HESSIAN_ENTRIES = 40_000_000


class NotSeparableError(Exception):
    """The scalar is not a sum over samples of functions of each sample's outputs."""


class OutputHessiansTooLargeError(NotSeparableError):
    """The scalar is such a sum, but its second derivatives in the outputs are too many."""


class OutputCurvature:
    """Loss, residuals (N, D), Hessians (N, D, D) and their factors (N, D, R) at the outputs.

    `hessians` equals ``factors @ diag(signs) @ factors.T`` per sample; `signs` is None where all
    are positive, as for every convex criterion.
    """

    def __init__(self, outputs, loss, residuals, hessians):
        self.outputs = outputs
        self.loss = loss
        self.residuals = residuals
        self.hessians = hessians
        self.factors, self.signs = _factorize(hessians)

    @property
    def rank(self):
        """Count the columns of the factors: C - 1 for cross-entropy, 1 for a scalar output."""
        return self.factors.shape[2]

    @property
    def convex(self):
        """Say whether every output Hessian is positive semidefinite."""
        return self.signs is None


def flatten_outputs(outputs):
    """View outputs (N, ...) as (N, D)."""
    return outputs.reshape(len(outputs), -1)


def output_hessians_fit(outputs):
    """Say whether the second derivatives of a scalar in each sample's outputs can be formed."""
    return outputs.numel() ** 2 // len(outputs) <= MAX_HESSIAN_ENTRIES


def output_curvature(scalar, outputs):
    """Differentiate `scalar` (outputs -> 0-d tensor) twice in the outputs (N, ...), in float64."""
    shape = outputs.shape
    n_samples = shape[0]
    leaf = outputs.detach().double().clone().requires_grad_(True)
    loss = scalar(leaf)
    n_outputs = leaf.numel() // n_samples
    gradient = None
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True, allow_unused=True)
    if gradient is None:
        gradient = torch.zeros_like(leaf)
    if not output_hessians_fit(outputs):
        _check_halves(gradient, leaf)
        raise OutputHessiansTooLargeError("the output Hessians are too large to be formed")
    hessians = leaf.new_zeros(n_samples, n_outputs, n_outputs)
    if gradient.requires_grad:
        flat = flatten_outputs(gradient)
        for c in range(n_outputs):
            (column,) = torch.autograd.grad(
                flat[:, c].sum(), leaf, retain_graph=True, allow_unused=True
            )
            if column is not None:
                hessians[:, c] = flatten_outputs(column)
        _check_separable(gradient, leaf, hessians)
    hessians = 0.5 * (hessians + hessians.mT)
    return OutputCurvature(
        outputs=flatten_outputs(leaf.detach()),
        loss=float(loss.detach()),
        residuals=flatten_outputs(gradient.detach()),
        hessians=hessians,
    )


def _check_halves(gradient, leaf):
    """Check that the second derivatives between the two halves of the samples vanish."""
    if not gradient.requires_grad or len(leaf) < 2:
        return
    half = len(leaf) // 2
    probe = torch.randn(leaf.shape, dtype=leaf.dtype, device=leaf.device)
    probe[half:] = 0
    (product,) = torch.autograd.grad(
        (gradient * probe).sum(), leaf, retain_graph=True, allow_unused=True
    )
    if product is not None and product[half:].norm() > _rounding(product, gradient):
        raise NotSeparableError("the scalar couples the outputs of different samples")


def _check_separable(gradient, leaf, hessians):
    """Compare one random product of the full output Hessian with the block-diagonal one."""
    probe = torch.randn(leaf.shape, dtype=leaf.dtype, device=leaf.device)
    (full,) = torch.autograd.grad((gradient * probe).sum(), leaf, allow_unused=True)
    if full is None:
        return
    blockwise = torch.einsum("ncd,nd->nc", hessians, flatten_outputs(probe))
    difference = (flatten_outputs(full) - blockwise).norm()
    if difference > _rounding(full, gradient):
        raise NotSeparableError("the scalar couples the outputs of different samples")


def _rounding(product, gradient):
    """Size of a product with second derivatives that may be mere rounding.

    Where outputs are saturated there is hardly any curvature, and what there is has the absolute
    error of the gradient.
    """
    return 1e-6 * (1e-30 + product.norm()) + 1e-12 * gradient.detach().norm()


def _factorize(hessians):
    """Write the Hessians (N, D, D) as B diag(s) B', with null columns of B dropped for all."""
    n_samples, n_outputs, _ = hessians.shape
    if not torch.isfinite(hessians).all():
        return hessians.new_full((n_samples, n_outputs, n_outputs), float("nan")), None
    if n_outputs == 1:
        values = hessians[:, :, 0]
        vectors = torch.ones_like(hessians)
    else:
        values, vectors = torch.linalg.eigh(hessians)
    size = values.abs()
    threshold = 100 * n_outputs * torch.finfo(hessians.dtype).eps * size.max().item()
    order = size.argsort(dim=1, descending=True)
    rank = max(1, int((size > threshold).sum(dim=1).max()))
    order = order[:, :rank]
    values = values.gather(1, order)
    vectors = vectors.gather(2, order[:, None, :].expand(-1, n_outputs, -1))
    values = torch.where((values < 0) & (values >= -threshold), 0.0, values)
    factors = vectors * values.abs().sqrt()[:, None, :]
    signs = torch.where(values < -threshold, -1.0, 1.0)
    return factors, (signs if bool((signs < 0).any()) else None)
