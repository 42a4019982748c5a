"""One forward pass, noting what every module sends and in which order modules are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from hessdiag.curvature.network._checks import tensors_of
from hessdiag.curvature.network._hooks import hooked

if TYPE_CHECKING:
    from hessdiag.curvature.network._data import Chunk
    from hessdiag.curvature.network._working_copy import WorkingCopy


def run_and_note(
    working_copy: WorkingCopy, chunk: Chunk
) -> tuple[Any, list[str], dict[str, int | None], dict[str, float]]:
    """Run one chunk without gradients, and note what every module sends.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net.
    chunk : Chunk
        Samples.

    Returns
    -------
    outputs : Tensor, or dict, list or tuple of Tensor
        What the net sends.
    order : list of str
        Names of modules, in the order of their first calls.
    widths : dict of str to (int or None)
        Features or channels of what each module sends; None where it sends no tensor.
    entries : dict of str to float
        Numbers that it sends per sample, over all its calls.
    """
    names = {id(module): name for name, module in working_copy.modules_by_name().items()}
    order: list[str] = []
    widths: dict[str, int | None] = {}
    entries: dict[str, float] = {}

    def note_call(module, args, kwargs):
        name = names[id(module)]
        if name not in widths:
            order.append(name)
            widths[name] = None

    def note_width(module, args, kwargs, output):
        tensors = tensors_of(output)
        if tensors and tensors[0].ndim:
            axis = 1 if tensors[0].ndim > 2 and _is_channelled(module) else -1
            name = names[id(module)]
            widths[name] = tensors[0].size(axis)
            entries[name] = entries.get(name, 0) + tensors[0].numel() / max(1, chunk.n_samples)

    modules = [module for module in working_copy.modules() if module is not working_copy]
    with hooked(modules, before=note_call, after=note_width), torch.no_grad():
        outputs = working_copy(chunk.X)
    return outputs, order, widths, entries


def entries_of_graph(working_copy: WorkingCopy, chunk: Chunk) -> int:
    """Count the entries that the modules send when one chunk passes: what a graph keeps.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net.
    chunk : Chunk
        Samples.

    Returns
    -------
    int
        Numbers that all leaf modules send together.
    """
    count = [0]

    def add(module, args, kwargs, output):
        count[0] += sum(tensor.numel() for tensor in tensors_of(output))

    leaves = [module for module in working_copy.modules() if not list(module.children())]
    with hooked(leaves, after=add), torch.no_grad():
        working_copy(chunk.X)
    return count[0]


def _is_channelled(module):
    """Say whether a module's features stand in the second axis."""
    return any(hasattr(module, name) for name in ("out_channels", "num_features", "num_channels"))
