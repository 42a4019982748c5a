"""Smooth functions of a network whose derivatives are computed once and kept for all products.

A product with a Hessian passes through the second derivative of every activation, softmax and
normalization behind the layer. Autograd works these out anew each time, from what the forward pass
saved. While `KeptDerivatives()` is active, the functions below are recorded in a form whose first
and second derivatives are closed expressions in a few tensors that are computed once.

Third derivatives of what is recorded here are refused by a RuntimeError: whoever needs them records
without.
"""

from __future__ import annotations

import contextlib
import math

import torch
from torch.autograd import Function
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["KeptDerivatives"]


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
    return plain and first.requires_grad and first.is_floating_point() and torch.is_grad_enabled()


class _Pointwise(Function):
    """A smooth function of every entry alone."""

    @staticmethod
    def forward(ctx, z, function):
        ctx.function, ctx.first = function, None
        ctx.save_for_backward(z)
        return function(z)

    @staticmethod
    def backward(ctx, d):
        (z,) = ctx.saved_tensors
        if not torch.is_grad_enabled():
            if ctx.first is None:
                ctx.first, _ = _derivatives(ctx.function, z, 1)
            return d * ctx.first, None
        ctx.first, second = _derivatives(ctx.function, z, 2)
        return _PointwiseBackward.apply(d, z, ctx.first, second), None


class _PointwiseBackward(Function):
    """Multiply by f'(z); in z the derivative is d f''(z)."""

    @staticmethod
    def forward(ctx, d, z, first, second):
        ctx.save_for_backward(first, d * second)
        return d * first

    @staticmethod
    def backward(ctx, u):
        _check_last()
        first, bent = ctx.saved_tensors
        in_d, in_z = ctx.needs_input_grad[:2]
        return u * first if in_d else None, u * bent if in_z else None, None, None


def _check_last():
    """Refuse second derivatives that are to be differentiated once more."""
    if torch.is_grad_enabled():
        raise RuntimeError("Expected no third derivatives of what is recorded with KeptDerivatives")


def _derivatives(function, z, order):
    """Differentiate a pointwise function once or twice, as autograd does."""
    with torch.enable_grad():
        leaf = z.detach().requires_grad_(True)
        ones = torch.ones_like(leaf)
        (first,) = torch.autograd.grad(function(leaf), leaf, ones, create_graph=order > 1)
        second = None
        if order > 1:
            (second,) = torch.autograd.grad(first, leaf, ones)
    return first.detach(), second


