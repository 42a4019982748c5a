"""What was put in the place of installed functions: theirs is known, a patch is not."""

from __future__ import annotations

import functools
import sys
import types
from pathlib import Path

import torch

from hessdiag.digests._origins import (
    is_installed,
    origin_of_class,
    origin_of_file,
    package_of,
)

# What layers of torch and everybody's code call without holding it.
_CALLED_BY_ALL = (
    "torch",
    "torch.fft",
    "torch.functional",
    "torch.linalg",
    "torch.nn.functional",
    "torch.special",
    "torch._C._nn",
    "torch._C._special",
    "torch._C._linalg",
    "torch._C._fft",
)
# Where torch's compiler wraps functions of torch, when it is first used.
_COMPILER = (("torch", "_compile.py"), ("_dynamo", "eval_frame.py"), ("_dynamo", "decorators.py"))
_BUILT_IN = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)
# What is most of a namespace besides functions, and is nobody's patch.
_PLAIN = {types.ModuleType, types.NoneType, bool, int, float, str, tuple, list, dict, set}


def feed_patches_of_all(digester):
    """Take in what is not the original among the functions that all call."""
    for name in _CALLED_BY_ALL:
        place = sys.modules.get(name) or _by_path(name)
        if place is not None:
            _feed_others(digester, name, vars(place))
    _feed_others(digester, "torch.Tensor", vars(torch.Tensor))
    _feed_others(digester, "torch.autograd.Function", vars(torch.autograd.Function))


def feed_patches_near(digester, module_name):
    """Take in what is not the original in an installed module, or in all of a third party's."""
    module = sys.modules.get(module_name)
    if module is None or module_name in digester.scanned:
        return
    package = package_of(module)
    names = [module_name]
    if package is not None:
        names = sorted(n for n in sys.modules if n == package or n.startswith(package + "."))
    for name in names:
        if name not in digester.scanned and isinstance(sys.modules[name], types.ModuleType):
            digester.scanned.add(name)
            _feed_others(digester, name, vars(sys.modules[name]))


def is_misplaced(name, function, owner):
    """Say whether a function of an installed class is not the one that was written there."""
    if function.__module__.startswith("torch._dynamo."):
        return False  # what torch's compiler puts there when it is first used
    return function.__qualname__ != f"{owner.__qualname__}.{name}" or (
        function.__module__ != owner.__module__
    )


def _by_path(name):
    """Return a part of torch that is no module in the table of modules."""
    found = torch
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    return found


def _feed_others(digester, place, content):
    """Take in what in a namespace is the user's, or has another name than its place."""
    for name, value in sorted(content.items()):
        if type(value) in _PLAIN:
            continue
        value = _as_written(value)
        if isinstance(value, types.FunctionType):
            if not is_installed(value.__code__.co_filename):
                digester.put("patch", f"{place}.{name}")
                digester.feed(value, name)
            elif (code := value.__code__).co_name != name:
                digester.put("alias", f"{place}.{name} {code.co_name} {code.co_firstlineno}")
        elif isinstance(value, _BUILT_IN):
            if value.__name__ != name:
                digester.put("alias", f"{place}.{name} {value.__name__}")
        elif _is_foreign(value):
            digester.put("patch", f"{place}.{name}")
            digester.feed(value, name)


def _as_written(value):
    """Return a function without what torch's compiler puts around it when it is first used."""
    while (
        isinstance(value, types.FunctionType)
        and hasattr(value, "__wrapped__")
        and Path(value.__code__.co_filename).parts[-2:] in _COMPILER
        and origin_of_file(value.__code__.co_filename) is not None
    ):
        value = value.__wrapped__
    return value


def _is_foreign(value):
    """Say whether something that is no function is the user's, and not what was installed."""
    if isinstance(value, types.ModuleType):
        return False
    if isinstance(value, functools.partial):
        return True
    if isinstance(value, (staticmethod, classmethod)):
        return _is_foreign_function(value.__func__)
    if isinstance(value, (types.MethodType, functools._lru_cache_wrapper)):
        return _is_foreign_function(getattr(value, "__func__", None) or value.__wrapped__)
    kind = value if isinstance(value, type) else type(value)
    if kind.__module__.startswith("unittest.mock"):
        return True
    module = sys.modules.get(kind.__module__)
    path = getattr(module, "__file__", None)
    return path is not None and origin_of_file(path) is None and origin_of_class(kind) is None


def _is_foreign_function(value):
    """Say whether a function is the user's."""
    return (
        isinstance(value, types.FunctionType) and origin_of_file(value.__code__.co_filename) is None
    )
