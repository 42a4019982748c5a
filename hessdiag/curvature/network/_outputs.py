"""The loss as a function of the outputs alone: residuals and output Hessians of every sample."""

from __future__ import annotations

from collections.abc import Callable

import torch

# Output Hessians of more entries than this are not formed.
MAX_HESSIAN_ENTRIES = 40_000_000


class NotSeparableError(Exception):
    """The scalar is not a sum over samples of functions of each sample's outputs."""


class OutputHessiansTooLargeError(NotSeparableError):
    """The scalar is such a sum, but its second derivatives in the outputs are too many."""

    reason = "the output Hessians are too large to be formed"


class OutputCurvature:
    """Loss, residuals (N, D), Hessians (N, D, D) and their factors (N, D, R) at the outputs.

    `hessians` equals ``factors @ diag(signs) @ factors.T`` per sample; `signs` is None where all
    are positive, as for every convex criterion.

    Parameters
    ----------
    outputs : Tensor of shape (N, D)
        Outputs.
    loss : float
        The scalar there.
    residuals : Tensor of shape (N, D)
        Its gradient.
    hessians : Tensor of shape (N, D, D)
        Its second derivatives in each sample's outputs.
    """

    def __init__(
        self, outputs: torch.Tensor, loss: float, residuals: torch.Tensor, hessians: torch.Tensor
    ) -> None:
        self.outputs = outputs
        self.loss = loss
        self.residuals = residuals
        self.hessians = hessians
        self.factors, self.signs = _factorize(hessians)

    @property
    def rank(self) -> int:
        """Count the columns of the factors: C - 1 for cross-entropy, 1 for a scalar output."""
        return self.factors.shape[2]

    @property
    def convex(self) -> bool:
        """Say whether every output Hessian is positive semidefinite."""
        return self.signs is None


def flatten_outputs(outputs: torch.Tensor) -> torch.Tensor:
    """View outputs (N, ...) as (N, D).

    Parameters
    ----------
    outputs : Tensor of shape (N, ...)
        Outputs.

    Returns
    -------
    Tensor of shape (N, D)
        The same numbers.
    """
    return outputs.reshape(len(outputs), -1)


def output_hessians_fit(outputs: torch.Tensor) -> bool:
    """Say whether the second derivatives of a scalar in each sample's outputs can be formed.

    Parameters
    ----------
    outputs : Tensor of shape (N, ...)
        Outputs.

    Returns
    -------
    bool
        Whether their N D² entries are not too many.
    """
    return outputs.numel() ** 2 // len(outputs) <= MAX_HESSIAN_ENTRIES


def output_curvature(
    scalar: Callable[[torch.Tensor], torch.Tensor], outputs: torch.Tensor
) -> OutputCurvature:
    """Differentiate `scalar` (outputs -> 0-d tensor) twice in the outputs (N, ...), in float64.

    Parameters
    ----------
    scalar : callable
        Maps outputs (N, ...) to a 0-d tensor.
    outputs : Tensor of shape (N, ...)
        Where to differentiate.

    Returns
    -------
    OutputCurvature
        Loss, residuals, Hessians and their factors.

    Raises
    ------
    NotSeparableError
        If the outputs of different samples interact in the scalar.
    OutputHessiansTooLargeError
        If the Hessians have too many entries.
    """
    n_samples = len(outputs)
    leaf, loss, gradient = _differentiate(scalar, outputs)
    n_outputs = leaf.numel() // n_samples
    _check_uncoupled(gradient, leaf)
    if not output_hessians_fit(outputs):
        raise OutputHessiansTooLargeError(OutputHessiansTooLargeError.reason)
    hessians = leaf.new_zeros(n_samples, n_outputs, n_outputs)
    if gradient.requires_grad:
        flat = flatten_outputs(gradient)
        for c in range(n_outputs):
            (column,) = torch.autograd.grad(
                flat[:, c].sum(), leaf, retain_graph=True, allow_unused=True
            )
            if column is not None:
                hessians[:, c] = flatten_outputs(column)
    hessians = 0.5 * (hessians + hessians.mT)
    return OutputCurvature(
        outputs=flatten_outputs(leaf.detach()),
        loss=float(loss.detach()),
        residuals=flatten_outputs(gradient.detach()),
        hessians=hessians,
    )


def check_uncoupled_scalar(
    scalar: Callable[[torch.Tensor], torch.Tensor], outputs: torch.Tensor
) -> None:
    """Check that a scalar's second derivatives between the outputs of different samples vanish.

    With one number s_n for each sample, drawn at random, ``H (s v) = s (H v)`` for every v if, and
    but for chance only if, H is block-diagonal.

    Parameters
    ----------
    scalar : callable
        Maps outputs (N, ...) to a 0-d tensor.
    outputs : Tensor of shape (N, ...)
        Where to differentiate.

    Raises
    ------
    NotSeparableError
        If they do not vanish.
    """
    leaf, _, gradient = _differentiate(scalar, outputs)
    _check_uncoupled(gradient, leaf)


def _differentiate(scalar, outputs):
    """Return outputs as a leaf, in float64, the scalar there, and its gradient with a graph."""
    leaf = outputs.detach().double().clone().requires_grad_(True)
    loss, gradient = scalar(leaf), None
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True, allow_unused=True)
    return leaf, loss, torch.zeros_like(leaf) if gradient is None else gradient


def _check_uncoupled(gradient, leaf):
    """Check by two products with the second derivatives, of which none is formed."""
    if not gradient.requires_grad or len(leaf) < 2:
        return
    probe = torch.randn(leaf.shape, dtype=leaf.dtype, device=leaf.device)
    scales = torch.randn(len(leaf), dtype=leaf.dtype, device=leaf.device)
    scales = scales.reshape(-1, *[1] * (leaf.ndim - 1))
    keywords = {"retain_graph": True, "allow_unused": True}
    (plain,) = torch.autograd.grad(gradient, leaf, probe, **keywords)
    if plain is None:
        return
    # In place, as outputs may be many.
    (scaled,) = torch.autograd.grad(gradient, leaf, probe.mul_(scales), **keywords)
    del probe
    if (scaled - scales * plain).norm() > _rounding(scaled, gradient):
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
