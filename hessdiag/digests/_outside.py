"""Ways for code to read what no digest sees: files, the environment, other code's variables."""

from __future__ import annotations

import builtins
import functools
import importlib
import sys

_BUILT_IN = ("globals", "eval", "exec", "open", "input", "__import__", "breakpoint")
_BY_MODULE = {
    "os": (
        "environ environb getenv getenvb open popen listdir scandir walk stat getcwd read system "
        "getpid get_terminal_size readlink access cpu_count getloadavg getlogin"
    ),
    "os.path": "exists isfile isdir getsize getmtime lexists",
    "sys": "modules argv _getframe _current_frames path stdin meta_path path_hooks",
    "inspect": "currentframe stack getsource getmembers getmembers_static getmodule",
    "importlib": "import_module reload",
    "io": "open FileIO",
    "builtins": " ".join(_BUILT_IN),
    "pathlib": "Path PosixPath",
    "pkgutil": "get_data resolve_name",
    "runpy": "run_path run_module",
    "json": "load",
    "pickle": "load Unpickler",
    "numpy": "load loadtxt genfromtxt fromfile memmap",
    "torch": "load from_file",
    "torch.jit": "load",
    "torch.hub": "load load_state_dict_from_url",
    "joblib": "load",
    "pandas": "read_csv read_table read_pickle read_json read_parquet read_excel read_sql",
}
_MODULES = (
    "ctypes",
    "fileinput",
    "gc",
    "http",
    "httpx",
    "linecache",
    "mmap",
    "multiprocessing.shared_memory",
    "requests",
    "shelve",
    "socket",
    "sqlite3",
    "subprocess",
    "urllib.request",
    "zipfile",
)
# Modules that are not to be handed around: nobody knows what is read of them then.
_NOT_WHOLE = ("builtins", "importlib", "inspect", "io", "os", "posix", "sys")
# Attributes that lead from an object to what it was not made of.
_NAMES = {
    "__builtins__",
    "__globals__",
    "__subclasses__",
    "cell_contents",
    "f_back",
    "f_builtins",
    "f_globals",
    "f_locals",
    "read_bytes",
    "read_text",
    "tb_frame",
}


def is_outside(thing):
    """Say whether something reads, or is, what lies outside of a network and its code."""
    found = _things().get(id(thing))
    return found is not None and found is thing


def is_outside_module(module, is_whole):
    """Say whether all that a module offers is outside, or might be where it is handed around."""
    return module.__name__ in _MODULES or (is_whole and module.__name__ in _NOT_WHOLE)


def names_outside(names):
    """List those of the names of attributes that lead outside."""
    return sorted(_NAMES.intersection(names))


@functools.lru_cache(maxsize=8)
def _things_of(_, loaded):
    """All that is outside of what is loaded, by its identity; it is held, so that this stays."""
    found = [getattr(builtins, name) for name in _BUILT_IN]
    found.append(vars(builtins))
    for module in loaded:
        for name in _BY_MODULE[module].split():
            if name in vars(sys.modules[module]):
                found.append(vars(sys.modules[module])[name])
    return {id(thing): thing for thing in found}


def _things():
    """All that is outside, by its identity."""
    loaded = tuple(name for name in _BY_MODULE if name in sys.modules)
    return _things_of(id(importlib), loaded)
