"""Smooth functions of a network whose derivatives are computed once and kept for all products.

While `KeptDerivatives()` is active, the functions below are recorded in the forms of
`_kept_derivatives`. Third derivatives of what is recorded here are refused by a RuntimeError:
whoever needs them records without.
"""

from __future__ import annotations

import contextlib
import math

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from hessdiag.curvature.network import is_irregular
from hessdiag.curvature.products._kept_derivatives import (
    CrossEntropy,
    LogSoftmax,
    Normalize,
    Pointwise,
    Product,
    Softmax,
)

#: What torch's own attention answers where nothing may be looked at; before 2.5 it is nan.
SILENT_ROWS_ARE_ZERO = torch.__version__ >= (2, 5)


class KeptDerivatives(TorchFunctionMode):
    """Record smooth functions with derivatives that are kept, while this is active."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Call a function, or what stands for it where its arguments allow that."""
        kwargs = kwargs or {}
        recorded = RECORDED.get(function)
        result = None
        if recorded is not None and _is_traced(args):
            # Arguments that a recorder does not know, as `out`, are for the function itself.
            with contextlib.suppress(TypeError):
                result = recorded(function, *args, **kwargs)
        return function(*args, **kwargs) if result is None else result


def _is_traced(args):
    """Say whether the first argument is a plain tensor of real numbers that is differentiated."""
    first = args[0] if args else None
    plain = type(first) in (torch.Tensor, torch.nn.Parameter) and not first.is_nested
    if not (plain and first.is_floating_point() and torch.is_grad_enabled()):
        return False
    return first.requires_grad and not is_irregular(args)


def _record_pointwise(function, z, *args, inplace=False, **kwargs):
    """Record an activation, if it does not work in place."""
    if inplace or any(arg is True for arg in args) or "out" in kwargs:
        return None
    return Pointwise.apply(z, lambda values: function(values, *args, **kwargs))


def _record_softmax(function, z, dim=None, _stacklevel=3, dtype=None):
    """Record a softmax along a known axis."""
    if not isinstance(dim, int) or not isinstance(_stacklevel, int) or dtype is not None:
        return None
    return Softmax.apply(z, dim, None)


def _record_log_softmax(function, z, dim=None, _stacklevel=3, dtype=None):
    """Record a log-softmax along a known axis."""
    if not isinstance(dim, int) or not isinstance(_stacklevel, int) or dtype is not None:
        return None
    return LogSoftmax.apply(z, dim)


def _record_cross_entropy(
    function,
    z,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """Record cross-entropy with classes as targets as log-softmax and negative log-likelihood."""
    if size_average is not None or reduce is not None or label_smoothing:
        return None
    if not isinstance(target, torch.Tensor) or target.is_floating_point() or z.ndim == 0:
        return None
    axis = 1 if z.ndim > 1 else 0
    last = z.movedim(axis, -1)
    if (
        not last.is_contiguous()
        or target.shape != last.shape[:-1]
        or (target == ignore_index).any()
    ):
        logarithms = LogSoftmax.apply(z, axis)
        return functional.nll_loss(logarithms, target, weight, None, ignore_index, None, reduction)
    # Classes are neighbours in memory, as a linear layer sends them: so they stay, in all products.
    weights = None if weight is None else weight[target]
    losses = CrossEntropy.apply(last, target, weights)
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "mean":
        total = total / (losses.numel() if weights is None else weights.sum())
    return total


def _record_layer_norm(function, z, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Record the normalization; weight and bias follow as plain products and sums."""
    shape = [normalized_shape] if isinstance(normalized_shape, int) else list(normalized_shape)
    if not shape or list(z.shape[-len(shape) :]) != shape:
        return None
    result = Normalize.apply(z, shape, eps)
    if weight is not None and bias is not None:
        return torch.addcmul(bias, result, weight)
    result = result if weight is None else result * weight
    return result if bias is None else result + bias


def _record_attention(
    function,
    query,
    key,
    value,
    attn_mask=None,
    dropout_p=0.0,
    is_causal=False,
    scale=None,
    enable_gqa=False,
):
    """Record attention as products of matrices around a softmax."""
    if dropout_p or enable_gqa or (attn_mask is not None and attn_mask.requires_grad):
        return None
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores, silent = _multiply(query * scale, key, transposed=True), None
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        attn_mask = allowed if attn_mask is None else None
        if attn_mask is None:
            return None
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            zeros = torch.zeros(attn_mask.shape, dtype=scores.dtype, device=scores.device)
            attn_mask = zeros.masked_fill(~attn_mask, -math.inf)
        scores = scores + attn_mask
        if not is_causal and SILENT_ROWS_ARE_ZERO:
            # Who may look at nothing sees nothing.
            silent = (scores.detach() == -math.inf).all(dim=-1, keepdim=True)
    return _multiply(Softmax.apply(scores, -1, silent), value)


def _multiply(left, right, transposed=False):
    """Multiply batches of matrices, recorded where they are as many on both sides."""
    batch = left.shape[:-2]
    if batch != right.shape[:-2] or not batch:
        return left @ (right.mT if transposed else right)
    flat = [side.reshape(-1, *side.shape[-2:]) for side in (left, right)]
    product = Product.apply(*flat, transposed)
    return product.view(*batch, *product.shape[1:])


POINTWISE = (
    functional.gelu,
    functional.silu,
    functional.mish,
    functional.softplus,
    functional.elu,
    functional.selu,
    functional.celu,
    functional.logsigmoid,
    torch.tanh,
    torch.Tensor.tanh,
    torch.sigmoid,
    torch.Tensor.sigmoid,
)
RECORDED = {
    **dict.fromkeys(POINTWISE, _record_pointwise),
    **dict.fromkeys((functional.softmax, torch.softmax, torch.Tensor.softmax), _record_softmax),
    **dict.fromkeys(
        (functional.log_softmax, torch.log_softmax, torch.Tensor.log_softmax), _record_log_softmax
    ),
    functional.cross_entropy: _record_cross_entropy,
    functional.layer_norm: _record_layer_norm,
    functional.scaled_dot_product_attention: _record_attention,
}
