"""The loss as a function of the outputs alone: residuals and output Hessians of every sample."""

from __future__ import annotations

from collections.abc import Callable

import torch

from hessdiag.curvature.network._precision import coarsest_precision

# Output Hessians of more entries than this are not formed.
MAX_HESSIAN_ENTRIES = 40_000_000
# By how much products with second derivatives may differ, relative to their length.
SAME = 1e-6
# By how much derivatives change that have nothing to do with what was changed: not at all, but for
# sums that are taken in another order.
UNCHANGED = 1e-9
# Roundings of its entries that move a matrix's eigenvalues.
ROUNDINGS = 30


class NotSeparableError(Exception):
    """The scalar is not a sum over samples of functions of each sample's outputs."""


class OutputHessiansTooLargeError(NotSeparableError):
    """The scalar is such a sum, but its second derivatives in the outputs are too many."""

    reason = "the output Hessians are too large to be formed"


class OutputCurvature:
    """Loss, residuals (N, D), Hessians (N, D, D) and their factors (N, D, R) at the outputs.

    `hessians` equals ``factors @ diag(signs) @ factors.T`` per sample; `signs` is None where all
    are positive, as for every convex criterion. Eigenvalues that are rounding count as zeros.

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
    precision : torch.dtype, default=torch.float64
        What the scalar is computed in.
    floors : callable or None, default=None
        Returns the sizes (N,) below which negative eigenvalues of each sample's Hessian are
        rounding whatever the others are; it is called where there are negative ones.
    """

    def __init__(
        self,
        outputs: torch.Tensor,
        loss: float,
        residuals: torch.Tensor,
        hessians: torch.Tensor,
        precision: torch.dtype = torch.float64,
        floors: Callable[[], torch.Tensor] | None = None,
    ) -> None:
        self.outputs = outputs
        self.loss = loss
        self.residuals = residuals
        self.hessians = hessians
        self.factors, self.signs = _factorize(hessians, precision, floors)

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
    scalar: Callable[[torch.Tensor], torch.Tensor],
    outputs: torch.Tensor,
    precision: torch.dtype | None = None,
    floors: Callable[[], torch.Tensor] | None = None,
) -> OutputCurvature:
    """Differentiate `scalar` (outputs -> 0-d tensor) twice in the outputs (N, ...), in float64.

    Parameters
    ----------
    scalar : callable
        Maps outputs (N, ...) to a 0-d tensor.
    outputs : Tensor of shape (N, ...)
        Where to differentiate.
    precision : torch.dtype or None, default=None
        What the scalar is computed in, as `check_uncoupled_scalar` found it; None checks.
    floors : callable or None, default=None
        As in `OutputCurvature`.

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
    if precision is None:
        precision, _ = check_uncoupled_scalar(scalar, outputs)
    n_samples = len(outputs)
    leaf, loss, gradient = _differentiate(scalar, outputs)
    n_outputs = leaf.numel() // n_samples
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
        precision=precision,
        floors=floors,
    )


def check_uncoupled_scalar(
    scalar: Callable[[torch.Tensor], torch.Tensor], outputs: torch.Tensor
) -> tuple[torch.dtype, torch.Tensor]:
    """Check that a scalar's second derivatives between the outputs of different samples vanish.

    With one number s_n for each sample, drawn at random, ``H (s v) = s (H v)`` for every v if, and
    but for chance only if, H is block-diagonal. Rounding may tell the two apart as well: so where
    they differ for a sample, all others' outputs are replaced. What the sample's own derivative is
    does not change then, to the last digit, if none of them has to do with it.

    Parameters
    ----------
    scalar : callable
        Maps outputs (N, ...) to a 0-d tensor.
    outputs : Tensor of shape (N, ...)
        Where to differentiate.

    Returns
    -------
    precision : torch.dtype
        The coarsest precision that the scalar goes through.
    gradient : Tensor of shape (N, ...)
        Its first derivatives.

    Raises
    ------
    NotSeparableError
        If they do not vanish.
    """
    precision, (leaf, _, gradient) = coarsest_precision(
        torch.float64, lambda: _differentiate(scalar, outputs)
    )
    if not _looks_uncoupled(gradient, leaf) and not _is_left_alone(scalar, gradient, leaf):
        raise NotSeparableError("the scalar couples the outputs of different samples")
    return precision, gradient.detach()


def _differentiate(scalar, outputs):
    """Return outputs as a leaf, in float64, the scalar there, and its gradient with a graph."""
    leaf = outputs.detach().double().clone().requires_grad_(True)
    loss, gradient = scalar(leaf), None
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True, allow_unused=True)
    return leaf, loss, torch.zeros_like(leaf) if gradient is None else gradient


def _looks_uncoupled(gradient, leaf):
    """Check by two products with the second derivatives, of which none is formed."""
    if not gradient.requires_grad or len(leaf) < 2:
        return True
    probe = torch.randn(leaf.shape, dtype=leaf.dtype, device=leaf.device)
    scales = torch.randn(len(leaf), dtype=leaf.dtype, device=leaf.device)
    scales = scales.reshape(-1, *[1] * (leaf.ndim - 1))
    keywords = {"retain_graph": True, "allow_unused": True}
    (plain,) = torch.autograd.grad(gradient, leaf, probe, **keywords)
    if plain is None:
        return True
    # In place, as outputs may be many.
    (scaled,) = torch.autograd.grad(gradient, leaf, probe.mul_(scales), **keywords)
    del probe
    # Sample by sample, as some may count for far more than others.
    gaps = _lengths(scaled - scales * plain)
    return bool((gaps <= SAME * _lengths(scaled) + 1e-300).all())


def _is_left_alone(scalar, gradient, leaf):
    """Say whether samples' derivatives stay as they are where others' outputs are replaced.

    A half of the samples is replaced, and then the other, each by what the net sends for one of
    them: numbers that the scalar knows how to take.
    """
    n = len(leaf)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0)).to(leaf.device)
    gradient = gradient.detach()
    for replaced in (order[: n // 2], order[n // 2 :]):
        for filler in {int(replaced[0]), int(replaced[-1])}:
            index = torch.arange(n, device=leaf.device)
            index[replaced] = filler
            try:
                _, _, other = _differentiate(scalar, leaf.detach()[index])
            except Exception:
                return False
            change = _lengths(other.detach() - gradient)
            kept = torch.ones(n, dtype=torch.bool, device=leaf.device)
            kept[replaced] = False
            if not bool((change <= UNCHANGED * _lengths(gradient))[kept].all()):
                return False
    return True


def _lengths(rows):
    """Return the lengths (N,) of rows (N, ...)."""
    return rows.reshape(len(rows), -1).norm(dim=1)


def _factorize(hessians, precision, floors):
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
    # The entries of a sample's Hessian have the rounding of the largest of them.
    own = ROUNDINGS * n_outputs**0.5 * torch.finfo(precision).eps * size.amax(dim=1, keepdim=True)
    own = own.clamp(min=threshold)
    if floors is not None and bool((values < -own).any()):
        own = torch.maximum(own, floors()[:, None])
    values = torch.where((values < 0) & (values >= -own), 0.0, values)
    factors = vectors * values.abs().sqrt()[:, None, :]
    signs = torch.where(values < 0, -1.0, 1.0)
    return factors, (signs if bool((signs < 0).any()) else None)
