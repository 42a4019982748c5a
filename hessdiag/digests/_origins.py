"""Where code comes from: what is installed is known by its version, the user's by what it says."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import site
import sys
import sysconfig
from pathlib import Path

_STANDARD = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
_INSTALLED = [
    *(sysconfig.get_path(name) for name in ("purelib", "platlib")),
    *(site.getsitepackages() if hasattr(site, "getsitepackages") else []),
    site.getusersitepackages() if hasattr(site, "getusersitepackages") else None,
]
# These are known by their versions; of what else is installed, the files count.
_KNOWN = {
    "torch": "torch",
    "skorch": "skorch",
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "joblib": "joblib",
    "pandas": "pandas",
    "hessdiag": "hessdiag",
}
STANDARD = "standard"

_signatures: dict[str, str] = {}


def forget_files():
    """Look at installed files again: they may have been replaced since."""
    _signatures.clear()


def origin_of_file(path):
    """Tell an installed file by its package's version or files; None for the user's, or none."""
    place = _place(path)
    return place if place is None or place == STANDARD else _signature(place)


def is_installed(path):
    """Say whether a file has an origin, without asking which."""
    return _place(path) is not None


def origin_of_module(module):
    """Where a module was installed from, or None for one of the user's."""
    path = getattr(module, "__file__", None)
    if path is not None:
        return origin_of_file(path)
    name = module.__name__.split(".")[0]
    if name != "__main__" and name in sys.stdlib_module_names:
        return STANDARD
    parent = sys.modules.get(name)  # parts of a package that are written in C have no file
    path = getattr(parent, "__file__", None)
    return None if parent is module or path is None else origin_of_file(path)


def package_of(module):
    """Name of the package of a third party that a module is part of, or None."""
    place = _place(getattr(module, "__file__", None) or "<>")
    is_known = place is None or place == STANDARD or place in _KNOWN
    return None if is_known else module.__name__.split(".")[0]


def origin_of_class(kind):
    """Where a class was installed from, or None for one that is not what its module has."""
    module = sys.modules.get(kind.__module__)
    if module is None or not _is_named(kind, module):
        return None
    return origin_of_module(module)


def origin_of_name(module_name):
    """Where the module of a name was installed from, or None."""
    module = sys.modules.get(module_name or "")
    return None if module is None else origin_of_module(module)


def is_importable(thing):
    """Say whether a function or a class is what its module has by its name."""
    module = sys.modules.get(thing.__module__ or "")
    return module is not None and _is_named(thing, module)


def _is_named(thing, module):
    """Say whether a module has something by its own name."""
    found = module
    for part in thing.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(part)
        found = getattr(found, "__func__", found)  # of a method of a class
    return found is thing


@functools.lru_cache(maxsize=8192)
def _place(path):
    """Name of a known package, `STANDARD`, path of another's files, or None if not installed."""
    if path.startswith("<frozen"):
        return STANDARD
    if path.startswith("<"):
        return None
    path = os.path.realpath(path)
    for name, folder in _known_folders():
        if path.startswith(folder):
            return name
    for folder in _folders(_INSTALLED):
        if path.startswith(folder):
            return folder + path.removeprefix(folder).split(os.sep)[0]
    if any(path.startswith(folder) for folder in _folders(_STANDARD)):
        return STANDARD
    return None


def _signature(place):
    """What tells one state of an installed package from another."""
    found = _signatures.get(place)
    if found is None:
        found = _version(place) if place in _KNOWN else _state_of_files(place)
        _signatures[place] = found
    return found


def _version(name):
    """Version of a package that is known."""
    try:
        return f"{name} {importlib.metadata.version(_KNOWN[name])}"
    except importlib.metadata.PackageNotFoundError:
        return name


def _state_of_files(place):
    """Names, sizes and times of the files of a package, or of one file."""
    top = Path(place)
    files = [top] if top.is_file() else sorted(p for p in top.rglob("*") if p.suffix != ".pyc")
    states = []
    for file in files:
        if file.is_file():
            state = file.stat()
            states.append(f"{file.relative_to(top.parent)} {state.st_size} {state.st_mtime_ns}")
    return "\n".join(states)


def _folders(paths):
    """Real folders, with a separator at their end."""
    return [os.path.realpath(path) + os.sep for path in paths if path]


@functools.lru_cache(maxsize=1)
def _known_folders():
    """Folders of the packages that are known."""
    specs = {name: importlib.util.find_spec(name) for name in _KNOWN}
    return [
        (name, os.path.realpath(os.path.dirname(spec.origin)) + os.sep)
        for name, spec in specs.items()
        if spec and spec.origin
    ]
