"""Forward passes that are watched: by hooks for a while, noting what modules receive and send."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from hessdiag.curvature.network._checks import tensors_of

if TYPE_CHECKING:
    from hessdiag.curvature.network._data import Chunk
    from hessdiag.curvature.network._working_copy import WorkingCopy


@contextlib.contextmanager
def hooked(
    modules: Iterable[torch.nn.Module],
    before: Callable[..., Any] | None = None,
    after: Callable[..., Any] | None = None,
) -> Iterator[None]:
    """Call before(module, args, kwargs) and after(module, args, kwargs, output) with every call.

    Hooks that modules have already come second; those put here are gone at the end.

    Parameters
    ----------
    modules : iterable of torch.nn.Module
        What to watch.
    before : callable or None, default=None
        Called as ``before(module, args, kwargs)``.
    after : callable or None, default=None
        Called as ``after(module, args, kwargs, output)``; what it returns, if anything, replaces
        the output.

    Yields
    ------
    None
        Hooks are there as long as the context is open.
    """
    handles = []
    try:
        for module in {id(module): module for module in modules}.values():
            if before is not None:
                handle = module.register_forward_pre_hook(before, prepend=True, with_kwargs=True)
                handles.append(handle)
            if after is not None:
                handle = module.register_forward_hook(after, prepend=True, with_kwargs=True)
                handles.append(handle)
        yield
    finally:
        for handle in handles:
            handle.remove()


def received_by(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the first thing that a module was called with; None where there is none.

    Parameters
    ----------
    args : tuple
        Positional arguments of a call.
    kwargs : dict
        Its keyword arguments.

    Returns
    -------
    object or None
        The first positional argument, or the one called ``input`` or ``x``.
    """
    return args[0] if args else kwargs.get("input", kwargs.get("x"))


def is_irregular(tree: Any) -> bool:
    """Say whether a tensor is no array by itself: one within torch.func, or a nested one.

    The first kind, of one sample or of one derivative alone, means nothing once the function that
    was transformed has ended.

    Parameters
    ----------
    tree : object
        A tensor, or a tuple, list or dict of these.

    Returns
    -------
    bool
        Whether any is one.
    """
    if isinstance(tree, torch.Tensor):
        return tree.is_nested or torch._C._functorch.is_functorch_wrapped_tensor(tree)
    if isinstance(tree, dict):
        return any(is_irregular(value) for value in tree.values())
    return isinstance(tree, (list, tuple)) and any(is_irregular(value) for value in tree)


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
