"""What a function reads from around it: globals, attributes of modules, and what it imports."""

from __future__ import annotations

import builtins
import dis
import functools
import importlib.util
import sys
import types
from typing import NamedTuple

import numpy as np
import torch

from hessdiag.digests._origins import origin_of_class, origin_of_file, origin_of_module
from hessdiag.digests._outside import is_outside, is_outside_module, names_outside

_MISSING = object()
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, torch.dtype)
_CALLABLE = (
    type,
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    functools.partial,
    np.ufunc,
)
# Of a module of one's own, these say nothing of what it does.
_OF_MODULES = {
    "__annotations__",
    "__builtins__",
    "__cached__",
    "__conditional_annotations__",
    "__annotate__",
    "__doc__",
    "__file__",
    "__loader__",
    "__name__",
    "__package__",
    "__path__",
    "__spec__",
    "__warningregistry__",
}


class _Reads(NamedTuple):
    """Names that some code reads, that within it included."""

    globals: tuple[tuple[str, tuple[str, ...]], ...]  # with the attributes that are read of each
    imported: tuple[tuple[str, bool], ...]  # whether only names are imported from it
    attributes: tuple[str, ...]


def feed_reads(digester, function, is_called=True):
    """Take in what a function reads from around it.

    Of one that is known not to be called, what lies outside does not count.
    """
    reads = _reads_of(function.__code__)
    if is_called and (outside := names_outside(reads.attributes)):
        digester.refuse_reading(outside[0])
    for name, attributes in reads.globals:
        value = function.__globals__.get(name, _MISSING)
        digester.put("global", ".".join((name, *attributes)))
        if value is _MISSING:
            value = getattr(builtins, name, _MISSING)
            if value is _MISSING:
                digester.put("missing")
                continue
            if not is_outside(value) and _is_of_python(value):
                continue
        if isinstance(value, types.ModuleType):
            _feed_path(digester, value, attributes, is_called)
        elif is_outside(value):
            if is_called:
                digester.refuse_reading(name)
        else:
            digester.feed(value, name)
    for name, by_names in reads.imported:
        for module in _modules_named(digester, name, function.__globals__.get("__package__")):
            if by_names or origin_of_module(module) is not None:
                _feed_named(digester, module, reads.attributes, is_called, set())
            else:
                digester.feed(module, name)


def feed_module_object(digester, module):
    """Take in a module that is held somewhere: of one's own, all that it has."""
    digester.put("module", module.__name__)
    if origin_of_module(module) is not None:
        if is_outside_module(module, is_whole=True):
            digester.refuse_reading(module.__name__)
        return
    _check_plain(digester, module)
    for name, value in sorted(vars(module).items()):
        if name in _OF_MODULES:
            continue
        if isinstance(value, types.ModuleType) and origin_of_module(value) is not None:
            digester.put("module", value.__name__)
        else:
            digester.put("name", name)
            digester.feed(value, name)


def _feed_path(digester, module, attributes, is_called):
    """Take in what attributes, each of the one before, lead to."""
    if not attributes or attributes[0] in ("__dict__", "__getattribute__"):
        if is_called or origin_of_module(module) is None:
            digester.feed(module)
        return
    name, *others = attributes
    is_own = origin_of_module(module) is None
    digester.put("module", module.__name__)
    if is_called and is_outside_module(module, is_whole=False):
        digester.refuse_reading(module.__name__)
    value = vars(module).get(name, _MISSING)
    if value is _MISSING:
        if is_own:
            _check_plain(digester, module)
        value = _submodule(module, name)
    if isinstance(value, types.ModuleType):
        _feed_path(digester, value, others, is_called)
    elif is_outside(value):
        if is_called:
            digester.refuse_reading(name)
    elif value is _MISSING:
        digester.put("missing", name)
    elif is_own or _is_to_be_seen(value):
        digester.feed(value, name)
    else:
        digester.put("installed", f"{type(value).__module__}.{type(value).__qualname__}")


def _submodule(module, name):
    """Return a module that is imported but not put on its package, if it is that."""
    if type(module).__module__ == "torch._ops":  # operators are looked up when they are used
        return getattr(module, name, _MISSING)
    return sys.modules.get(f"{module.__name__}.{name}", _MISSING)


def _feed_named(digester, module, names, is_called, met):
    """Take in all that a module has by some names, and so on."""
    met.add(id(module))
    digester.put("module", module.__name__)
    if origin_of_module(module) is None:
        _check_plain(digester, module)
    for name in names:
        value = vars(module).get(name, _MISSING)
        if isinstance(value, types.ModuleType):
            if id(value) not in met:
                _feed_named(digester, value, names, is_called, met)
        elif value is not _MISSING:
            _feed_path(digester, module, (name,), is_called)


def _check_plain(digester, module):
    """Refuse a module that has what is not there."""
    if "__getattr__" in vars(module) or type(module) is not types.ModuleType:
        digester.refuse(module)


def _is_to_be_seen(value):
    """Say whether something that an installed module holds is taken in: it may be another's."""
    if isinstance(value, (*_PLAIN, *_CALLABLE)) or type(value).__module__ == "torch._ops":
        return True
    return origin_of_class(type(value)) is None and type(value).__flags__ & _HEAP_TYPE


_HEAP_TYPE = 1 << 9


def _is_of_python(value):
    """Say whether a built-in name has what Python gives it."""
    if isinstance(value, (type, types.BuiltinFunctionType)):
        return value.__module__ in ("builtins", "io", "_io", "_sitebuiltins")
    return False


def _modules_named(digester, name, package):
    """Modules that an import within a function may mean."""
    found = [sys.modules[name]] if name in sys.modules else []
    while package:
        full = f"{package}.{name}" if name else package
        if full in sys.modules:
            found.append(sys.modules[full])
        package = package.rpartition(".")[0]
    if not found:
        _check_not_there_yet(digester, name)
    return found


def _check_not_there_yet(digester, name):
    """Refuse a module of one's own that is not imported yet: it is read when the code runs."""
    digester.put("import", name)
    try:
        spec = importlib.util.find_spec(name.split(".")[0]) if name else None
    except (ImportError, ValueError):
        spec = None
    if not name or (spec is not None and _is_own_spec(spec)):
        digester.refuse_reading(name or "import")


def _is_own_spec(spec):
    """Say whether a module that could be imported is the user's."""
    if spec.origin in ("built-in", "frozen"):
        return False
    return spec.origin is None or origin_of_file(spec.origin) is None


@functools.lru_cache(maxsize=4096)
def _reads_of(code):
    """List what code reads."""
    found, imported, attributes = set(), set(), set(code.co_names)
    instructions = [i for i in dis.get_instructions(code) if i.opname != "EXTENDED_ARG"]
    for place, instruction in enumerate(instructions):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            path = []
            for following in instructions[place + 1 :]:
                if following.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
                    break
                path.append(following.argval)
            found.add((instruction.argval, tuple(path)))
        elif instruction.opname == "IMPORT_NAME":
            by_names = instructions[place + 1].opname == "IMPORT_FROM"
            imported.add((instruction.argval, by_names))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            within = _reads_of(constant)
            found |= set(within.globals)
            imported |= set(within.imported)
            attributes |= set(within.attributes)
    return _Reads(tuple(sorted(found)), tuple(sorted(imported)), tuple(sorted(attributes)))
