"""load_case: import what is trusted, and make the case again."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np

from hessdiag.case_files._folder import folder_of_case, is_explained, read_folder
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
    path = folder_of_case(folder)
    _check_trusted(trusted)
    try:
        return _read(path, trusted)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        if is_explained(error):
            raise
        reason = " ".join(str(error).split())
        raise ValueError(
            f"Expected a saved case in {path}, found damaged or foreign files "
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
    if foreign is not None:
        raise ValueError(
            f"Expected the files of one saved case in {folder}, found those of different ones, or "
            f"damaged ones ({foreign}). Write the case again with hessdiag.save_case."
        )
    name, output, n_held_back, notes = _about(description, folder)
    arrays = _arrays(contents["data.npz"], folder)
    tensors = torch_files.load(contents["parameters.safetensors"])
    net = build_net(description, tensors, arrays, import_class)
    case = NetworkCase(
        net, arrays["X"], arrays["y"], name=name or folder.name, held_back="keep", output=output
    )
    vars(case).update(n_held_back=n_held_back, notes=notes)
    return case


def _about(description, folder):
    """Name, output, number of samples held back and notes, each of its kind."""
    history = description.get("history", {})
    found = {
        "name": description["name"],
        "output": description.get("output"),
        "history": history,
        "n_held_back": history.get("n_held_back", 0) if isinstance(history, dict) else 0,
        "notes": history.get("notes", []) if isinstance(history, dict) else [],
    }
    for key, (kind, words) in _KINDS.items():
        value = found[key]
        is_negative = key == "n_held_back" and isinstance(value, int) and value < 0
        if not isinstance(value, kind) or isinstance(value, bool) or is_negative:
            raise _damage(folder, f"{str(value)[:40]!r} as {key} in case.json, not {words}")
    if not all(isinstance(note, str) for note in found["notes"]):
        raise _damage(folder, "notes in case.json that are no words")
    return found["name"], found["output"], found["n_held_back"], tuple(found["notes"])


_KINDS = {
    "name": ((str, type(None)), "a word"),
    "output": ((str, int, type(None)), "a word or a place"),
    "history": (dict, "a mapping"),
    "n_held_back": (int, "a number of samples"),
    "notes": (list, "a list of words"),
}


def _arrays(content, folder):
    """Read the arrays of a file that holds nothing else."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as data:
            arrays = {name: data[name] for name in data}
    except MemoryError:
        raise
    except Exception as error:
        raise _damage(folder, "a data.npz that is no archive of plain arrays") from error
    for name in ("X", "y"):
        if name not in arrays:
            raise _damage(folder, f"no {name} in data.npz")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise _damage(folder, f"{name} in data.npz, which is no array")
    return arrays


def _damage(folder, found):
    """What to say of files that nobody wrote with this package, or that were changed since."""
    return ValueError(
        f"Expected a saved case in {folder}, found {found}: damaged or foreign files. Write the "
        "case again with hessdiag.save_case."
    )
