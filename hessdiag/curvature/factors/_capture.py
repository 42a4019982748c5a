"""From a forward pass and a backward sweep for each output column to all layers' factors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hessdiag.curvature.factors._dense_factor import DenseFactor
from hessdiag.curvature.factors._join import add_factors
from hessdiag.curvature.factors._linear_calls import LinearCall, LinearCalls
from hessdiag.curvature.factors._per_sample import per_sample_factor, takes_columns_early
from hessdiag.curvature.factors._recurrent import RecurrentCall, is_recurrent
from hessdiag.curvature.factors._rules import find_rule
from hessdiag.curvature.network import (
    Block,
    Chunk,
    WorkingCopy,
    available_memory,
    hooked,
    is_irregular,
    received_by,
)

if TYPE_CHECKING:
    from hessdiag.curvature.factors._factor import Factor

#: Layers whose factors keep all positions.
POSITION_WISE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding)
# What a module received, the version of that tensor, and what it sent.
Call = tuple[torch.Tensor, int, torch.Tensor]


@contextlib.contextmanager
def watching(
    modules: Iterable[torch.nn.Module], recurrent: Mapping[int, list[str]] | None = None
) -> Iterator[dict[int, list[Call | RecurrentCall | None]]]:
    """Record (received, its version, sent) at every call of the modules.

    Parameters
    ----------
    modules : iterable of torch.nn.Module
        What to watch.
    recurrent : dict of int to list of str, or None, default=None
        Names of the wanted parameters of those that are recurrent layers, by their ids; their calls
        are recorded as `RecurrentCall`.

    Yields
    ------
    dict of int to list
        By the id of each module, a tuple (what it received, the version of that tensor, what it
        sent) for every call; None for a call that received or sent no tensor.
    """
    records: dict[int, list[Call | RecurrentCall | None]] = {id(module): [] for module in modules}
    recurrent = {} if recurrent is None else recurrent

    def record(module, args, kwargs, output):
        if is_irregular((args, output)):
            records[id(module)].append(None)
            return None
        if id(module) in recurrent:
            call = RecurrentCall(module, recurrent[id(module)])
            stepwise = call.run(args, kwargs, output)
            records[id(module)].append(None if stepwise is None else call)
            return stepwise
        received = received_by(args, kwargs)
        if not isinstance(output, torch.Tensor) or not isinstance(received, torch.Tensor):
            records[id(module)].append(None)
            return None
        records[id(module)].append((received.detach(), received._version, output))
        # What follows may work in place: on a copy, so that the record stays what was sent.
        return output.clone()

    with hooked(modules, after=record):
        yield records


def capture_factors(
    working_copy: WorkingCopy,
    chunk: Chunk,
    blocks: Sequence[Block],
    outputs_of: Callable[[Any], torch.Tensor],
    n_samples: int,
    weights: torch.Tensor | None = None,
) -> dict[str, Factor | None]:
    """Build the factor of every block for one chunk of samples, as `each_factor` does.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net.
    chunk : Chunk
        Samples.
    blocks : sequence of Block
        The layers.
    outputs_of : callable
        Maps a batch of inputs to the outputs (n, D) that are differentiated.
    n_samples : int
        Samples of all chunks, for which a dense factor has to fit in memory.
    weights : Tensor of shape (n, D, R) or None, default=None
        Applied to the outputs.

    Returns
    -------
    dict of str to (Factor or None)
        Factors by layer name.
    """
    return dict(each_factor(working_copy, chunk, blocks, outputs_of, n_samples, weights))


def each_factor(
    working_copy: WorkingCopy,
    chunk: Chunk,
    blocks: Sequence[Block],
    outputs_of: Callable[[Any], torch.Tensor],
    n_samples: int,
    weights: torch.Tensor | None = None,
) -> Iterator[tuple[str, Factor | None]]:
    """Build one block's factor after the other for one chunk of samples: pairs (name, factor).

    All sweeps come first; what they left for a block is let go once its factor is built, so that
    whoever is done with a factor before asking for the next never holds two.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net.
    chunk : Chunk
        Samples.
    blocks : sequence of Block
        The layers.
    outputs_of : callable
        Maps a batch of inputs to the outputs (n, D) that are differentiated.
    n_samples : int
        Samples of all chunks, for which a dense factor has to fit in memory.
    weights : Tensor of shape (n, D, R) or None, default=None
        Applied to the outputs: the factors are then of B' J.

    Yields
    ------
    name : str
        Name of a layer.
    factor : Factor or None
        Its factor; None where it has no closed rule and a dense one of all samples would not fit in
        memory.
    """
    outputs, calls_of = _run_watched(blocks, chunk, outputs_of)
    columns = _columns(outputs, weights)
    usable = {
        block.name: _sweeps_of(block, calls_of.get(block.name), len(outputs), len(columns))
        for block in blocks
    }
    collected = [sweeps for calls in usable.values() for sweeps in calls]
    sent = [tensor for sweeps in collected for tensor in sweeps.sent]
    for column in columns if sent else []:
        shares = torch.autograd.grad(outputs, sent, column, retain_graph=True, allow_unused=True)
        shares = iter(shares)
        for sweeps in collected:
            sweeps.add([next(shares) for _ in sweeps.sent])
        del shares
    del collected
    probe = torch.randn(len(outputs), len(columns), dtype=outputs.dtype, device=outputs.device)
    direct = _direct_products(outputs, columns, probe, blocks)
    available, itemsize = available_memory(outputs.device), outputs.dtype.itemsize
    width = len(columns) if takes_columns_early(weights) else outputs.shape[1]
    for block in blocks:
        factor = _first_that_agrees(usable.pop(block.name), probe, direct[block.name])
        needed = 2 * n_samples * width * block.n_params * itemsize
        if factor is None and needed <= available:
            factor = per_sample_factor(working_copy, chunk, block, outputs_of, weights)
        yield block.name, factor
        del factor


def _run_watched(blocks, chunk, outputs_of):
    """Run the net; return its outputs, and what is known of the calls of every block with a rule.

    These are {name: list of records}: (rule, its pieces, record) of a closed rule, a
    `RecurrentCall`, or (received, sent) of a weight that ``linear`` was called with.
    """
    rules, recurrent = {}, {}
    for block in blocks:
        pieces = [name.rpartition(".")[2] for name in block.parameter_names]
        rule = None if block.module is None else find_rule(block.module, pieces)
        if rule is not None:
            rules[block.name] = rule, pieces
        elif is_recurrent(block.module, pieces):
            recurrent[id(block.module)] = pieces
    watched = [b.module for b in blocks if b.name in rules or id(b.module) in recurrent]
    with watching(watched, recurrent) as records, LinearCalls(blocks) as linear:
        outputs = outputs_of(chunk.X)
    found = {}
    for block in blocks:
        calls = records.get(id(block.module), [])
        if block.name in rules and calls:
            if all(
                call is not None and call[0]._version == call[1] and call[2].requires_grad
                for call in calls
            ):
                found[block.name] = [(*rules[block.name], call) for call in calls]
        elif id(block.module) in recurrent:
            found[block.name] = calls
        else:
            found[block.name] = linear.calls.get(block.name)
    return outputs, {
        name: calls
        for name, calls in found.items()
        if calls and all(_is_by_sample(call, len(outputs)) for call in calls)
    }


def _is_by_sample(call, n_samples):
    """Say whether a call was recorded, of a recurrent layer with one row per sample."""
    if isinstance(call, RecurrentCall):
        return all(len(zeros) == n_samples for zeros in call.sent)
    return call is not None


def _sweeps_of(block, calls, n_samples, n_columns):
    """Return what collects the sweeps of every call of a block; nothing where it has no rule."""
    sweeps = []
    for call in calls or ():
        if isinstance(call, RecurrentCall):
            sweeps.append(call)
        elif len(call) == 3:
            rule, pieces, record = call
            sweeps.append(_Sweeps((rule, pieces), block, record, n_samples, n_columns))
        else:
            received, sent = call
            if not sent.requires_grad:
                return []
            sweeps.append(LinearCall(received, sent, block, n_samples))
    return sweeps


def _first_that_agrees(calls, probe, direct):
    """Build a block's factor by its rule; None where there is none, or it is not right."""
    if not calls:
        return None
    if not isinstance(calls[0], LinearCall):
        factor = add_factors([call.factor() for call in calls])
        return factor if factor is not None and _agrees(factor, probe, direct) else None
    for parts in zip(*(call.factors() for call in calls)):
        factor = add_factors(list(parts))
        if factor is not None and _agrees(factor, probe, direct):
            return factor
    return None