class _Softmax(Function):
    """Probabilities P along an axis: backward is P (d - sum P d)."""

    @staticmethod
    def forward(ctx, z, dim, silent):
        probabilities = torch.softmax(z, dim)
        if silent is not None:
            probabilities.masked_fill_(silent, 0.0)
        ctx.dim = dim
        ctx.save_for_backward(probabilities)
        return probabilities

    @staticmethod
    def backward(ctx, d):
        (p,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _SoftmaxBackward.apply(d, p, ctx.dim), None, None
        return torch._softmax_backward_data(d, p, ctx.dim, p.dtype), None, None


class _SoftmaxBackward(Function):
    """With s = sum P u: P (u - s) in d, and u (d - sum P d) - d s in P."""

    @staticmethod
    def forward(ctx, d, p, dim):
        centred = d - (p * d).sum(dim, keepdim=True)
        ctx.dim = dim
        ctx.save_for_backward(d, p, centred)
        return p * centred

    @staticmethod
    def backward(ctx, u):
        _check_last()
        d, p, centred = ctx.saved_tensors
        share = (p * u).sum(ctx.dim, keepdim=True)
        in_d, in_p = ctx.needs_input_grad[:2]
        in_d = p * (u - share) if in_d else None
        return in_d, torch.addcmul(u * centred, d, share, value=-1) if in_p else None, None


class _LogSoftmax(Function):
    """Logarithms L of probabilities P along an axis: backward is d - P sum d."""

    @staticmethod
    def forward(ctx, z, dim):
        logarithms = torch.log_softmax(z, dim)
        ctx.dim = dim
        ctx.save_for_backward(logarithms, logarithms.exp())
        return logarithms

    @staticmethod
    def backward(ctx, d):
        logarithms, p = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _LogSoftmaxBackward.apply(d, logarithms, p, ctx.dim), None
        return torch.addcmul(d, p, d.sum(ctx.dim, keepdim=True), value=-1), None


class _LogSoftmaxBackward(Function):
    """In d it is u - sum P u, in L it is -P u sum d."""

    @staticmethod
    def forward(ctx, d, logarithms, p, dim):
        scaled = p * d.sum(dim, keepdim=True)
        ctx.dim = dim
        ctx.save_for_backward(p, -scaled)
        return d - scaled

    @staticmethod
    def backward(ctx, u):
        _check_last()
        p, scaled = ctx.saved_tensors
        in_d, in_l = ctx.needs_input_grad[:2]
        in_d = u - (p * u).sum(ctx.dim, keepdim=True) if in_d else None
        return in_d, scaled * u if in_l else None, None, None


class _Normalize(Function):
    """Entries x of mean 0 and variance 1 over m places: trailing axes.

    Backward is P d with P = (I - 11'/m - xx'/m) / sigma.
    """

    @staticmethod
    def forward(ctx, z, shape, eps):
        normalized, mean, scale = torch.native_layer_norm(z, shape, None, None, eps)
        ctx.shape = shape
        ctx.save_for_backward(z, normalized, mean, scale)
        return normalized

    @staticmethod
    def backward(ctx, d):
        z, normalized, mean, scale = ctx.saved_tensors
        if torch.is_grad_enabled():
            image = _NormalizeBackward.apply(d, z, normalized.detach(), mean, scale, ctx.shape)
        else:
            image = _project(d, z, mean, scale, ctx.shape)
        return image, None, None


class _NormalizeBackward(Function):
    """In d it is P u, in z it is -(x (u'P d) + (d'x) P u + (u'x) P d) / (m sigma)."""

    @staticmethod
    def forward(ctx, d, z, normalized, mean, scale, shape):
        image = _project(d, z, mean, scale, shape)
        ctx.shape, ctx.axes = shape, tuple(range(-len(shape), 0))
        factor = scale * (-1.0 / math.prod(shape))
        along = (d * normalized).sum(ctx.axes, keepdim=True) * factor
        left, right = normalized * factor, image * factor
        ctx.save_for_backward(z, normalized, mean, scale, image, along, left, right)
        return image

    @staticmethod
    def backward(ctx, u):
        _check_last()
        z, normalized, mean, scale, image, along, left, right = ctx.saved_tensors
        sent = _project(u, z, mean, scale, ctx.shape)
        if not ctx.needs_input_grad[1]:
            return sent, None, None, None, None, None
        bent = left * (u * image).sum(ctx.axes, keepdim=True)
        bent = bent + right * (u * normalized).sum(ctx.axes, keepdim=True)
        return sent, torch.addcmul(bent, along, sent), None, None, None, None


def _project(d, z, mean, scale, shape):
    """Multiply by P: what layer norm without weights does to gradients."""
    wanted = [True, False, False]
    return torch.ops.aten.native_layer_norm_backward(d, z, shape, mean, scale, None, None, wanted)[
        0
    ]


def _record_pointwise(function, z, *args, inplace=False, **kwargs):
    """Record an activation, if it does not work in place."""
    if inplace or any(arg is True for arg in args) or "out" in kwargs:
        return None
    return _Pointwise.apply(z, lambda values: function(values, *args, **kwargs))


def _record_softmax(function, z, dim=None, _stacklevel=3, dtype=None):
    """Record a softmax along a known axis."""
    if not isinstance(dim, int) or not isinstance(_stacklevel, int) or dtype is not None:
        return None
    return _Softmax.apply(z, dim, None)


def _record_log_softmax(function, z, dim=None, _stacklevel=3, dtype=None):
    """Record a log-softmax along a known axis."""
    if not isinstance(dim, int) or not isinstance(_stacklevel, int) or dtype is not None:
        return None
    return _LogSoftmax.apply(z, dim)


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
    logarithms = _LogSoftmax.apply(z, 1 if z.ndim > 1 else 0)
    return functional.nll_loss(logarithms, target, weight, None, ignore_index, None, reduction)


def _record_layer_norm(function, z, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Record the normalization; weight and bias follow as plain products and sums."""
    shape = [normalized_shape] if isinstance(normalized_shape, int) else list(normalized_shape)
    if not shape or list(z.shape[-len(shape) :]) != shape:
        return None
    result = _Normalize.apply(z, shape, eps)
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
    scores, silent = (query * scale) @ key.mT, None
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
        if not is_causal:
            # Who may look at nothing sees nothing.
            silent = (scores.detach() == -math.inf).all(dim=-1, keepdim=True)
    return _Softmax.apply(scores, -1, silent) @ value


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
