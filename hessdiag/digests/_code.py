"""What a function or a class does: its code and what that reads, but not what is installed."""

from __future__ import annotations

import dis
import functools
import hashlib
import importlib.util
import os
import site
import sys
import sysconfig
import types
from pathlib import Path

_STANDARD = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
_INSTALLED = [
    *(sysconfig.get_path(name) for name in ("purelib", "platlib")),
    *(site.getsitepackages() if hasattr(site, "getsitepackages") else []),
    site.getusersitepackages() if hasattr(site, "getusersitepackages") else None,
]
# These are known by their names; of what else is installed, the files count.
_KNOWN = ("torch", "skorch", "numpy", "scipy", "sklearn", "joblib", "pandas", "hessdiag")

# What a class's dict holds beside what its author wrote there to be run.
_OF_CLASSES = {
    "__module__",
    "__qualname__",
    "__doc__",
    "__dict__",
    "__weakref__",
    "__slots__",
    "__annotations__",
    "__annotate__",
    "__annotate_func__",
    "__annotations_cache__",
    "__conditional_annotations__",
    "__abstractmethods__",
    "__parameters__",
    "__orig_bases__",
    "__type_params__",
    "__firstlineno__",
    "__static_attributes__",
    "__dataclass_fields__",
    "__dataclass_params__",
    "_abc_impl",
}
_HEAP_TYPE = 1 << 9


def name_of(kind):
    """Name a class in full."""
    return f"{kind.__module__}.{kind.__qualname__}"


def feed_function(digester, function):
    """Take in a function: what it does, its defaults, and what it reads from around it."""
    digester.put("function", f"{function.__module__}.{function.__qualname__}")
    origin = _origin(function.__code__.co_filename)
    if origin is not None and _is_importable(function):
        digester.put("installed", origin)
        return
    if origin is None:
        _feed_code(digester, function.__code__)
        _feed_globals(digester, function)
    else:
        digester.put("installed", f"{origin} {function.__code__.co_firstlineno}")
    digester.feed(function.__defaults__)
    digester.feed(function.__kwdefaults__)
    digester.feed_pairs(sorted(item for item in vars(function).items() if item[0] != "__wrapped__"))
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            content = cell.cell_contents
        except ValueError:
            digester.put("empty")
            continue
        digester.feed(content, name)


def feed_class(digester, kind):
    """Take in a class: what its author and whoever changed it wrote, and the names of the rest."""
    digester.put("class", name_of(kind))
    for base in kind.__mro__[:-1]:
        origin = _origin_of_class(base)
        digester.put("base", f"{name_of(base)} {origin}")
        for name, value in sorted(vars(base).items(), key=lambda item: item[0]):
            if name in _OF_CLASSES or isinstance(value, _DESCRIPTORS):
                continue
            if origin is None or any(
                _origin(f.__code__.co_filename) is None for f in _inner(value)
            ):
                digester.put("attribute", name)
                digester.feed(value, name)


def own_functions(kind):
    """List the functions of a class that are no installed package's, by name, the nearest alone."""
    found = {}
    for base in kind.__mro__[:-1]:
        for name, value in vars(base).items():
            for function in _inner(value):
                if name not in found and _origin(function.__code__.co_filename) is None:
                    found[name] = function
    return found


def names_in(code):
    """Collect all names and words that some code uses, functions within it included."""
    found = {*code.co_names}
    for constant in code.co_consts:
        if isinstance(constant, str):
            found.add(constant)
        elif isinstance(constant, types.CodeType):
            found |= names_in(constant)
    return found


def holds_only_attributes(kind):
    """Say whether all that an object of a class holds are attributes: no class is written in C."""
    for base in kind.__mro__[:-1]:
        if not base.__flags__ & _HEAP_TYPE:
            return False
        for name, value in vars(base).items():
            if name in ("__dict__", "__weakref__"):
                continue
            if isinstance(value, _IN_C) and value.__objclass__ is base:
                return False
            if isinstance(value, types.BuiltinFunctionType) and value.__self__ is base:
                return False
    return True


