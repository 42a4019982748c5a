"""Functions that modules hold, as hooks or as attributes, and what these hold in turn."""

from __future__ import annotations

import contextlib
import functools
import types
from typing import Any

import torch

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_CONTAINERS = (list, dict, set)
# Items of containers that are named in a file, beyond which these hold data, not activations.
MOST_ITEMS = 10_000
# Their functions read nothing of a user's.
_LIBRARIES = frozenset(("torch", "skorch", "sklearn", "numpy", "scipy", "hessdiag"))
# What torch itself keeps at every module; `forward` may be replaced at one.
OF_MODULES = frozenset(vars(torch.nn.Module()))


def bind_functions(module: torch.nn.Module, memo: dict[int, Any], made: dict[int, Any]) -> None:
    """Let the functions that a copied module holds reach the copy where they reached the original.

    ``copy.deepcopy`` keeps functions as they are, with the modules, parameters and lists that they
    have closed over.

    Parameters
    ----------
    module : torch.nn.Module
        The copy; its functions are replaced.
    memo : dict
        What ``copy.deepcopy`` noted: copies by the id of what they are copies of.
    made : dict
        Functions and containers made here, by the id of what they stand for; it is added to.
    """
    for part in module.modules():
        for key, value in list(vars(part).items()):
            if key in _HOOKS:
                for handle, hook in list(value.items()):
                    value[handle] = _bound(hook, memo, made)
            elif key not in OF_MODULES:
                bound = _bound(value, memo, made, depth=1)
                if bound is not value:
                    vars(part)[key] = bound


def containers_of(module: torch.nn.Module) -> list[list[Any] | dict[Any, Any] | set[Any]]:
    """List the lists, dicts and sets that modules and the functions that they hold work with.

    Parameters
    ----------
    module : torch.nn.Module
        A module.

    Returns
    -------
    list of (list, dict or set)
        Each once.
    """
    found: dict[int, Any] = {}
    seen: set[int] = set()
    for part in module.modules():
        for key, value in vars(part).items():
            if key in _HOOKS:
                for hook in value.values():
                    _collect(hook, found, seen)
            elif key not in OF_MODULES:
                _collect(value, found, seen)
        _collect(type(part).forward, found, seen)
    return list(found.values())


def _bound(value, memo, made, depth=0):
    """Return a value with functions in it bound anew; anything else as it is."""
    if isinstance(value, types.FunctionType):
        return _bound_function(value, memo, made)
    if isinstance(value, functools.partial):
        arguments = [_counterpart(item, memo, made) for item in value.args]
        keywords = {key: _counterpart(item, memo, made) for key, item in value.keywords.items()}
        return functools.partial(_bound(value.func, memo, made), *arguments, **keywords)
    if depth and type(value) in (list, tuple):
        items = [_bound(item, memo, made) for item in value]
        if any(new is not old for new, old in zip(items, value)):
            return type(value)(items)
    if depth and type(value) is dict:
        for key, item in value.items():
            value[key] = _bound(item, memo, made)
    return value


def _bound_function(function, memo, made):
    """Return the same function with cells and defaults of its own."""
    if id(function) in made:
        return made[id(function)]
    globals_, named = function.__globals__, {}
    if not _is_of_library(function):
        named = {
            name: value
            for name, value in _globals_read(function).items()
            if _leads_to_copied(value, memo, globals_, {id(function)})
        }
    held = function.__closure__ or function.__defaults__ or function.__kwdefaults__
    if not (held or named):
        return function
    if named:
        # As where a loss in a notebook reads the net itself.
        globals_ = dict(globals_)
    cells = tuple(types.CellType() for _ in function.__closure__ or ())
    bound = types.FunctionType(function.__code__, globals_, function.__name__, None, cells or None)
    functools.update_wrapper(bound, function)
    # Before the cells are filled, as a function may have closed over itself.
    made[id(function)] = bound
    globals_.update({name: _counterpart(value, memo, made) for name, value in named.items()})
    for cell, own in zip(function.__closure__ or (), cells):
        with contextlib.suppress(ValueError):  # a cell that is not filled yet
            own.cell_contents = _counterpart(cell.cell_contents, memo, made)
    if function.__defaults__:
        bound.__defaults__ = tuple(_counterpart(v, memo, made) for v in function.__defaults__)
    if function.__kwdefaults__:
        given = function.__kwdefaults__.items()
        bound.__kwdefaults__ = {key: _counterpart(v, memo, made) for key, v in given}
    return bound


