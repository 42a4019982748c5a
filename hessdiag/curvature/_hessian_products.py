"""Products with local Hessians by double backward, from one graph that all layers share."""

from __future__ import annotations

import warnings

import torch

__all__ = ["HessianProducts"]


class HessianProducts:
    """Products of vectors with the second derivatives of a sum of scalars, block by block.

    `scalars` is a list of callables that each return one 0-d tensor (one per chunk of samples).
    With one chunk its graph is built once and kept; with more, each is rebuilt for every product,
    so that memory stays that of one chunk.
    """

    def __init__(self, scalars, blocks):
        self.scalars = scalars
        self.blocks = {block.name: block for block in blocks}
        self._kept = None

    def _gradients(self, scalar):
        """Differentiate one scalar once, keeping the graph for the second time."""
        if self._kept is not None:
            return self._kept
        parameters = [p for block in self.blocks.values() for p in block.parameters]
        value = scalar()
        if value.requires_grad:
            flat = torch.autograd.grad(value, parameters, create_graph=True, allow_unused=True)
        else:
            flat = [None] * len(parameters)
        gradients, position = {}, 0
        for name, block in self.blocks.items():
            gradients[name] = flat[position : position + len(block.parameters)]
            position += len(block.parameters)
        if len(self.scalars) == 1:
            self._kept = gradients
        return gradients

    def products(self, vectors):
        """Return {name: H v} for {name: v of shape (k, p)}."""
        totals = {name: torch.zeros_like(v) for name, v in vectors.items()}
        for scalar in self.scalars:
            gradients = self._gradients(scalar)
            for name, v in vectors.items():
                totals[name] += _product(gradients[name], self.blocks[name], v)
        return totals

    def dense(self, name, batch_size=64):
        """Return the local Hessian (p, p) of one block, by products with the identity."""
        block = self.blocks[name]
        p = block.n_params
        first = block.parameters[0]
        total = torch.zeros(p, p, dtype=first.dtype, device=first.device)
        for scalar in self.scalars:
            gradients = self._gradients(scalar)
            for start in range(0, p, batch_size):
                k = min(batch_size, p - start)
                rows = total.new_zeros(k, p)
                rows[torch.arange(k), start + torch.arange(k)] = 1.0
                total[start : start + k] += _product(gradients[name], block, rows)
        return 0.5 * (total + total.T)


def _product(gradients, block, vectors):
    """Multiply vectors (k, p) by the derivative of one block's gradient in the same block."""
    k = len(vectors)
    weights, wanted, position = [], [], 0
    for gradient, parameter in zip(gradients, block.parameters):
        size = parameter.numel()
        if gradient is not None and gradient.requires_grad:
            wanted.append(gradient)
            weights.append(vectors[:, position : position + size].reshape(k, *parameter.shape))
        position += size
    if not wanted:
        return torch.zeros_like(vectors)
    results = None
    if k > 1:
        try:
            with warnings.catch_warnings():
                # Where an operation has no batched rule, a plain loop is as fast and quiet.
                warnings.simplefilter("error")
                results = torch.autograd.grad(
                    wanted,
                    block.parameters,
                    weights,
                    retain_graph=True,
                    allow_unused=True,
                    is_grads_batched=True,
                )
        except (RuntimeError, UserWarning):
            results = None
    if results is None:
        rows = [
            _flatten(
                torch.autograd.grad(
                    wanted,
                    block.parameters,
                    [w[i] for w in weights],
                    retain_graph=True,
                    allow_unused=True,
                ),
                block,
                1,
            )
            for i in range(k)
        ]
        return torch.cat(rows)
    return _flatten(results, block, k)


def _flatten(results, block, k):
    """Join per-parameter results (k, ...) into (k, p)."""
    parts = []
    for result, parameter in zip(results, block.parameters):
        if result is None:
            result = parameter.new_zeros(k, parameter.numel())
        elif result.is_sparse:
            result = result.to_dense()
        parts.append(result.reshape(k, -1))
    return torch.cat(parts, dim=1).detach()
