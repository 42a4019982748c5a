"""Products with local Hessians by double backward, from one graph that all layers share."""

from __future__ import annotations

import contextlib
import warnings

import torch

from hessdiag.curvature._smooth_functions import KeptDerivatives

__all__ = ["HessianProducts", "vector_jacobian_products"]


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
        self._keeps_derivatives = True

    @property
    def records_anew(self):
        """Say whether every call of `products` records graphs, which all layers asked for share."""
        return len(self.scalars) > 1

    def _gradients(self, scalar):
        """Differentiate one scalar once, keeping the graph for the second time."""
        if self._kept is not None:
            return self._kept
        parameters = [p for block in self.blocks.values() for p in block.parameters]
        with KeptDerivatives() if self._keeps_derivatives else contextlib.nullcontext():
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
        return self._or_plainly(self._products, vectors)

    def dense(self, name, batch_size=64):
        """Return the local Hessian (p, p) of one block, by products with the identity."""
        return self._or_plainly(self._dense, name, batch_size)

    def _or_plainly(self, work, *args):
        """Do some work; where kept derivatives do not allow it, record anew without them.

        So it is where a forward pass differentiates: then third derivatives are asked for.
        """
        try:
            return work(*args)
        except RuntimeError:
            if not self._keeps_derivatives:
                raise
            self._keeps_derivatives, self._kept = False, None
            return work(*args)

    def _products(self, vectors):
        """Multiply vectors, one scalar after the other."""
        totals = {name: torch.zeros_like(v) for name, v in vectors.items()}
        for scalar in self.scalars:
            gradients = self._gradients(scalar)
            for name, v in vectors.items():
                totals[name] += _product(gradients[name], self.blocks[name], v)
            # Its graph is gone before the next chunk's is recorded.
            del gradients
        return totals

    def _dense(self, name, batch_size):
        """Form a local Hessian, some rows at a time."""
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
            del gradients
        return 0.5 * (total + total.T)


def vector_jacobian_products(outputs, inputs, weights):
    """Return for each input the products (k, ...) with k sets of output weights (k, ...).

    Outputs that depend on nothing, and inputs that nothing depends on, count as zero.
    """
    k = len(weights[0])
    used = [i for i, o in enumerate(outputs) if o is not None and o.requires_grad]
    results = [None] * len(inputs)
    if used:
        outputs, weights = [outputs[i] for i in used], [weights[i] for i in used]
        results = _batched(outputs, inputs, weights) if k > 1 else None
        if results is None:
            rows = [
                torch.autograd.grad(
                    outputs, inputs, [w[i] for w in weights], retain_graph=True, allow_unused=True
                )
                for i in range(k)
            ]
            results = [
                None if column[0] is None else torch.stack([_strided(row) for row in column])
                for column in zip(*rows)
            ]
    return [
        x.new_zeros(k, *x.shape) if result is None else _strided(result).detach()
        for result, x in zip(results, inputs)
    ]


def _batched(outputs, inputs, weights):
    """Run all sets of weights through one vectorized backward pass; None where that fails."""
    try:
        with warnings.catch_warnings():
            # Where an operation has no batched rule, a plain loop is as fast and quiet.
            warnings.simplefilter("error")
            return torch.autograd.grad(
                outputs,
                inputs,
                weights,
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=True,
            )
    except (RuntimeError, UserWarning):
        return None


def _strided(tensor):
    """Turn a sparse gradient, as of an embedding, into a dense one."""
    return tensor.to_dense() if tensor.is_sparse else tensor


def _product(gradients, block, vectors):
    """Multiply vectors (k, p) by the derivative of one block's gradient in the same block."""
    k = len(vectors)
    parts = vectors.split([p.numel() for p in block.parameters], dim=1)
    weights = [part.reshape(k, *p.shape) for part, p in zip(parts, block.parameters)]
    results = vector_jacobian_products(gradients, block.parameters, weights)
    return torch.cat([result.reshape(k, -1) for result in results], dim=1)
