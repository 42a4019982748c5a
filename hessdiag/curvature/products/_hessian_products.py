"""Products with local Hessians by double backward, from one graph that all layers share."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from hessdiag.curvature.products._smooth_functions import KeptDerivatives
from hessdiag.progress import advance

if TYPE_CHECKING:
    from hessdiag.curvature.network import Block


class ProductsByChunks:
    """Products of vectors with the blocks' matrices, each a sum over chunks of samples.

    With one chunk what is recorded for it is kept; with more, it is recorded anew for every
    product, so that memory stays that of one chunk. Who inherits says what is recorded for a chunk,
    `_record`, and what it adds to a product, `_product`.
    """

    def __init__(self, chunks: Sequence[Any], blocks: Sequence[Block]) -> None:
        self.chunks = chunks
        self.blocks = {block.name: block for block in blocks}
        self._kept = None

    @property
    def records_anew(self) -> bool:
        """Say whether every call of `products` records graphs, which all layers asked for share."""
        return len(self.chunks) > 1

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """The parameters of all blocks, one after the other."""
        return [p for block in self.blocks.values() for p in block.parameters]

    def products(self, vectors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return {name: A v} for {name: v of shape (k, p)}.

        Parameters
        ----------
        vectors : dict of str to Tensor of shape (k, p)
            Vectors in the parameters of some blocks, by name.

        Returns
        -------
        dict of str to Tensor of shape (k, p)
            Their images.
        """
        totals = {name: torch.zeros_like(v) for name, v in vectors.items()}
        for chunk in self.chunks:
            graphs = self._graphs(chunk)
            for name, v in vectors.items():
                totals[name] += self._product(graphs, self.blocks[name], v)
                advance(len(v), name)
            # They are gone before the next chunk's are recorded.
            del graphs
        return totals

    def dense(self, name: str, batch_size: int = 64) -> torch.Tensor:
        """Return the matrix (p, p) of one block, by products with the identity.

        Parameters
        ----------
        name : str
            The block.
        batch_size : int, default=64
            Columns that are taken at once.

        Returns
        -------
        Tensor of shape (p, p)
            The matrix, made symmetric.
        """
        block = self.blocks[name]
        first, p = block.parameters[0], block.n_params
        total = torch.zeros(p, p, dtype=first.dtype, device=first.device)
        for chunk in self.chunks:
            graphs = self._graphs(chunk)
            for start in range(0, p, batch_size):
                k = min(batch_size, p - start)
                rows = total.new_zeros(k, p)
                rows[torch.arange(k), start + torch.arange(k)] = 1.0
                total[start : start + k] += self._product(graphs, block, rows)
                advance(k, name)
            del graphs
        return 0.5 * (total + total.T)

    def _record(self, chunk: Any) -> Any:
        """Record what the products of one chunk are made of."""
        raise NotImplementedError

    def _product(self, graphs: Any, block: Block, vectors: torch.Tensor) -> torch.Tensor:
        """Multiply vectors (k, p) by what one chunk adds to a block's matrix."""
        raise NotImplementedError

    def _graphs(self, chunk):
        """Return what is recorded for a chunk."""
        if self._kept is not None:
            return self._kept
        graphs = self._record(chunk)
        if len(self.chunks) == 1:
            self._kept = graphs
        return graphs

    def _by_block(self, flat):
        """Deal out one tensor for each parameter to the blocks: {name: tuple}."""
        found, position = {}, 0
        for name, block in self.blocks.items():
            found[name] = flat[position : position + len(block.parameters)]
            position += len(block.parameters)
        return found


class HessianProducts(ProductsByChunks):
    """Products of vectors with the second derivatives of a sum of scalars, block by block.

    Parameters
    ----------
    scalars : sequence of callable
        Each evaluates one 0-d tensor, one for each chunk of samples.
    blocks : sequence of Block
        The layers.
    keeps_derivatives : bool, default=True
        Whether smooth functions are recorded with derivatives that are kept.
    """

    def __init__(
        self,
        scalars: Sequence[Callable[[], torch.Tensor]],
        blocks: Sequence[Block],
        keeps_derivatives: bool = True,
    ) -> None:
        super().__init__(scalars, blocks)
        self._keeps_derivatives = keeps_derivatives

    @property
    def keeps_derivatives(self) -> bool:
        """Say whether smooth functions are recorded with derivatives that are kept."""
        return self._keeps_derivatives

    @property
    def scalars(self) -> Sequence[Callable[[], torch.Tensor]]:
        """The callables, one for each chunk."""
        return self.chunks

    def products(self, vectors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return {name: H v} for {name: v of shape (k, p)}.

        Parameters
        ----------
        vectors : dict of str to Tensor of shape (k, p)
            Vectors in the parameters of some blocks, by name.

        Returns
        -------
        dict of str to Tensor of shape (k, p)
            Their images.
        """
        return self._or_plainly(super().products, vectors)

    def dense(self, name: str, batch_size: int = 64) -> torch.Tensor:
        """Return the local Hessian (p, p) of one block, by products with the identity.

        Parameters
        ----------
        name : str
            The block.
        batch_size : int, default=64
            Columns that are taken at once.

        Returns
        -------
        Tensor of shape (p, p)
            The matrix, made symmetric.
        """
        return self._or_plainly(super().dense, name, batch_size)

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

    def _record(self, scalar):
        """Differentiate one scalar once, keeping the graph for the second time."""
        parameters = self.parameters
        with KeptDerivatives() if self._keeps_derivatives else contextlib.nullcontext():
            value = scalar()
        flat = [None] * len(parameters)
        if value.requires_grad:
            flat = torch.autograd.grad(value, parameters, create_graph=True, allow_unused=True)
        return self._by_block(flat)

    def _product(self, gradients, block, vectors):
        """Multiply vectors (k, p) by the derivative of one block's gradient in the same block."""
        weights = split_by_parameter(block, vectors)
        results = vector_jacobian_products(gradients[block.name], block.parameters, weights)
        return join_by_parameter(results)


def vector_jacobian_products(
    outputs: Sequence[torch.Tensor | None],
    inputs: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
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
            warnings.simplefilter("error", UserWarning)
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


def split_by_parameter(block: Block, vectors: torch.Tensor) -> list[torch.Tensor]:
    """Shape vectors (k, p) as k sets of a block's parameters."""
    parts = vectors.split([p.numel() for p in block.parameters], dim=1)
    return [part.reshape(len(vectors), *p.shape) for part, p in zip(parts, block.parameters)]


def join_by_parameter(results: Sequence[torch.Tensor]) -> torch.Tensor:
    """Turn k sets of a block's parameters into vectors (k, p)."""
    return torch.cat([result.reshape(len(result), -1) for result in results], dim=1)
