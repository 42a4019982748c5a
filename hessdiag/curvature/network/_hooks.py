"""Looking on while a net runs: functions that are called with every call of its modules."""

from __future__ import annotations

import contextlib


@contextlib.contextmanager
def hooked(modules, before=None, after=None):
    """Call before(module, args, kwargs) and after(module, args, kwargs, output) with every call.

    Hooks that modules have already come second; those put here are gone at the end.
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


def received_by(args, kwargs):
    """Return the first thing that a module was called with; None where there is none."""
    return args[0] if args else kwargs.get("input", kwargs.get("x"))
