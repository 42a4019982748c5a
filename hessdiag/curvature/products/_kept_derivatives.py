"""Functions of a graph that keep what their first and second derivatives need.

A product with a Hessian passes through the second derivative of every activation, softmax and
normalization behind the layer. Autograd works these out anew each time, from what the forward pass
saved; here they are closed expressions in a few tensors that are computed once, or, for products of
matrices, sums that no pass of their own is needed for. Third derivatives are refused by a
RuntimeError.
"""

from __future__ import annotations

import math

import torch
from torch.autograd import Function


class Pointwise(Function):
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
        first, curved = ctx.saved_tensors
        in_d, in_z = ctx.needs_input_grad[:2]
        return u * first if in_d else None, u * curved if in_z else None, None, None


def _check_last():
    """Refuse second derivatives that are to be differentiated once more."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "Expected no third derivatives of what is recorded with KeptDerivatives, found one "
            "that is asked for. Record without it."
        )


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


class Softmax(Function):
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


class LogSoftmax(Function):
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


class CrossEntropy(Function):
    """Losses w (log sum exp z - z_y), classes along the last axis: backward is w (P - Y) d."""

    @staticmethod
    def forward(ctx, z, target, weights):
        logarithms = torch.log_softmax(z, -1)
        losses = logarithms.gather(-1, target[..., None]).neg_()
        losses = losses if weights is None else losses.mul_(weights[..., None])
        ctx.save_for_backward(z, logarithms.exp_(), target, weights)
        return losses[..., 0]

    @staticmethod
    def backward(ctx, d):
        z, p, target, weights = ctx.saved_tensors
        if weights is not None:
            d = d * weights
        return _CrossEntropyBackward.apply(d, z, p.detach(), target), None, None


class _CrossEntropyBackward(Function):
    """In d it is (P - Y) u, in z it is d P (u - sum P u)."""

    @staticmethod
    def forward(ctx, d, z, p, target):
        scaled = p * d[..., None]
        ctx.save_for_backward(p, scaled, target)
        return scaled.scatter_add(-1, target[..., None], -d[..., None])

    @staticmethod
    def backward(ctx, u):
        _check_last()
        p, scaled, target = ctx.saved_tensors
        in_d = in_z = None
        if ctx.needs_input_grad[0]:
            in_d = (p * u).sum(-1) - u.gather(-1, target[..., None])[..., 0]
        if ctx.needs_input_grad[1]:
            sent = scaled * u
            in_z = torch.addcmul(sent, p, sent.sum(-1, keepdim=True), value=-1)
        return in_d, in_z, None, None


class Product(Function):
    """Matrices A B, or A B' where `transposed`, batch by batch: backward is d B' in A, A'd in B.

    Written out, because sums of products then need no pass of their own, and none lies transposed.
    """

    @staticmethod
    def forward(ctx, left, right, transposed):
        ctx.transposed = transposed
        ctx.save_for_backward(left, right)
        return torch.bmm(left, right.mT if transposed else right)

    @staticmethod
    def backward(ctx, d):
        return *_ProductBackward.apply(d, *ctx.saved_tensors, ctx.transposed), None


class _ProductBackward(Function):
    """For u in A and w in B it is u B + A w in d, d w' in A and u'd in B."""

    @staticmethod
    def forward(ctx, d, left, right, transposed):
        ctx.transposed = transposed
        ctx.save_for_backward(d, left, right)
        if transposed:
            return torch.bmm(d, right), torch.bmm(d.mT, left)
        return torch.bmm(d, right.mT), torch.bmm(left.mT, d)

    @staticmethod
    def backward(ctx, u, w):
        _check_last()
        d, left, right = ctx.saved_tensors
        across, back, turned = (right.mT, w.mT, w) if ctx.transposed else (right, w, w.mT)
        in_d, in_left, in_right = ctx.needs_input_grad[:3]
        in_d = torch.baddbmm(torch.bmm(u, across), left, back) if in_d else None
        in_left = torch.bmm(d, turned) if in_left else None
        if in_right:
            in_right = torch.bmm(d.mT, u) if ctx.transposed else torch.bmm(u.mT, d)
        else:
            in_right = None
        return in_d, in_left, in_right, None


class Normalize(Function):
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
        in_z = left * (u * image).sum(ctx.axes, keepdim=True)
        in_z = in_z + right * (u * normalized).sum(ctx.axes, keepdim=True)
        return sent, torch.addcmul(in_z, along, sent), None, None, None, None


def _project(d, z, mean, scale, shape):
    """Multiply by P: what layer norm without weights does to gradients."""
    wanted = [True, False, False]
    return torch.ops.aten.native_layer_norm_backward(d, z, shape, mean, scale, None, None, wanted)[
        0
    ]
