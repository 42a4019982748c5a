"""Looking on while a net runs: functions that are called with every call of its modules."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch


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