_IN_C = (types.WrapperDescriptorType, types.MethodDescriptorType, types.GetSetDescriptorType)
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)


def _feed_code(digester, code):
    """Take in what is executed; where it stands in a file does not count."""
    digester.put("code", code.co_code)
    digester.put("exceptions", getattr(code, "co_exceptiontable", b""))
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    digester.put("signature", repr((counts, names)))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _feed_code(digester, constant)
        else:
            digester.feed(constant)


def _feed_globals(digester, function):
    """Take in the values of the global names that a function reads."""
    read, imported, attributes = _names_read(function.__code__)
    for name in read:
        if name not in function.__globals__:
            digester.put("built in or missing", name)
            continue
        value = function.__globals__[name]
        digester.put("global", name)
        if isinstance(value, types.ModuleType):
            _feed_module(digester, value, attributes)
        else:
            digester.feed(value, name)
    for name in imported:
        module = sys.modules.get(name)
        digester.put("import", name)
        if module is not None:
            _feed_module(digester, module, attributes)


def _feed_module(digester, module, names):
    """Take in a module by its name; of one's own, also the values that may be read of it."""
    digester.put("module", module.__name__)
    if _origin(getattr(module, "__file__", None) or "<frozen>") is not None:
        return
    for name in names:
        value = vars(module).get(name)
        if value is not None and not isinstance(value, types.ModuleType):
            digester.put("global", name)
            digester.feed(value, name)


@functools.lru_cache(maxsize=4096)
def _names_read(code):
    """Names of globals and of imported modules that code reads, and all its names."""
    read, imported, attributes = set(), set(), set(code.co_names)
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            read.add(instruction.argval)
        elif instruction.opname == "IMPORT_NAME":
            imported.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            within = _names_read(constant)
            read |= set(within[0])
            imported |= set(within[1])
            attributes |= set(within[2])
    return tuple(sorted(read)), tuple(sorted(imported)), tuple(sorted(attributes))


def _inner(value):
    """Functions behind what a class's dict holds."""
    if isinstance(value, types.FunctionType):
        return [value]
    if isinstance(value, (staticmethod, classmethod)):
        return _inner(value.__func__)
    if isinstance(value, property):
        return [f for f in (value.fget, value.fset) if isinstance(f, types.FunctionType)]
    wrapped = getattr(value, "__wrapped__", None) or getattr(value, "func", None)
    return [wrapped] if isinstance(wrapped, types.FunctionType) else []


def _is_importable(function):
    """Say whether a function is what its module has by its name."""
    found = sys.modules.get(function.__module__ or "")
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function


def _origin_of_class(kind):
    """Where a class was installed from, or None for a class of the user's."""
    module = sys.modules.get(kind.__module__)
    if module is None:
        return None
    if getattr(module, "__file__", None) is None:
        name = kind.__module__.split(".")[0]
        return "standard" if name != "__main__" and name in sys.stdlib_module_names else None
    return _origin(module.__file__)


@functools.lru_cache(maxsize=4096)
def _origin(path):
    """Tell an installed file, by what identifies it; None for a file of the user's, or no file."""
    if path.startswith("<frozen"):
        return "standard"
    if path.startswith("<"):
        return None
    path = os.path.realpath(path)
    known = _known_folders()
    if any(path.startswith(folder) for folder in known):
        return "known"
    if any(path.startswith(folder) for folder in _folders(_INSTALLED)):
        return _file_digest(path)
    if any(path.startswith(folder) for folder in _folders(_STANDARD)):
        return "standard"
    return None


def _folders(paths):
    """Real folders, with a separator at their end."""
    return [os.path.realpath(path) + os.sep for path in paths if path]


@functools.lru_cache(maxsize=1)
def _known_folders():
    """Folders of the packages that are known by name."""
    specs = [importlib.util.find_spec(name) for name in _KNOWN]
    return _folders([os.path.dirname(spec.origin) for spec in specs if spec and spec.origin])


def _file_digest(path):
    """Digest of a file; of one that cannot be read, its name."""
    try:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()
    except OSError:
        return path