def bound_value(value: Any, memo: dict[int, Any], made: dict[int, Any]) -> Any:
    """Let a function that is called beside a copied module reach the copy, too.

    Parameters
    ----------
    value : object
        A function, a partial or a bound method; anything else comes back as it is.
    memo, made : dict
        As in `bind_functions`.

    Returns
    -------
    object
        The same function, of what the copy holds.
    """
    if not callable(value) or isinstance(value, (type, torch.nn.Module)):
        return value
    return _counterpart(value, memo, made) if _reaches(value, memo, set()) else value


def _is_of_library(function):
    """Say whether a function is one of those libraries that read nothing of a user's."""
    return str(function.__globals__.get("__name__")).partition(".")[0] in _LIBRARIES


def _globals_read(function):
    """Map the names that a function may look up among its globals to what stands there."""
    globals_ = function.__globals__
    return {name: globals_[name] for name in _names_in(function.__code__) if name in globals_}


def _names_in(code):
    """Collect the names that code, and functions within it, may look up among its globals."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return names


def _reaches(value, memo, seen):
    """Say whether a value is copied, or leads to what is, by what it holds or reads."""
    if id(value) in memo:
        return True
    if id(value) in seen:
        return False
    seen.add(id(value))
    if type(value) in (list, tuple, set, dict):
        items = value.values() if type(value) is dict else value
        return any(_reaches(item, memo, seen) for item in items)
    if isinstance(value, functools.partial):
        parts = (value.func, *value.args, *value.keywords.values())
        return any(_reaches(item, memo, seen) for item in parts)
    if isinstance(value, types.MethodType):
        return _reaches(value.__self__, memo, seen) or _reaches(value.__func__, memo, seen)
    if not isinstance(value, types.FunctionType):
        return False
    for cell in value.__closure__ or ():
        with contextlib.suppress(ValueError):
            if _reaches(cell.cell_contents, memo, seen):
                return True
    held = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
    if any(_reaches(item, memo, seen) for item in held):
        return True
    globals_ = value.__globals__
    return any(
        _leads_to_copied(named, memo, globals_, {id(value)})
        for named in _globals_read(value).values()
    )


def _leads_to_copied(value, memo, globals_, seen):
    """Say whether a global is copied, or a function or container that leads to what is."""
    if id(value) in memo:
        return True
    if type(value) in (list, tuple, set, dict):
        items = value.values() if type(value) is dict else value
        return any(id(item) in memo for item in items)
    if not isinstance(value, types.FunctionType) or value.__globals__ is not globals_:
        return False
    if id(value) in seen:
        return False
    seen.add(id(value))
    return any(
        _leads_to_copied(named, memo, globals_, seen) for named in _globals_read(value).values()
    )


def _counterpart(value, memo, made):
    """Return the copy of a value where there is one, and containers of such copies."""
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, types.MethodType) and id(value.__self__) in memo:
        return types.MethodType(value.__func__, memo[id(value.__self__)])
    if id(value) in made:
        return made[id(value)]
    if type(value) is tuple:
        return tuple(_counterpart(item, memo, made) for item in value)
    if type(value) is list:
        # Before it is filled, as it may hold itself.
        own = made[id(value)] = []
        own.extend(_counterpart(item, memo, made) for item in value)
        return own
    if type(value) is dict:
        own = made[id(value)] = {}
        own.update({key: _counterpart(item, memo, made) for key, item in value.items()})
        return own
    if type(value) is set:
        return made.setdefault(id(value), {_counterpart(item, memo, made) for item in value})
    return _bound(value, memo, made)


def _collect(value, found, seen):
    """Note containers, those in the cells of functions, and those that their code names."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if type(value) in _CONTAINERS:
        found[id(value)] = value
    elif isinstance(value, types.FunctionType):
        for cell in value.__closure__ or ():
            with contextlib.suppress(ValueError):
                _collect(cell.cell_contents, found, seen)
        if _is_of_library(value):
            return
        for named in _globals_read(value).values():
            if type(named) in _CONTAINERS and len(named) <= MOST_ITEMS:
                found[id(named)] = named
    elif isinstance(value, functools.partial):
        for item in (value.func, *value.args, *value.keywords.values()):
            _collect(item, found, seen)
    elif isinstance(value, types.MethodType):
        _collect(value.__func__, found, seen)
