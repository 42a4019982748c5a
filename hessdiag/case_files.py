"""A network and its data as a folder: parameters as safetensors, the rest as JSON and arrays."""

from __future__ import annotations

import importlib
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import skorch
import torch

from hessdiag.cases import NetworkCase
from hessdiag.optional import import_optional

FORMAT = 1

# What the classes named in a file must be: nothing else that a path may lead to is ever called.
BASES = {"net": skorch.NeuralNet, "module": torch.nn.Module, "criterion": torch.nn.Module}


def save_case(case: NetworkCase, folder: str | os.PathLike[str]) -> None:
    """Write a case to a folder that `hessdiag diagnose` can read.

    No object is pickled: classes are written as import paths and their keyword arguments as JSON,
    parameters as safetensors, data as NumPy arrays.

    Parameters
    ----------
    case : NetworkCase
        A fitted skorch net whose module and criterion are importable classes with plain keyword
        arguments, and its data as arrays.
    folder : str or path-like
        Where to write; made if it is missing.

    Raises
    ------
    ValueError
        If a class lives in ``__main__``, or an argument is not plain.

    See Also
    --------
    load_case : Reads it.

    Examples
    --------
    >>> import tempfile
    >>> import hessdiag as hd
    >>> from hessdiag.testing import make_case
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hd.save_case(make_case(name="mine"), folder)
    ...     hd.load_case(folder).name
    'mine'
    """
    torch_files = import_optional("safetensors.torch", "zoo", "Saving a case")
    net = case.net
    description = {
        "format": FORMAT,
        "name": case.name,
        "net": _import_path("net", type(net)),
        "module": _import_path("module", net.module),
        "module_arguments": _arguments(net, "module__"),
        "criterion": _import_path("criterion", net.criterion),
        "criterion_arguments": _arguments(net, "criterion__"),
        "output": case.output,
        "frozen": [name for name, p in net.module_.named_parameters() if not p.requires_grad],
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in net.module_.state_dict().items()}
    torch_files.save_file(state, folder / "parameters.safetensors")
    np.savez_compressed(folder / "data.npz", X=_array(case.X, "X"), y=_array(case.y, "y"))
    (folder / "case.json").write_text(json.dumps(description, indent=1))


def load_case(folder: str | os.PathLike[str]) -> NetworkCase:
    """Read a case that `save_case` wrote.

    The classes named in the file are imported, and nothing is unpickled: import paths should be
    ones that you trust.

    Parameters
    ----------
    folder : str or path-like
        The folder.

    Returns
    -------
    case : NetworkCase
        The fitted net and its data.

    Raises
    ------
    FileNotFoundError
        If the folder is not a saved case.
    ValueError
        If it was written in another format, is damaged, or names a class that cannot be imported
        or is no net, module or criterion.
    """
    folder = Path(folder)
    missing = [
        name
        for name in ("case.json", "parameters.safetensors", "data.npz")
        if not (folder / name).is_file()
    ]
    if missing:
        raise FileNotFoundError(
            f"Expected a saved case in {folder}, found no {', '.join(missing)}. "
            "Write one with hessdiag.save_case(case, folder)."
        )
    damage = (KeyError, AttributeError, RuntimeError, TypeError, EOFError, zipfile.BadZipFile)
    damage += (json.JSONDecodeError, UnicodeDecodeError)
    damage += (import_optional("safetensors", "zoo", "Loading a case").SafetensorError,)
    try:
        return _read(folder)
    except damage as error:
        raise ValueError(
            f"Expected a saved case in {folder}, found damaged or foreign files "
            f"({type(error).__name__}: {error}). Write the case again with hessdiag.save_case."
        ) from error


def _read(folder):
    """Read the three files of a folder."""
    torch_files = import_optional("safetensors.torch", "zoo", "Loading a case")
    description = json.loads((folder / "case.json").read_text())
    if description.get("format") != FORMAT:
        raise ValueError(
            f"Expected format {FORMAT} in {folder / 'case.json'}, found "
            f"{description.get('format')!r}. Save the case again with this version."
        )
    classes = {role: _import_class(role, description[role]) for role in BASES}
    arguments = {f"module__{k}": v for k, v in description["module_arguments"].items()}
    arguments |= {f"criterion__{k}": v for k, v in description["criterion_arguments"].items()}
    net = classes["net"](
        classes["module"],
        criterion=classes["criterion"],
        train_split=None,
        verbose=0,
        **arguments,
    ).initialize()
    _fill(net.module_, torch_files.load_file(folder / "parameters.safetensors"))
    for name in description["frozen"]:
        net.module_.get_parameter(name).requires_grad_(False)
    with open(folder / "data.npz", "rb") as file, np.load(file, allow_pickle=False) as data:
        return NetworkCase(
            net,
            data["X"],
            data["y"],
            name=description["name"] or folder.name,
            output=description.get("output"),
        )


def _fill(module, state):
    """Load parameters and buffers in the precision that they were saved in."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if name in state:
            tensor.data = tensor.data.to(state[name].dtype)
    module.load_state_dict(state)


def _import_path(role, kind):
    """`package.module:Class` of a class that another process can import."""
    if not isinstance(kind, type) or kind.__module__ == "__main__" or "<" in kind.__qualname__:
        raise ValueError(
            f"Expected an importable class, found {kind!r}. Define the class in a file of its own "
            "(not in a notebook, a script or a function), pass the class rather than an instance "
            "to skorch, and give its arguments as module__... or criterion__...."
        )
    return f"{_checked(role, kind).__module__}:{kind.__qualname__}"


def _import_class(role, path):
    """The class behind an import path."""
    module, _, name = path.partition(":")
    try:
        kind = importlib.import_module(module)
        for part in name.split("."):
            kind = getattr(kind, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"Expected an importable class, found {path!r} ({error}). Put the folder of its file "
            "on PYTHONPATH."
        ) from error
    return _checked(role, kind)


def _checked(role, kind):
    """Refuse anything but a class of the kind that its role asks for."""
    base = BASES[role]
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise ValueError(
            f"Expected a subclass of {base.__module__}.{base.__qualname__} as the {role} of a "
            f"case, found {kind!r}. Write the case with hessdiag.save_case."
        )
    return kind


def _arguments(net, prefix):
    """Keyword arguments that skorch passes on, as plain JSON values."""
    arguments = net.get_params_for(prefix.removesuffix("__"))
    for key, value in arguments.items():
        try:
            json.dumps(value)
        except TypeError as error:
            raise ValueError(
                f"Expected a plain value (number, string, list) for {prefix}{key}, found "
                f"{type(value).__name__}. Let the class make it from plain arguments."
            ) from error
    return arguments


def _array(values, name):
    """An array that needs no pickle."""
    array = np.asarray(values)
    if array.dtype == object:
        raise ValueError(
            f"Expected {name} as a plain numeric array, found objects ({type(values).__name__}). "
            f"Convert {name} to a NumPy array first."
        )
    return array
