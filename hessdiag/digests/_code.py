"""What a function or a class does: its code and what that reads, but not what is installed."""

from __future__ import annotations

import abc
import enum
import sys
import types

from hessdiag.digests._origins import (
    STANDARD,
    is_importable,
    origin_of_class,
    origin_of_file,
    origin_of_name,
    package_of,
)
from hessdiag.digests._patches import feed_patches_near, is_misplaced
from hessdiag.digests._reads import feed_reads

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
    "_autograd_function_id",  # counts, as they are made
}
_HEAP_TYPE = 1 << 9


def name_of(kind):
    """Name a class in full."""
    return f"{kind.__module__}.{kind.__qualname__}"


def feed_function(digester, function, is_called=True):
    """Take in a function: what it does, its defaults, and what it reads from around it."""
    digester.put("function", f"{function.__module__}.{function.__qualname__}")
    origin = origin_of_file(function.__code__.co_filename)
    home = origin_of_name(function.__module__)
    if origin is not None and home is not None and is_importable(function):
        # Not only its code, its name too is an installed package's: no wrapper around another's.
        digester.put("installed", f"{origin} {home}")
        feed_patches_near(digester, function.__module__)
        return
    if origin is None:
        _feed_code(digester, function.__code__)
        feed_reads(digester, function, is_called)
    else:
        digester.put("installed", f"{origin} {function.__code__.co_firstlineno}")
    digester.feed(function.__defaults__)
    digester.feed(function.__kwdefaults__)
    if origin == STANDARD and hasattr(function, "_clear_cache"):  # functools.singledispatch
        digester.feed_pairs(function.registry.items())
        return
    digester.feed_pairs(
        sorted(item for item in vars(function).items() if not item[0].startswith("_torchdynamo_"))
    )
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            content = cell.cell_contents
        except ValueError:
            digester.put("empty")
            continue
        digester.feed(content, name)


def feed_class(digester, kind, not_called=()):
    """Take in a class: what its author and whoever changed it wrote, and the names of the rest.

    Of the functions named in `not_called`, what they read outside of the network does not count.
    """
    digester.put("class", name_of(kind))
    if type(kind) not in _USUAL_METACLASSES:
        digester.feed(type(kind), "metaclass")
    for base in kind.__mro__[:-1]:
        origin = origin_of_class(base)
        digester.put("base", f"{name_of(base)} {origin}")
        if origin is not None:
            feed_patches_near(digester, base.__module__)
        is_third = origin is not None and package_of(sys.modules[base.__module__]) is not None
        for name, value in sorted(vars(base).items(), key=lambda item: item[0]):
            if name in _OF_CLASSES or isinstance(value, _DESCRIPTORS):
                continue
            if is_third:  # its file may have been replaced since it was imported
                for function in _inner(value):
                    _feed_code(digester, function.__code__)
            if origin is None or any(_is_put_there(f, name, base) for f in _inner(value)):
                digester.put("attribute", name)
                if name in not_called and isinstance(value, types.FunctionType):
                    digester.feed_uncalled(value, name)
                else:
                    digester.feed(value, name)


def _is_put_there(function, name, base):
    """Say whether a function of an installed class was put there by somebody else."""
    return origin_of_file(function.__code__.co_filename) is None or is_misplaced(
        name, function, base
    )


def own_functions(kind):
    """List the functions of a class that are no installed package's, by name, the nearest alone."""
    found = {}
    for base in kind.__mro__[:-1]:
        for name, value in vars(base).items():
            for function in _inner(value):
                if name not in found and origin_of_file(function.__code__.co_filename) is None:
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
_USUAL_METACLASSES = (type, abc.ABCMeta, enum.EnumType)
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
