"""What may be imported to load a case: told from the file alone, before anything is imported."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterable

import skorch
import torch

from hessdiag.case_files._folder import folder_of_case

# Modules, with all below them, whose classes compute and do nothing else, whatever plain arguments
# they are called with. Only what is defined there counts, not what it has imported.
TRUSTED = (
    "torch.nn.modules",
    "torch.utils.data.dataloader",
    "skorch.classifier",
    "skorch.dataset",
    "skorch.net",
    "skorch.regressor",
    "hessdiag",
)

# What the classes named in a file must be: nothing else that a path may lead to is ever called.
BASES = {
    "net": skorch.NeuralNet,
    "module": torch.nn.Module,
    "criterion": torch.nn.Module,
    "dataset": torch.utils.data.Dataset,
    "iterator_valid": object,
}


def untrusted_classes(folder: str | os.PathLike[str]) -> list[str]:
    """List the classes that a saved case needs and that are not trusted by themselves.

    Nothing is imported. Layers and losses of torch, nets of skorch, and what this package brings
    are trusted; of everything else `load_case` must be told.

    Parameters
    ----------
    folder : str or path-like
        A folder that `save_case` wrote.

    Returns
    -------
    names : list of str
        Such as ``["mypackage.nets.MyNet"]``, to be looked at, and passed on as `trusted` by those
        who know them.

    Raises
    ------
    FileNotFoundError
        If the folder is not a saved case.
    ValueError
        If its description is damaged.

    See Also
    --------
    load_case : Takes them.

    Examples
    --------
    >>> import tempfile
    >>> import hessdiag as hd
    >>> from hessdiag.case_files import untrusted_classes
    >>> from hessdiag.testing import make_case
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hd.save_case(make_case(), folder)
    ...     untrusted_classes(folder)
    []
    """
    path = folder_of_case(folder) / "case.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a saved case in {folder}, found no case.json. "
            "Write one with hessdiag.save_case(case, folder)."
        )
    try:
        paths = classes_in(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"Expected the description of a case in {path}, found something else "
            f"({type(error).__name__}: {error}). Write the case again with hessdiag.save_case."
        ) from error
    return [dotted(path) for path in paths if not _is_among(path, TRUSTED)]


def classes_in(description):
    """List the import paths of all classes that a description names, each once."""
    found = [description[role] for role in BASES if isinstance(description.get(role), str)]
    for role in BASES:
        if isinstance(description.get(role), dict):
            found += _classes_of_module(description[role])
        found += _classes_of_value(description.get(f"{role}_arguments", {}))
    return list(dict.fromkeys(found))


def _classes_of_module(described):
    """Import paths in the description of a module."""
    if "again" in described:
        return []
    found = [str(described["class"])]
    for _, child in described.get("children", []):
        found += _classes_of_module(child)
    return found + _classes_of_value(described.get("arguments", {}))


def _classes_of_value(described):
    """Import paths in the description of an argument."""
    if isinstance(described, list):
        return [path for item in described for path in _classes_of_value(item)]
    if not isinstance(described, dict):
        return []
    if set(described) == {"$class"}:
        return [str(described["$class"])]
    if set(described) == {"$module"}:
        return _classes_of_module(described["$module"])
    return [path for item in described.values() for path in _classes_of_value(item)]


def dotted(path):
    """Write an import path as people do."""
    return path.replace(":", ".")


class Importer:
    """Imports the classes of a description, once all of them are known to be trusted.

    Parameters
    ----------
    description : dict
        What names them.
    trusted : list of (str or class) or None
        What may be imported beside `TRUSTED`: classes, modules, or packages as ``"name.*"``.
    place : str
        Where the description is, for messages.
    """

    def __init__(self, description, trusted, place):
        self._paths = set(classes_in(description))
        names = _trusted_names(trusted)
        unknown = sorted(
            dotted(path)
            for path in self._paths
            if not (_is_among(path, TRUSTED) or _is_named(path, names))
        )
        if unknown:
            listed = ", ".join(unknown)
            raise ValueError(
                f"Expected importable classes that are trusted, found {listed} in {place}. "
                f"Importing runs the code of their files: if you know and trust them, pass "
                f"trusted={unknown!r} to hessdiag.load_case, or --trust {' '.join(unknown)} to "
                "hessdiag diagnose."
            )

    def __call__(self, role, path):
        """Return the class behind an import path."""
        if path not in self._paths:
            raise ValueError(
                f"Expected a class that the description names, found {path!r}. Write the case "
                "again with hessdiag.save_case."
            )
        return import_class(role, path)


def import_class(role, path):
    """Return the class behind an import path, if it is defined there and is what its role asks."""
    module, _, name = path.partition(":")
    try:
        kind = _imported(module)
        for depth, part in enumerate(name.split(".")):
            if depth and not isinstance(kind, type):
                raise AttributeError(f"{part} is looked for in what is no class")
            kind = getattr(kind, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"Expected an importable class, found {path!r} ({error}). Put the folder of its file "
            "on PYTHONPATH."
        ) from error
    if isinstance(kind, type) and f"{kind.__module__}:{kind.__qualname__}" != path:
        raise ValueError(
            f"Expected an importable class where it is defined, found {path!r}, which is defined "
            f"as {kind.__module__}:{kind.__qualname__}. Write the case with hessdiag.save_case."
        )
    return checked(role, kind)


def checked(role, kind):
    """Refuse anything but a class of the kind that its role asks for."""
    base = BASES[role]
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise ValueError(
            f"Expected a subclass of {base.__module__}.{base.__qualname__} as the {role} of a "
            f"case, found {kind!r}. Write the case with hessdiag.save_case."
        )
    return kind


def _imported(name):
    """Import a module; one that ends the process or fails in another way cannot be imported."""
    try:
        return importlib.import_module(name)
    except (ImportError, ValueError):
        raise
    except SystemExit as error:
        raise ImportError(f"it ends the process with code {error.code!r} on import") from error
    except Exception as error:
        raise ImportError(f"it fails with {type(error).__name__}: {error} on import") from error


def _trusted_names(trusted):
    """Names of what is trusted, from names and classes."""
    if trusted is None:
        return []
    if isinstance(trusted, (str, type)) or not isinstance(trusted, Iterable):
        raise TypeError(
            f"Expected trusted as a list of names, found {trusted!r}. Pass the names of classes, "
            "of modules, or of packages as 'name.*', in a list."
        )
    names = []
    for entry in trusted:
        if isinstance(entry, type):
            entry = f"{entry.__module__}.{entry.__qualname__}"
        if (
            not isinstance(entry, str)
            or not entry.removesuffix(".*").replace(".", "").isidentifier()
        ):
            raise ValueError(
                f"Expected names of classes, modules or packages in trusted, found {entry!r}. "
                "Write them as 'package.module.Class', 'package.module' or 'package.*'."
            )
        names.append(entry)
    return names


def _is_among(path, modules):
    """Say whether a class is defined in one of some modules, or below one of them."""
    module, colon, _ = path.partition(":")
    return bool(colon) and any(module == name or module.startswith(name + ".") for name in modules)


def _is_named(path, names):
    """Say whether a class, its module or a package above it is among the names."""
    module, colon, _ = path.partition(":")
    if not colon:
        return False
    if dotted(path) in names or module in names:
        return True
    return _is_among(path, [name.removesuffix(".*") for name in names if name.endswith(".*")])
