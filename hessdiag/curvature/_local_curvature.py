"""All layers' curvature of one net on one data set: the meeting point of this package."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping

import torch
from skorch import NeuralNetClassifier

from hessdiag.curvature._footprint import dense_bytes, held_bytes, measure_footprint
from hessdiag.curvature.factors import (
    POSITION_WISE,
    DenseFactor,
    activation_entries,
    capture_factors,
    each_factor,
    join_factors,
    look_forward,
)
from hessdiag.curvature.network import (
    IDENTITY,
    Block,
    Chunk,
    NotSeparableError,
    OutputHessiansTooLargeError,
    Scalar,
    WorkingCopy,
    available_memory,
    check_data,
    check_deterministic,
    check_net,
    check_parameters,
    concatenate,
    find_link,
    flatten_outputs,
    load_chunks,
    output_curvature,
    output_hessians_fit,
    owner_of,
    sample_indices,
    select_blocks,
    take,
    tensors_of,
)
from hessdiag.curvature.products import (
    GaussNewtonProducts,
    HessianProducts,
    LayerScalars,
    OutputProducts,
)

__all__ = ["LocalCurvature"]

# Samples that pass through the net at once before it is known how much memory they take.
LOOK_SIZE = 2048
CAREFUL_LOOK_SIZE = 64
# Bytes of sweeps that are always held together.
SMALL_SWEEPS = 2**28


class LocalCurvature:
    """Layers, outputs and data of a net, ready for factors, Gauss-Newton and Hessian products.

    Everything that can be wrong with the input is found while this is built. Build and use it
    inside ``untouched_surroundings()``.

    Attributes: `blocks` (the layers), `working_copy`, `n_samples`, `output_values` (N, ...) in the
    coordinates that are examined, or None where the scalar is no function of each sample's outputs
    (`why_whole` says why). `outputs` is None then, and where output Hessians are too large to be
    formed: only products through the net are to be had.
    """

    def __init__(
        self,
        net,
        X,
        y,
        layers=None,
        scalar="loss",
        max_samples=None,
        batch_size=None,
        random_state=None,
        device=None,
        dtype=None,
        max_memory=None,
    ):
        check_net(net)
        check_data(net, X, y)
        check_parameters(net)
        self.working_copy = WorkingCopy(net, device=device, dtype=dtype)
        kind = LayerScalars if isinstance(scalar, Mapping) else Scalar
        self.scalar = kind(self.working_copy, scalar)
        indices = None
        if max_samples is not None:
            indices = sample_indices(len(net.get_dataset(X, y)), max_samples, random_state)
        # What a sample takes is not known yet.
        first_size = LOOK_SIZE if max_memory is None else CAREFUL_LOOK_SIZE
        first_size = first_size if batch_size is None else batch_size
        self._hold(load_chunks(self.working_copy, X, y, indices, first_size))
        self.look_size = max(chunk.n_samples for chunk in self.chunks)
        torch.manual_seed(0)
        collected, order, self.widths, self.entries = [], [], {}, {}
        for chunk in self.chunks:
            outputs, called, widths, entries = self._run_first(chunk)
            collected.append(outputs)
            order += [name for name in called if name not in self.widths]
            self.widths.update(widths)
            self.entries.update(entries)
        self.blocks = select_blocks(self.working_copy, order, layers)
        self.may_cut = False
        if self.is_layerwise:
            self.scalar.match(self.blocks)
        check_deterministic(self.working_copy, self.chunks[0], collected[0])
        self.link, self.output_values, self.why_whole = IDENTITY, None, None
        try:
            self._take_outputs(collected)
        except NotSeparableError as error:
            self._give_up_separability(error)
        if batch_size is None:
            self._choose_chunks(max_memory)

    @property
    def is_layerwise(self):
        """Say whether every layer has a function of its own output."""
        return isinstance(self.scalar, LayerScalars)

    def _run_first(self, chunk):
        """Run the net for the first time; say what it was given where it fails."""
        try:
            return look_forward(self.working_copy, chunk)
        except Exception as error:
            given = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in tensors_of(chunk.X))
            raise ValueError(
                f"Expected X that the net can take, found a batch of {given or type(chunk.X)}: "
                f"{type(error).__name__}: {error}. Pass X as to the net's own predict."
            ) from error

    def _choose_chunks(self, max_memory):
        """Cut the data into chunks whose graphs and sweeps fit in memory."""
        if self.X is None or (self.output_values is None and not self.is_layerwise):
            return
        size = self._free_chunk_size() if max_memory is None else self._chunk_size(max_memory)
        size = int(min(max(1, size), self.n_samples))
        self.may_cut = max_memory is not None
        if size < self.n_samples or len(self.chunks) > 1:
            self.cut(size)

    def cut(self, size):
        """Cut the data into chunks of so many samples."""
        X, y = self.X, self.y
        starts = range(0, self.n_samples, size)
        parts = [slice(i, min(i + size, self.n_samples)) for i in starts]
        self._hold([Chunk(take(X, s), take(y, s), s.stop - s.start) for s in parts])

    def _free_chunk_size(self):
        """Count the samples whose graphs and sweeps fit in half of the memory that is free."""
        if self.is_layerwise:
            return LOOK_SIZE
        if output_hessians_fit(self.output_values):
            one = Chunk(take(self.X, slice(0, 1)), None, 1)
            entries = activation_entries(self.working_copy, one)
            n_columns = flatten_outputs(self.output_values).shape[1]
            bytes_per_sample = entries * self.working_copy.dtype.itemsize * (4 + n_columns)
        else:
            bytes_per_sample = self.footprint.second
        return 0.5 * available_memory(self.working_copy.device) // max(1, bytes_per_sample)

    def _chunk_size(self, max_memory):
        """Count the samples to take at once: all where that is safe, or a quarter's worth."""
        found = self.footprint
        separate = self.output_values is not None and self.outputs is not None
        sweeps = [3 * self.sweep_bytes(block) if separate else 0.0 for block in self.blocks]
        at_once = 2 * found.second + found.first + sum(sweeps)
        if found.held + self.n_samples * at_once <= 0.5 * max_memory:
            return self.n_samples
        one_by_one = max(found.first + max(sweeps), found.second + found.first)
        return 0.25 * (max_memory - found.held) // max(1.0, one_by_one)

    def sweep_bytes(self, block):
        """Count what one sample's backward sweeps leave at the outputs of a block."""
        owner = owner_of(block.parameter_names[0])
        entries = self.entries.get(owner, 0)
        return self.outputs.rank * entries * self.working_copy.dtype.itemsize

    @functools.cached_property
    def footprint(self):
        """What is held in memory throughout, and what every sample adds."""
        return measure_footprint(self)

    def _hold(self, chunks):
        """Take these chunks as the data."""
        self.chunks = chunks
        self.n_samples = sum(chunk.n_samples for chunk in chunks)
        self.offsets = [0]
        for chunk in chunks:
            self.offsets.append(self.offsets[-1] + chunk.n_samples)
        self.y = concatenate([chunk.y for chunk in chunks])
        self.X = concatenate([chunk.X for chunk in chunks])

    def _take_outputs(self, collected):
        """Check that the scalar is a function of each sample's outputs, and keep these."""
        if self.is_layerwise:
            raise NotSeparableError("each layer has a function of its own output")
        if not all(isinstance(outputs, torch.Tensor) for outputs in collected):
            raise NotSeparableError("the module returns more than one tensor")
        outputs = concatenate(collected)
        if outputs is None or self.y is None or outputs.ndim == 0:
            raise NotSeparableError("the batches cannot be joined")
        value = self.scalar.check(outputs, self.y, self.X)
        if len(outputs) != self.n_samples:
            raise NotSeparableError("the outputs do not have one row per sample")
        if value.requires_grad and self._reaches_parameters(value):
            raise NotSeparableError("the loss depends on parameters directly")
        self._check_uncoupled(collected[0])
        if self.scalar.is_loss:
            takes_log = isinstance(self.working_copy.net, NeuralNetClassifier)
            self.link = find_link(self.scalar.criterion, outputs, takes_log)
        self.output_values = self.link.forward(outputs.detach().double())

    def _reaches_parameters(self, value):
        """Say whether a loss of detached outputs still depends on parameters of layers."""
        parameters = [p for block in self.blocks for p in block.parameters]
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        return any(gradient is not None for gradient in gradients)

    def _check_uncoupled(self, outputs):
        """Compare the first samples on their own with the same samples in their chunk."""
        chunk = self.chunks[0]
        if chunk.n_samples < 2:
            return
        n = min(2, chunk.n_samples - 1)
        try:
            with torch.no_grad():
                alone = self.working_copy(take(chunk.X, slice(0, n)))
        except (TypeError, RuntimeError, ValueError, IndexError):
            raise NotSeparableError("the net cannot be run on single samples") from None
        if not isinstance(alone, torch.Tensor) or alone.shape != outputs[:n].shape:
            raise NotSeparableError("the outputs of one sample depend on the others")
        if not torch.isfinite(outputs).all():
            return
        tolerance = 1e-8 if outputs.dtype == torch.float64 else 1e-3
        if (alone - outputs[:n]).norm() > tolerance * (1e-30 + outputs[:n].norm()):
            raise NotSeparableError("the outputs of one sample depend on the others")

    def _give_up_separability(self, error):
        """Fall back to the scalar on all samples at once, as a function of the parameters."""
        self.why_whole, self.output_values = str(error), None
        if self.X is None or self.y is None:
            raise ValueError(
                "Expected batches that can be joined, found batches of different shapes, and a "
                f"scalar that needs all samples at once ({error}). Pass batch_size=None."
            ) from None
        if not self.is_layerwise:
            with torch.no_grad():
                self.scalar.check(self.working_copy(self.X), self.y, self.X)

    def restrict(self, indices):
        """Return the same problem on some of its samples, in one chunk."""
        part = copy.copy(self)
        part.__dict__.pop("outputs", None)
        part.__dict__.pop("output_products", None)
        part.__dict__.pop("footprint", None)
        indices = torch.as_tensor(indices, device=self.working_copy.device)
        part._hold([Chunk(take(self.X, indices), take(self.y, indices), len(indices))])
        part.output_values = self.output_values[indices]
        return part

    @functools.cached_property
    def outputs(self):
        """Loss, residuals and Hessians at the outputs; None where the scalar is not of them."""
        if self.output_values is None:
            return None
        try:
            return output_curvature(self.scalar_at, self.output_values)
        except OutputHessiansTooLargeError as error:
            self.why_whole = str(error)
            return None
        except NotSeparableError as error:
            self._give_up_separability(error)
            return None

    def scalar_at(self, outputs):
        """Evaluate the scalar at any outputs of all samples, in the coordinates examined."""
        return self.evaluate_at(outputs, self.y, self.X)

    def evaluate_at(self, outputs, y, X):
        """Evaluate the scalar at outputs in the coordinates examined, in their precision."""
        values = self.link.inverse(outputs.reshape(len(outputs), *self.output_values.shape[1:]))
        with self.working_copy.criterion_in(values.dtype):
            return self.scalar(values, y, X)

    def outputs_of(self, X):
        """Map inputs to outputs (n, D) in the coordinates examined."""
        return flatten_outputs(self.link.forward(self.working_copy(X)))

    def factors(self, weighted=False, blocks=None, lean=False):
        """Build the blocks' Jacobian factors; `weighted` applies the output factors B' to them.

        `lean` keeps every chunk's part in the form that takes less memory, dense or not.
        """
        blocks = self.blocks if blocks is None else blocks
        parts = {block.name: [] for block in blocks}
        for chunk, start in zip(self.chunks, self.offsets):
            weights = None
            if weighted:
                weights = self.outputs.factors[start : start + chunk.n_samples]
            built = capture_factors(
                self.working_copy, chunk, blocks, self.outputs_of, self.n_samples, weights
            )
            for name in list(built):
                factor = built.pop(name)
                if lean and factor is not None and held_bytes(factor) > dense_bytes(factor):
                    factor = DenseFactor(factor.dense())
                parts[name].append(factor)
        return {name: join_factors(pieces) for name, pieces in parts.items()}

    def each_weighted_factor(self, blocks, max_memory=None):
        """Yield (name, weighted factor) of one block after the other, none of them kept."""
        if len(self.chunks) > 1:
            for block in blocks:
                yield from self.factors(weighted=True, blocks=[block]).items()
            return
        for group in self.sweep_groups(blocks, max_memory):
            yield from each_factor(
                self.working_copy,
                self.chunks[0],
                group,
                self.outputs_of,
                self.n_samples,
                self.outputs.factors,
            )

    def sweep_groups(self, blocks, max_memory=None):
        """Cut blocks into runs whose sweeps are held together: less memory, but more sweeps.

        Unless told otherwise, a run's sweeps take at most one and a half times what a step of
        training takes (activations, gradients, two moments of Adam and their update).
        """
        itemsize = self.working_copy.dtype.itemsize
        limit = self._free_sweeps() if max_memory is None else max_memory / 4
        groups, size = [[]], 0
        for block in blocks:
            owner = block.parameter_names[0].rpartition(".")[0]
            entries = self.entries.get(owner, 0)
            if not isinstance(block.module, POSITION_WISE):
                entries = min(entries, 4 * block.n_params)
            needed = self.n_samples * self.outputs.rank * entries * itemsize
            if groups[-1] and size + needed > limit:
                groups.append([])
                size = 0
            groups[-1].append(block)
            size += needed
        return groups

    def _free_sweeps(self):
        """Bytes of sweeps that need not be asked for: small, or as much as a step of training."""
        n_params = sum(block.n_params for block in self.blocks)
        activations = self.n_samples * sum(self.entries.values()) / 2
        step = self.working_copy.dtype.itemsize * (4 * n_params + activations)
        return max(SMALL_SWEEPS, 1.5 * step)

    def vectors_at_once(self, most=64):
        """Count the vectors that Hessians are multiplied by at once where memory is not asked for.

        Every one takes about as much as what the modules send.
        """
        sent = self.working_copy.dtype.itemsize * sum(self.entries.values()) / 2
        n_samples = max(chunk.n_samples for chunk in self.chunks)
        return int(max(1, min(most, self._free_sweeps() // max(1.0, n_samples * sent))))

    def operations(self):
        """Estimate the floating-point operations of one pass through every layer, all samples."""
        total = 0
        for block in self.blocks:
            owner = block.parameter_names[0].rpartition(".")[0]
            positions = self.entries.get(owner, 0) / max(1, self.widths.get(owner) or 1)
            total += 2 * self.n_samples * block.n_params * max(1, positions)
        return total

    @functools.cached_property
    def output_products(self):
        """Derivatives at the outputs where the second ones are too many to be formed."""
        return OutputProducts(self.scalar_at, self.output_values)

    @property
    def is_separable(self):
        """Say whether the scalar is a sum over samples of functions of each sample's outputs."""
        return self.outputs is not None or self.output_values is not None

    def products(self, curvature, blocks=None):
        """Return products with Hessians or Gauss-Newton matrices, by passes through the net."""
        if curvature == "hessian":
            return self.whole_products(blocks)
        blocks = self.blocks if blocks is None else blocks
        chunks = list(zip(self.chunks, self.offsets))
        return GaussNewtonProducts(self.outputs_of, chunks, self.output_products, blocks)

    def residual_products(self, blocks=None):
        """Return products with sum_n r_n . d2 z_n, the part of the Hessian beyond Gauss-Newton."""
        scalars, known = [], self.output_products if self.outputs is None else self.outputs
        for chunk, start in zip(self.chunks, self.offsets):
            residuals = known.residuals[start : start + chunk.n_samples]
            residuals = residuals.to(self.working_copy.dtype)
            scalars.append(lambda X=chunk.X, r=residuals: (self.outputs_of(X) * r).sum())
        return HessianProducts(scalars, self.blocks if blocks is None else blocks)

    def whole_scalar(self):
        """Evaluate the scalar on all samples at once, as a function of the parameters."""
        return self.scalar(self.working_copy(self.X), self.y, self.X)

    def whole_products(self, blocks=None):
        """Return products with the Hessian of the scalar, by chunks where samples are separate.

        A chunk's share is the second derivative of the scalar with all other samples' outputs held
        fixed. Where each layer has a function of its own output, its Hessian is that one's.
        """
        if self.is_layerwise:
            return self.scalar.products(self, self.blocks if blocks is None else blocks)
        if self.output_values is None or len(self.chunks) == 1:
            scalars = [self.whole_scalar]
        else:
            scalars = [
                lambda chunk=chunk, start=start: self._scalar_of_chunk(chunk, start)
                for chunk, start in zip(self.chunks, self.offsets)
            ]
        return HessianProducts(scalars, self.blocks if blocks is None else blocks)

    def _scalar_of_chunk(self, chunk, start):
        """Evaluate the scalar as a function of one chunk's outputs."""
        live = self.link.forward(self.working_copy(chunk.X))
        fixed = self.output_values.to(live.dtype)
        stop = start + chunk.n_samples
        outputs = torch.cat([fixed[:start], live, fixed[stop:]])
        return self.scalar_at(flatten_outputs(outputs))

    def width_of(self, block):
        """Return the width of what a block sends on: the last of its modules that was called."""
        if block.name == "network":
            return 0 if self.output_values is None else flatten_outputs(self.output_values).shape[1]
        owners = [
            name.rpartition(".")[0].partition(".parametrizations")[0]
            for name in block.parameter_names
        ]
        widths = [self.widths[owner] for owner in owners if self.widths.get(owner)]
        return (
            int(widths[-1])
            if widths
            else int(block.parameters[-1].shape[0] if block.parameters[-1].ndim else 1)
        )

    def network_block(self, blocks=None):
        """Return all blocks, or some, as one."""
        blocks = self.blocks if blocks is None else blocks
        return Block(
            name="network",
            kind=self.working_copy.root_kind(),
            parameter_names=tuple(n for block in blocks for n in block.parameter_names),
            parameters=tuple(p for block in blocks for p in block.parameters),
            module=None,
        )