def _columns(outputs, weights):
    """List the output weights (n, D) of every backward sweep."""
    n_samples, n_outputs = outputs.shape
    if weights is not None:
        return list(weights.to(outputs.dtype).unbind(dim=2))
    columns = []
    for c in range(n_outputs):
        column = outputs.new_zeros(n_samples, n_outputs)
        column[:, c] = 1.0
        columns.append(column)
    return columns


def _direct_products(outputs, columns, probe, blocks):
    """Compute J' u for all blocks by one plain backward pass: what every factor must reproduce."""
    combined = sum(column * probe[:, c, None] for c, column in enumerate(columns))
    parameters = [p for block in blocks for p in block.parameters]
    gradients = torch.autograd.grad(
        outputs, parameters, combined, retain_graph=True, allow_unused=True
    )
    products, position = {}, 0
    for block in blocks:
        pieces = []
        for parameter in block.parameters:
            gradient = gradients[position]
            position += 1
            if gradient is None:
                gradient = torch.zeros_like(parameter)
            elif gradient.is_sparse:
                gradient = gradient.to_dense()
            pieces.append(gradient.reshape(-1))
        products[block.name] = torch.cat(pieces)
    return products


def _agrees(factor, probe, direct):
    """Compare a factor with the plain backward pass; NaN on both sides counts as agreement."""
    if factor.dtype != probe.dtype:
        return False  # of a layer that computes in another precision
    product = factor.rmatvec(probe[None])[0]
    if product.shape != direct.shape:
        return False
    if not torch.isfinite(direct).all():
        return True
    tolerance = 1e-9 if direct.dtype == torch.float64 else 1e-3
    return bool((product - direct).norm() <= tolerance * (direct.norm() + 1e-30))


