"""Jacobians of one block sample by sample: the way for every layer without a closed rule."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from hessdiag.curvature.factors._dense_factor import DenseFactor
from hessdiag.curvature.network import Block, Chunk, WorkingCopy, entries_of_graph, take

# Bytes that the graphs of samples which are differentiated together may take.
MOST_BYTES = 2**29
# So many outputs for a column are far more than columns.
MANY_MORE = 4


def per_sample_factor(
    working_copy: WorkingCopy,
    chunk: Chunk,
    block: Block,
    outputs_of: Callable[[Any], torch.Tensor],
    weights: torch.Tensor | None = None,
) -> DenseFactor:
    """Compute the dense Jacobian (n, D, p) of a block, vectorized over samples where possible."""
    early = takes_columns_early(weights)
    swept = weights if early else None
    jacobian = _vectorized(working_copy, chunk, block, outputs_of, swept)
    if jacobian is None:
        jacobian = _looped(chunk, block, outputs_of, swept)
        # A net may compute in another precision; it is mixed samples that are looked for.
        if not _matches(jacobian, chunk, block, outputs_of, swept, tolerance=0.1):
            raise ValueError(
                "Expected outputs of one sample that do not depend on the others, found in layer "
                f"{block.name!r} that those of samples alone are others. Let the net treat its "
                "samples apart (a first axis that is not theirs, as of a recurrent layer without "
                "batch_first=True?), or ask for curvature='hessian'."
            )
    factor = DenseFactor(jacobian)
    return factor if weights is None or early else factor.weighted(weights)


def takes_columns_early(weights: torch.Tensor | None) -> bool:
    """Say whether derivatives are taken of what columns (n, D, q) make of the outputs.

    Where outputs are far more than columns, their own derivatives would be in vain.
    """
    return weights is not None and MANY_MORE * weights.shape[2] <= weights.shape[1]


def _swept(outputs, weights):
    """Apply columns (n, D, q) to outputs (n, D); None leaves them as they are."""
    if weights is None:
        return outputs
    return (outputs[:, None, :] @ weights.to(outputs.dtype))[:, 0]


def _vectorized(working_copy, chunk, block, outputs_of, weights):
    """Map over samples with vmap; None where an operation or the data does not allow it."""
    names = _internal_names(working_copy, block)

    def outputs(parameters, x, columns):
        batch = take(x, None)
        swapped = {}
        for group, parameter in zip(names, parameters):
            swapped.update(dict.fromkeys(group, parameter))
        found = torch.func.functional_call(
            _Call(working_copy, outputs_of), swapped, (batch,), tie_weights=False
        )
        return _swept(found, None if columns is None else columns[None])[0]

    parameters = tuple(p.detach() for p in block.parameters)
    try:
        at_once = _at_once(working_copy, chunk, outputs_of, weights)
        # Or else graphs in all other parameters are kept, of every sample.
        with warnings.catch_warnings(), torch.no_grad():
            # Where one operation has no batched rule, vmap loops over it alone, and says so.
            warnings.simplefilter("ignore")
            jacobians = torch.func.vmap(
                torch.func.jacrev(outputs),
                in_dims=(None, 0, None if weights is None else 0),
                randomness="error",
                chunk_size=None if at_once >= chunk.n_samples else at_once,
            )(parameters, chunk.X, weights)
    except Exception:
        return None
    jacobian = torch.cat([j.reshape(*j.shape[:2], -1) for j in jacobians], dim=2).detach()
    return jacobian if _matches(jacobian, chunk, block, outputs_of, weights) else None


def _at_once(working_copy, chunk, outputs_of, weights):
    """Count the samples whose graphs, one for each column, may be held together."""
    first = take(chunk.X, slice(0, 1))
    with torch.no_grad():
        outputs = outputs_of(first)
    n_columns = outputs.shape[1] if weights is None else weights.shape[2]
    each = 2 * n_columns * entries_of_graph(working_copy, Chunk(first, None, 1))
    return int(max(1, MOST_BYTES // max(1, each * outputs.dtype.itemsize)))


class _Call(torch.nn.Module):
    """Present the outputs that are differentiated as a module whose parameters can be swapped."""

    def __init__(self, working_copy, outputs_of):
        super().__init__()
        self.copy = working_copy
        self.outputs_of = outputs_of

    def forward(self, x):
        """Return the outputs (n, D)."""
        return self.outputs_of(x)


def _internal_names(working_copy, block):
    """List for every parameter of the block all the names under which it is used."""
    names = {}
    for name, parameter in working_copy.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append("copy." + name)
    return [names[id(parameter)] for parameter in block.parameters]


def _matches(jacobian, chunk, block, outputs_of, columns, tolerance=None):
    """Compare the Jacobian with one plain backward pass."""
    outputs = _swept(outputs_of(chunk.X), columns)
    probe = torch.randn_like(outputs)
    direct = _flat_gradient(outputs, block, probe)
    product = torch.einsum("ncp,nc->p", jacobian, probe.to(jacobian.dtype))
    if not torch.isfinite(direct).all():
        return True
    if tolerance is None:
        tolerance = 1e-9 if direct.dtype == torch.float64 else 1e-3
    return bool((product - direct).norm() <= tolerance * (direct.norm() + 1e-30))


def _looped(chunk, block, outputs_of, columns=None):
    """Take one sample and one output at a time."""
    rows = []
    for n in range(chunk.n_samples):
        one = slice(n, n + 1)
        own = None if columns is None else columns[one]
        outputs = _swept(outputs_of(take(chunk.X, one)), own)
        for c in range(outputs.shape[1]):
            weights = torch.zeros_like(outputs)
            weights[0, c] = 1.0
            rows.append(_flat_gradient(outputs, block, weights))
    return torch.stack(rows).view(chunk.n_samples, -1, block.n_params)


def _flat_gradient(outputs, block, weights):
    """Differentiate weighted outputs in the block's parameters, as one vector."""
    if not outputs.requires_grad:
        return outputs.new_zeros(block.n_params)
    gradients = torch.autograd.grad(
        outputs, block.parameters, weights, retain_graph=True, allow_unused=True
    )
    return torch.cat(
        [
            (torch.zeros_like(p) if g is None else g.to_dense() if g.is_sparse else g).reshape(-1)
            for g, p in zip(gradients, block.parameters)
        ]
    )
