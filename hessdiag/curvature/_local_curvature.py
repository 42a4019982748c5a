"""All layers' curvature of one net on one data set: factors, and products through the net."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from hessdiag.curvature._footprint import Footprint, dense_bytes, held_bytes, measure_footprint
from hessdiag.curvature._output_function import OutputFunction
from hessdiag.curvature._workload import sweep_groups
from hessdiag.curvature.factors import (
    DenseFactor,
    Factor,
    capture_factors,
    each_factor,
    join_factors,
)
from hessdiag.curvature.network import (
    Block,
    Chunk,
    OutputCurvature,
    Samples,
    Scalar,
    WorkingCopy,
    coarser,
    flatten_outputs,
    owner_of,
)
from hessdiag.curvature.products import (
    GaussNewtonProducts,
    HessianProducts,
    LayerProducts,
    LayerScalars,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Rounding of what is computed in float64, a few roundings together.
LEAST_ROUNDING = 1e-15


@dataclass(frozen=True, eq=False)
class LocalCurvature:
    """Layers, outputs and data of a net, ready for factors, Gauss-Newton and Hessian products.

    Made by `prepare`; nothing in it changes.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net's private copy.
    scalar : Scalar or LayerScalars
        What is differentiated.
    blocks : list of Block
        The layers, in forward order.
    widths : dict of str to (int or None)
        How wide what each module sends is.
    entries : dict of str to float
        How many numbers each module sends per sample.
    samples : Samples
        Inputs and targets, in chunks.
    output_function : OutputFunction or None
        The scalar as a function of the outputs; None where it is no function of each sample's
        outputs.
    why_whole : str or None
        Why it is none, or that its Hessians in the outputs are too large to be formed.
    first_chunk : int
        Samples that passed through the net at once at first.
    may_cut : bool, default=False
        Whether chunks may be made smaller, no size having been asked for.
    keeps_derivatives : bool, default=True
        Whether products may record smooth functions with derivatives that are kept.
    seen : OutputFunction or None, default=None
        The scalar at the outputs where `output_function` is None, but there is a row per sample.
    precision : torch.dtype, default=torch.float64
        The coarsest precision that outputs go through, whatever they are brought to in the end.
    own_rounding : float, default=0.0
        By how much rounding in the net's own precision moves its outputs, relative to their size,
        where that is more than usual.
    """

    working_copy: WorkingCopy
    scalar: Scalar | LayerScalars
    blocks: list[Block]
    widths: dict[str, int | None]
    entries: dict[str, float]
    samples: Samples
    output_function: OutputFunction | None
    why_whole: str | None
    first_chunk: int
    may_cut: bool = False
    keeps_derivatives: bool = True
    seen: OutputFunction | None = None
    precision: torch.dtype = torch.float64
    own_rounding: float = 0.0

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """The chunks of samples that pass through the net one after the other."""
        return self.samples.chunks

    @property
    def offsets(self) -> tuple[int, ...]:
        """How many samples come before each chunk, and how many there are."""
        return self.samples.offsets

    @property
    def n_samples(self) -> int:
        """Count the samples."""
        return self.samples.n_samples

    @property
    def X(self) -> Any:
        """All inputs; None where batches cannot be joined."""
        return self.samples.X

    @property
    def y(self) -> Any:
        """All targets; None where batches cannot be joined."""
        return self.samples.y

    @property
    def itemsize(self) -> int:
        """Bytes of a number in the precision that is computed in."""
        return self.working_copy.dtype.itemsize

    @property
    def coarsest_precision(self) -> torch.dtype:
        """The coarsest precision that the net or its loss computes in."""
        if self.output_function is None:
            return self.precision
        return coarser(self.precision, self.output_function.precision)

    @property
    def epsilon(self) -> float:
        """Rounding of the coarsest precision that the net or its loss computes in.

        That of float32 at the most: by that of a half precision, times the side of a matrix, hardly
        an eigenvalue would be left.
        """
        epsilon = torch.finfo(self.coarsest_precision).eps
        return min(max(epsilon, LEAST_ROUNDING), torch.finfo(torch.float32).eps)

    @property
    def is_layerwise(self) -> bool:
        """Say whether every layer has a function of its own output."""
        return isinstance(self.scalar, LayerScalars)

    @property
    def is_separable(self) -> bool:
        """Say whether the scalar is a sum over samples of functions of each sample's outputs."""
        return self.output_function is not None and not self.output_function.couples

    @property
    def n_outputs(self) -> int:
        """Count the outputs of one sample; 0 where they are not known."""
        return 0 if self.output_function is None else self.output_function.n_outputs

    @property
    def output_values(self) -> torch.Tensor | None:
        """Outputs (N, ...) in the coordinates that are examined; None where they are not known."""
        return None if self.output_function is None else self.output_function.values

    @property
    def outputs(self) -> OutputCurvature | None:
        """Loss, residuals and Hessians at the outputs; None where they are not to be had.

        So it is where the scalar is no function of each sample's outputs, or where its Hessians in
        them are too large to be formed: then only products through the net are possible.
        """
        return None if self.output_function is None else self.output_function.curvature

    def _function(self) -> OutputFunction:
        """Return the scalar as a function of the outputs, where it is one."""
        if self.output_function is None:
            raise ValueError(
                f"Expected a scalar of each sample's outputs, found that {self.why_whole}. Ask "
                "for products with its Hessian alone."
            )
        return self.output_function

    def _known_outputs(self) -> OutputCurvature:
        """Return loss, residuals and Hessians at the outputs, where they are to be had."""
        if self.outputs is None:
            raise ValueError(
                f"Expected a scalar with Hessians in the outputs, found that {self.why_whole}. "
                "Ask for products through the net."
            )
        return self.outputs

    @functools.cached_property
    def footprint(self) -> Footprint:
        """What is held in memory throughout, and what every sample adds."""
        return measure_footprint(self)

    def cut(self, size: int) -> LocalCurvature:
        """Return the same problem in chunks of so many samples.

        Parameters
        ----------
        size : int
            Samples of a chunk, at most.

        Returns
        -------
        LocalCurvature
            The same problem, in other chunks.
        """
        return replace(self, samples=self.samples.cut(size))

    def restrict(self, indices: ArrayLike | torch.Tensor) -> LocalCurvature:
        """Return the same problem on some of its samples, in one chunk.

        Parameters
        ----------
        indices : array-like of int of shape (n,)
            Places of the samples.

        Returns
        -------
        LocalCurvature
            The problem on these alone.
        """
        indices = torch.as_tensor(indices, device=self.working_copy.device)
        samples = self.samples.take(indices)
        return replace(
            self, samples=samples, output_function=self._function().take(samples, indices)
        )

    def with_blocks(self, blocks: Sequence[Block]) -> LocalCurvature:
        """Return the same problem with other blocks of the same parameters as its layers.

        Parameters
        ----------
        blocks : sequence of Block
            The layers to take.

        Returns
        -------
        LocalCurvature
            The same problem, with other layers.
        """
        return replace(self, blocks=list(blocks))

    def without_output_hessians(self) -> LocalCurvature:
        """Return the same problem, whose second derivatives in the outputs are never formed.

        Returns
        -------
        LocalCurvature
            The problem; products go through the net.
        """
        return replace(self, output_function=self._function().without_hessians())

    def outputs_of(self, X: Any) -> torch.Tensor:
        """Map inputs to outputs (n, D) in the coordinates examined.

        Parameters
        ----------
        X : Tensor, or dict, list or tuple of Tensor
            Inputs of n samples.

        Returns
        -------
        Tensor of shape (n, D)
            Outputs, with a graph where autograd is on.
        """
        return flatten_outputs(self._function().link.forward(self.working_copy(X)))

    def factors(
        self,
        weighted: bool = False,
        blocks: Sequence[Block] | None = None,
        lean: bool = False,
        columns: torch.Tensor | None = None,
    ) -> dict[str, Factor | None]:
        """Build the blocks' Jacobian factors.

        Parameters
        ----------
        weighted : bool, default=False
            Whether the output factors B' are applied to them.
        blocks : sequence of Block or None, default=None
            The layers; None takes all.
        lean : bool, default=False
            Whether every chunk's part is kept in the form that takes less memory, dense or not.
        columns : Tensor of shape (N, D, q) or None, default=None
            Columns to apply to each sample's outputs in place of the output factors.

        Returns
        -------
        dict of str to (Factor or None)
            Factors by layer name; None where one would not fit in memory.
        """
        blocks = self.blocks if blocks is None else blocks
        parts: dict[str, list[Factor | None]] = {block.name: [] for block in blocks}
        if weighted:
            columns = self._known_outputs().factors
        for chunk, start in zip(self.chunks, self.offsets):
            weights = None if columns is None else columns[start : start + chunk.n_samples]
            built = capture_factors(
                self.working_copy, chunk, blocks, self.outputs_of, self.n_samples, weights
            )
            for name in list(built):
                factor = built.pop(name)
                if lean and factor is not None and held_bytes(factor) > dense_bytes(factor):
                    factor = DenseFactor(factor.dense())
                parts[name].append(factor)
        return {name: join_factors(pieces) for name, pieces in parts.items()}

    def each_factor(
        self,
        blocks: Sequence[Block],
        weighted: bool = False,
        max_memory: float | None = None,
        columns: torch.Tensor | None = None,
    ) -> Iterator[tuple[str, Factor | None]]:
        """Yield (name, factor) of one block after the other, none of them kept.

        Parameters
        ----------
        blocks : sequence of Block
            The layers.
        weighted : bool, default=False
            Whether the output factors B' are applied to them.
        max_memory : float or None, default=None
            Bytes to keep within, as in `sweep_groups`.
        columns : Tensor of shape (N, D, q) or None, default=None
            Columns to apply to each sample's outputs in place of the output factors.

        Yields
        ------
        name : str
            Name of a layer.
        factor : Factor or None
            Its factor; None where one would not fit in memory.
        """
        if len(self.chunks) > 1:
            for block in blocks:
                yield from self.factors(weighted, [block], columns=columns).items()
            return
        if weighted:
            columns = self._known_outputs().factors
        n_columns = self.n_outputs if columns is None else columns.shape[2]
        for group in sweep_groups(self, blocks, n_columns, max_memory):
            yield from each_factor(
                self.working_copy, self.chunks[0], group, self.outputs_of, self.n_samples, columns
            )

    def products(
        self, curvature: str, blocks: Sequence[Block] | None = None
    ) -> HessianProducts | LayerProducts | GaussNewtonProducts:
        """Return products with Hessians or Gauss-Newton matrices, by passes through the net.

        Parameters
        ----------
        curvature : {"hessian", "ggn"}
            The matrices.
        blocks : sequence of Block or None, default=None
            The layers; None takes all.

        Returns
        -------
        HessianProducts, LayerProducts or GaussNewtonProducts
            Its method ``products`` multiplies {name: vectors (k, p)}.
        """
        if curvature == "hessian":
            return self.whole_products(blocks)
        blocks = self.blocks if blocks is None else blocks
        chunks = list(zip(self.chunks, self.offsets))
        return GaussNewtonProducts(self.outputs_of, chunks, self._function().products, blocks)

    def residual_products(self, blocks: Sequence[Block] | None = None) -> HessianProducts:
        """Return products with sum_n r_n . d2 z_n, the part of the Hessian beyond Gauss-Newton.

        Parameters
        ----------
        blocks : sequence of Block or None, default=None
            The layers; None takes all.

        Returns
        -------
        HessianProducts
            Its method ``products`` multiplies {name: vectors (k, p)}.
        """
        known = self._function().products if self.outputs is None else self.outputs
        scalars = []
        for chunk, start in zip(self.chunks, self.offsets):
            residuals = known.residuals[start : start + chunk.n_samples]
            residuals = residuals.to(self.working_copy.dtype)
            scalars.append(lambda X=chunk.X, r=residuals: (self.outputs_of(X) * r).sum())
        blocks = self.blocks if blocks is None else blocks
        return HessianProducts(scalars, blocks, self.keeps_derivatives)

    def whole_scalar(self) -> torch.Tensor:
        """Evaluate the scalar on all samples at once, as a function of the parameters.

        Returns
        -------
        Tensor of shape ()
            The scalar, with its graph.

        Raises
        ------
        ValueError
            If every layer has a function of its own output.
        """
        if isinstance(self.scalar, LayerScalars):
            raise ValueError(
                "Expected one scalar of all layers, found functions of the layers' own outputs. "
                "Ask for whole_products, which has each layer's own."
            )
        return self.scalar(self.working_copy(self.X), self.y, self.X)

    def whole_products(
        self, blocks: Sequence[Block] | None = None
    ) -> HessianProducts | LayerProducts:
        """Return products with the Hessian of the scalar, by chunks where samples are separate.

        A chunk's share is the second derivative of the scalar with all other samples' outputs held
        fixed. Where each layer has a function of its own output, its Hessian is that one's.

        Parameters
        ----------
        blocks : sequence of Block or None, default=None
            The layers; None takes all.

        Returns
        -------
        HessianProducts or LayerProducts
            Its method ``products`` multiplies {name: vectors (k, p)}.
        """
        if isinstance(self.scalar, LayerScalars):
            return self.scalar.products(self, self.blocks if blocks is None else blocks)
        scalars = [self.whole_scalar]
        if self.is_separable and len(self.chunks) > 1:
            scalars = [
                lambda chunk=chunk, start=start: self._scalar_of_chunk(chunk, start)
                for chunk, start in zip(self.chunks, self.offsets)
            ]
        blocks = self.blocks if blocks is None else blocks
        return HessianProducts(scalars, blocks, self.keeps_derivatives)

    def _scalar_of_chunk(self, chunk, start):
        """Evaluate the scalar as a function of one chunk's outputs."""
        live = self._function().link.forward(self.working_copy(chunk.X))
        fixed = self._function().values.to(live.dtype)
        stop = start + chunk.n_samples
        outputs = torch.cat([fixed[:start], live, fixed[stop:]])
        return self._function()(flatten_outputs(outputs))

    def width_of(self, block: Block) -> int:
        """Return the width of what a block sends on: the last of its modules that was called.

        Parameters
        ----------
        block : Block
            A layer.

        Returns
        -------
        int
            Features or channels; the first side of its last parameter where it was never called.
        """
        if block.name == "network":
            return self.n_outputs if self.is_separable else 0
        owners = [owner_of(name) for name in block.parameter_names]
        widths = [width for owner in owners if (width := self.widths.get(owner))]
        if widths:
            return int(widths[-1])
        last = block.parameters[-1]
        return int(last.shape[0] if last.ndim else 1)

    def network_block(self, blocks: Sequence[Block] | None = None) -> Block:
        """Return all blocks, or some, as one.

        Parameters
        ----------
        blocks : sequence of Block or None, default=None
            Blocks to join; None takes all.

        Returns
        -------
        Block
            One block called "network", with the parameters of all of them.
        """
        blocks = self.blocks if blocks is None else blocks
        return Block(
            name="network",
            kind=self.working_copy.root_kind(),
            parameter_names=tuple(n for block in blocks for n in block.parameter_names),
            parameters=tuple(p for block in blocks for p in block.parameters),
            module=None,
        )
