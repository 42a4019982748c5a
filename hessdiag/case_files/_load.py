"""load_case: import what is trusted, and make the case again."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hessdiag.case_files._folder import read_folder
from hessdiag.case_files._nets import build_net
from hessdiag.case_files._save import FORMAT
from hessdiag.case_files._trust import Importer
from hessdiag.cases import NetworkCase
from hessdiag.optional import import_optional


def load_case(
    folder: str | os.PathLike[str], trusted: Sequence[str | type] | None = None
) -> NetworkCase:
    """Read a case that `save_case` wrote.

    Nothing is unpickled, and nothing is imported but layers and losses of torch, nets of skorch,
    what this package brings, and what `trusted` names: importing a module runs its code.

    Parameters
    ----------
    folder : str or path-like
        The folder.
    trusted : list of (str or class) or None, default=None
        Classes of others that may be imported: ``"package.module.Class"``, all of a module,
        ``"package.module"``, or of a package, ``"package.*"``. See `untrusted_classes` for what a
        case needs.

    Returns
    -------
    case : NetworkCase
        The fitted net and its data.

    Raises
    ------
    FileNotFoundError
        If the folder is not a saved case.
    ValueError
        If it names a class that is not trusted, before anything is imported; if it was written in
        another format, is damaged, holds files of different cases, or names a class that cannot be
        imported or is no net, module or criterion.

    See Also
    --------
    hessdiag.case_files.untrusted_classes : Lists what a case would import.
    """
    folder = Path(folder)
    damage = (KeyError, AttributeError, RuntimeError, TypeError, EOFError, IndexError)
    damage += (zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError, OverflowError)
    damage += (import_optional("safetensors", "zoo", "Loading a case").SafetensorError,)
    _check_trusted(trusted)
    try:
        return _read(folder, trusted)
    except damage as error:
        reason = (str(error).splitlines() or [""])[0] if isinstance(error, OSError) else str(error)
        raise ValueError(
            f"Expected a saved case in {folder}, found damaged or foreign files "
            f"({type(error).__name__}: {reason}). Write the case again with hessdiag.save_case."
        ) from error


def _check_trusted(trusted):
    """Check the argument by itself, so that its faults are not taken for those of a file."""
    Importer({}, trusted, "")


def _read(folder, trusted):
    """Read the three files of a folder."""
    torch_files = import_optional("safetensors.torch", "zoo", "Loading a case")
    description, contents, foreign = read_folder(folder)
    if description.get("format") != FORMAT:
        raise ValueError(
            f"Expected format {FORMAT} in {folder / 'case.json'}, found "
            f"{description.get('format')!r}. Save the case again with this version."
        )
    import_class = Importer(description, trusted, str(folder))
    with np.load(io.BytesIO(contents["data.npz"]), allow_pickle=False) as data:
        arrays = {name: data[name] for name in data}
    tensors = torch_files.load(contents["parameters.safetensors"])
    if foreign is not None:
        raise ValueError(
            f"Expected the files of one saved case in {folder}, found those of different ones "
            f"({foreign}). Write the case again with hessdiag.save_case."
        )
    net = build_net(description, tensors, arrays, import_class)
    case = NetworkCase(
        net,
        arrays["X"],
        arrays["y"],
        name=description["name"] or folder.name,
        held_back="keep",
        output=description.get("output"),
    )
    history = description.get("history", {})
    notes = tuple(str(note) for note in history.get("notes", ()))
    vars(case).update(n_held_back=int(history.get("n_held_back", 0)), notes=notes)
    return case
