"""The folder of a case: at any moment the old case or the new one, and never parts of both."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hessdiag.resumable import one_at_a_time, write_atomically

DESCRIPTION = "case.json"
CONTENTS = ("parameters.safetensors", "data.npz")


def folder_of_case(folder: Any) -> Path:
    """Return a folder as a path, if it can be one.

    Parameters
    ----------
    folder : str or path-like
        As the user gave it.

    Returns
    -------
    path : pathlib.Path
        The same.

    Raises
    ------
    TypeError
        If it is no path.
    ValueError
        If no folder can be called so.
    """
    if not isinstance(folder, (str, os.PathLike)) or not isinstance(os.fspath(folder), str):
        raise TypeError(
            f"Expected the path of a folder, found {folder!r}. Name it by a word or a pathlib.Path."
        )
    path = Path(folder)
    if "\0" in str(path) or any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise ValueError(
            f"Expected the path of a folder, found {str(path)[:40]!r} ({len(str(path))} letters), "
            "which no folder can be called. Give it a shorter name of plain letters."
        )
    return path


_LONGEST_NAME = 255


def is_explained(error: Exception) -> bool:
    """Say whether an error tells the user what was expected, what was found, and what to do.

    Parameters
    ----------
    error : Exception
        The error.

    Returns
    -------
    bool
        False for those of other packages.
    """
    text = str(error)
    return (
        isinstance(error, (ValueError, TypeError, ImportError))
        and text.startswith("Expected ")
        and ", found " in text
    )


def write_folder(folder: Path, description: dict[str, Any], contents: dict[str, bytes]) -> None:
    """Write the files of a case, in place of another one's if there is one.

    The new contents are put beside the old ones first. The description, which holds their digests,
    replaces the old one in a single step; from then on readers take the new ones, wherever these
    are. What is killed in between leaves a whole case.

    Parameters
    ----------
    folder : pathlib.Path
        Where to write; made if it is missing.
    description : dict
        JSON.
    contents : dict of str to bytes
        The other files.
    """
    description = description | {
        "files": {
            name: {"bytes": len(content), "digest": _digest(content)}
            for name, content in contents.items()
        }
    }
    text = json.dumps(description, indent=1).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(
            f"Expected a folder to write the case to, found a file in the way of {folder}. Name "
            "another folder, or remove the file."
        ) from error
    with one_at_a_time(folder):
        try:
            for name, content in contents.items():
                write_atomically(folder / _aside(name), content)
            write_atomically(folder / DESCRIPTION, text)
        except BaseException:
            for name in contents:
                with contextlib.suppress(OSError):
                    (folder / _aside(name)).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                folder.rmdir()  # stays if anything is in it
            raise
        for name in contents:
            (folder / _aside(name)).replace(folder / name)


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, bytes], str | None]:
    """Read the files of a case.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.

    Returns
    -------
    description : dict
        JSON.
    contents : dict of str to bytes
        The other files.
    foreign : str or None
        What is wrong with them where they are not those that the description was written with.

    Raises
    ------
    FileNotFoundError
        If files are missing.
    """
    for _ in range(_LOOKS):
        missing = [
            name
            for name in (DESCRIPTION, *CONTENTS)
            if not any(p.is_file() for p in _places(folder, name))
        ]
        if missing:
            raise FileNotFoundError(
                f"Expected a saved case in {folder}, found no {', '.join(missing)}. "
                "Write one with hessdiag.save_case(case, folder)."
            )
        description = json.loads((folder / DESCRIPTION).read_text())
        expected = description.get("files", {})
        contents: dict[str, bytes] = {}
        foreign = None
        for name in CONTENTS:
            for content in _candidates(folder, name):
                contents.setdefault(name, content)
                fault = _fault(name, content, expected.get(name))
                if fault is None:
                    contents[name] = content
                    break
            else:
                foreign = foreign or _fault(name, contents.get(name, b""), expected.get(name))
        if foreign is None and len(contents) == len(CONTENTS):
            break
        time.sleep(_PAUSE)  # another process may be about to replace them
    return description, contents, foreign


_LOOKS, _PAUSE = 3, 0.05


def _candidates(folder: Path, name: str) -> Iterator[bytes]:
    """Yield the contents that a file may have: in its place, or beside it in mid-replacement."""
    for path in _places(folder, name):
        with contextlib.suppress(FileNotFoundError):
            yield path.read_bytes()


def _places(folder, name):
    """Where a file may be."""
    return [folder / name] if name == DESCRIPTION else [folder / name, folder / _aside(name)]


def _aside(name):
    """Name of a file that is about to replace another."""
    return f".{name}.next"


def _digest(content):
    """Digest of a file's content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _fault(name, content, expected):
    """Say how a file differs from the one that was written; None where it does not."""
    if expected is None:
        return None
    if len(content) != expected["bytes"]:
        return f"size mismatch of {name}, {len(content)} bytes for {expected['bytes']}"
    if _digest(content) != expected["digest"]:
        return f"another content of {name}"
    return None


def is_writable(folder: Path) -> bool:
    """Say whether a folder can be made or written to.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.

    Returns
    -------
    bool
        False where a file is in the way, or the user may not write.
    """
    for place in (folder, *folder.parents):
        if place.exists():
            return place.is_dir() and os.access(place, os.W_OK)
    return False
