"""Statistics of infinitely wide layers on what each layer of a net receives."""

from __future__ import annotations

import numpy as np
import torch

from hessdiag.curvature import wide_kernel_statistics
from hessdiag.curvature._data import sample_indices
from hessdiag.curvature._hooks import hooked, received_by
from hessdiag.curvature._task import Task

__all__ = ["wide_layer_statistics"]

# Samples looked at for each layer, and for the net's own inputs: an eigen-decomposition of this
# side for each of three kernels, some 5 and 50 milliseconds.
LAYER_SAMPLES = 200
NETWORK_SAMPLES = 500


def wide_layer_statistics(problem, random_state=None):
    """Return {layer name: statistics} and those of the whole net, on samples of a problem.

    The whole net's are of the inputs of its first layer. Layers without a module of their own, or
    whose inputs are not one tensor with a row per sample, have none; nor has any layer where
    targets are not known as numbers.
    """
    if problem.output_values is None or problem.X is None or problem.n_samples < 3:
        return {}, {}
    limit = min(NETWORK_SAMPLES, problem.n_samples)
    indices = sample_indices(problem.n_samples, limit, random_state)
    part = problem if indices is None else problem.restrict(indices)
    task = Task(part)
    if task.values is None:
        return {}, {}
    flat = part.output_values.reshape(part.n_samples, -1)
    targets, predictions = task.in_target_space(flat)
    targets, predictions = targets.cpu().numpy(), predictions.detach().cpu().numpy()
    received = _received(part)
    few = min(LAYER_SAMPLES, part.n_samples)
    layers, network = {}, {}
    for position, block in enumerate(problem.blocks):
        products = _inner_products(received.get(block.name), part.n_samples)
        if products is None:
            continue
        if position == 0:
            network = wide_kernel_statistics(products, targets, predictions)
        if position == 0 and few == part.n_samples:
            layers[block.name] = dict(network)
        else:
            layers[block.name] = wide_kernel_statistics(
                products[:few, :few], targets[:few], predictions[:few]
            )
    return layers, network


def _received(problem):
    """Run the net once; return {layer name: the first tensor that its module received}."""
    names, found = {}, {}
    for block in problem.blocks:
        if block.module is not None:
            names.setdefault(id(block.module), (block.module, []))[1].append(block.name)

    def note(module, args, kwargs, output):
        tensor = received_by(args, kwargs)
        if isinstance(tensor, torch.Tensor):
            for name in names[id(module)][1]:
                found.setdefault(name, tensor.detach())

    with hooked([module for module, _ in names.values()], after=note), torch.no_grad():
        problem.working_copy(problem.X)
    return found


def _inner_products(tensor, n_samples):
    """Return inner products (N, N) of what was received; of tokens, how many agree."""
    if tensor is None or tensor.ndim == 0 or len(tensor) % n_samples or not tensor.numel():
        return None
    rows = tensor.reshape(n_samples, -1)
    if rows.is_floating_point():
        rows = rows.double()
        return (rows @ rows.T).cpu().numpy()
    products = np.zeros((n_samples, n_samples))
    for column in rows.cpu().numpy().T:
        products += column[:, None] == column[None, :]
    return products