class _Sweeps:
    """What the sweeps of all columns leave at one call of a module, in the order of factors.

    Each share is written where it is wanted, (n, D, ...), so that nothing is held twice.
    Normalizations have two parameters per channel, but send a value for every position: where the
    parameters are fewer by far, a share is summed into derivatives at once.
    """

    def __init__(self, rule, block, call, n_samples, n_columns):
        self.rule, self.block, self.call, self.sent = rule, block, call, [call[2]]
        self.n_samples, self.n_columns = n_samples, n_columns
        few = 4 * n_samples * block.n_params <= call[2].numel()
        self.sums = few and not isinstance(block.module, POSITION_WISE)
        self.stacked, self.summed, self.column = None, [], 0

    def add(self, shares):
        """Take the next column's share; None stands for zeros."""
        (share,) = shares
        if self.sums:
            share = torch.zeros_like(self.call[2]) if share is None else share
            factor = self._apply(share[:, None]) if share.ndim else None
            if isinstance(factor, DenseFactor):
                self.summed.append(factor.jacobian)
                return
            self.sums = False
        if self.stacked is None:
            sent = self.call[2]
            shape = (self.n_samples, self.n_columns, *self._by_sample(sent).shape[1:])
            self.stacked = sent.new_empty(shape)
        self.stacked[:, self.column] = 0 if share is None else self._by_sample(share)
        self.column += 1

    def factor(self):
        """Build the factor from all shares, which are let go; None where the rule does not fit."""
        if self.summed:
            return DenseFactor(torch.cat(self.summed, dim=1))
        stacked, self.stacked = self.stacked, None
        return None if stacked is None else self._apply(stacked)

    def _by_sample(self, tensor):
        """View a tensor whose first axis holds several rows per sample sample by sample."""
        if tensor.ndim == 0 or len(tensor) % self.n_samples:
            return tensor.new_zeros(self.n_samples, 0)
        if len(tensor) == self.n_samples:
            return tensor
        return tensor.reshape(self.n_samples, -1, *tensor.shape[1:])

    def _apply(self, stacked):
        """Apply the closed rule; None where the call's layout is not sample by sample."""
        apply, pieces = self.rule
        received, _, sent = self.call
        if sent.ndim == 0 or received.ndim == 0:
            return None
        if len(sent) != self.n_samples or len(received) != self.n_samples:
            if len(sent) % self.n_samples or len(received) != len(sent):
                return None
            if type(self.block.module) is not torch.nn.Linear:
                return None
            received = self._by_sample(received)
        try:
            return apply(self.block.module, pieces, received, stacked)
        except (RuntimeError, ValueError, IndexError):
            return None
