"""Statistics of infinitely wide layers on what each layer of a net receives."""

from __future__ import annotations

import contextlib

import numpy as np
import torch

from hessdiag.curvature.network import hooked, is_irregular, received_by, sample_indices
from hessdiag.examination._task import Task
from hessdiag.examination._wide_kernel import RIDGES, wide_kernel_statistics

# Samples used for each layer, and for the net's own inputs: an eigen-decomposition of this
# side for each of three kernels, some 5 and 50 milliseconds.
LAYER_SAMPLES = 200
NETWORK_SAMPLES = 500
# Kernels, and sets of columns that are regressed on these in all.
N_KERNELS, N_REGRESSIONS = 3, 5


def wide_layer_statistics(problem, random_state=None, of_outputs=0.0):
    """Return {layer name: statistics} and those of the whole net, on samples of a problem.

    The whole net's are of the inputs of its first layer. Layers without a module of their own, or
    whose inputs are not one tensor with a row per sample, have none; nor has any layer where
    nothing tells what a right output is. ``of_outputs`` is the rounding of outputs, relative to
    their size.
    """
    if problem.output_values is None or problem.X is None or problem.n_samples < 3:
        return {}, {}
    limit = min(NETWORK_SAMPLES, problem.n_samples)
    indices = sample_indices(problem.n_samples, limit, random_state)
    part = problem if indices is None else problem.restrict(indices)
    task = Task(part)
    if task.kind == "unknown":
        return {}, {}
    flat = part.output_values.reshape(part.n_samples, -1)
    targets, predictions = task.in_target_space(flat)
    _, rounded = task.in_target_space(_rounded(flat, of_outputs))
    rounding = float((rounded - predictions).detach().norm())
    targets, predictions = _fewer(targets.cpu().numpy(), predictions.detach().cpu().numpy())
    with received_by_layers(part) as received, torch.no_grad():
        part.working_copy(part.X)
    few = min(LAYER_SAMPLES, part.n_samples)
    of_few = _fewer(targets[:few], predictions[:few])
    layers, network = {}, {}
    for position, block in enumerate(problem.blocks):
        rows = rows_of(received.get(block.name), part.n_samples)
        products = inner_products(rows, rows)
        if products is None:
            continue
        if position == 0:
            network = wide_kernel_statistics(products, targets, predictions, rounding)
        if position == 0 and few == part.n_samples:
            layers[block.name] = dict(network)
        else:
            layers[block.name] = wide_kernel_statistics(products[:few, :few], *of_few, rounding)
    return layers, network


def wide_layer_work(problem):
    """Count the multiplications of `wide_layer_statistics`, and list sides of decompositions."""
    n, n_outputs = problem.n_samples, problem.n_outputs
    few, many = min(LAYER_SAMPLES, n), min(NETWORK_SAMPLES, n)
    sides = [many] + [few] * (len(problem.blocks) - (few == many))
    multiplications = 0.0
    for side in sides:
        # Two times as many rows are written in fewer coordinates where they have more.
        width = n_outputs if n_outputs <= 2 * side else 2 * side
        multiplications += N_REGRESSIONS * (len(RIDGES) + 1) * side**2 * width
    for side in {few, many}:
        multiplications += 2 * (2 * side) ** 2 * n_outputs * (n_outputs > 2 * side)
    return multiplications, N_KERNELS * sides


def _rounded(outputs, size):
    """Move outputs by as much as rounding does, each sample's by itself."""
    noise = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0))
    return outputs * (1 + size * noise.to(outputs))


def _fewer(targets, predictions):
    """Write targets and predictions (N, D) in as few coordinates as they span, where D is large.

    Statistics are of inner products of their rows alone, which a rotation does not change.
    """
    n_samples, n_targets = targets.shape
    if n_targets <= 2 * n_samples or not (
        np.isfinite(targets).all() and np.isfinite(predictions).all()
    ):
        return targets, predictions
    rows = np.linalg.qr(np.vstack([targets, predictions]).T, mode="r").T
    return rows[:n_samples], rows[n_samples:]


@contextlib.contextmanager
def received_by_layers(problem):
    """Note {layer name: the first tensor that its module receives} while the net runs."""
    names, found = {}, {}
    for block in problem.blocks:
        if block.module is not None:
            names.setdefault(id(block.module), (block.module, []))[1].append(block.name)

    def note(module, args, kwargs, output):
        tensor = received_by(args, kwargs)
        if isinstance(tensor, torch.Tensor) and not is_irregular(tensor):
            for name in names[id(module)][1]:
                found.setdefault(name, tensor.detach())

    with hooked([module for module, _ in names.values()], after=note):
        yield found


def rows_of(tensor, n_samples):
    """View what was received as a row per sample; None where it is not that."""
    if tensor is None or tensor.ndim == 0 or len(tensor) % n_samples or not tensor.numel():
        return None
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    rows = tensor.reshape(n_samples, -1)
    return rows.double() if rows.is_floating_point() else rows


def inner_products(rows, columns):
    """Return inner products (n, m) of what was received; of tokens, how many agree."""
    if rows is None or columns is None:
        return None
    if rows.is_floating_point():
        return (rows @ columns.T).cpu().numpy()
    products = np.zeros((len(rows), len(columns)))
    for left, right in zip(rows.cpu().numpy().T, columns.cpu().numpy().T, strict=True):
        products += left[:, None] == right[None, :]
    return products


def squared_lengths(rows):
    """Return the inner products (n,) of what was received with itself."""
    if rows.is_floating_point():
        return rows.square().sum(dim=1).cpu().numpy()
    return np.full(len(rows), float(rows.shape[1]))
