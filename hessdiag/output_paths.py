"""Where results go: looked at before long work, so that it is not done for nothing."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path


def check_output_file(path: str | os.PathLike[str], option: str) -> None:
    """Check that a file can be written.

    Parameters
    ----------
    path : path-like
        The file; it need not be there, nor its folder.
    option : str
        What the user calls it.

    Raises
    ------
    ValueError
        If a folder is in its place, a file in the place of its folder, or writing is not allowed.

    Examples
    --------
    >>> from hessdiag.output_paths import check_output_file
    >>> check_output_file("report.html", "--html")
    """
    _check_name(path, option)
    path = Path(path)
    if path.is_dir():
        raise ValueError(
            f"Expected a file to write for {option}, found the folder {path}. Name a file in it."
        )
    if path.exists():
        if not os.access(path, os.W_OK):
            raise _not_allowed(path, option)
        return
    check_output_folder(path.absolute().parent, option)


def check_output_folder(path: str | os.PathLike[str], option: str) -> None:
    """Check that files can be written to a folder.

    Parameters
    ----------
    path : path-like
        The folder; it need not be there.
    option : str
        What the user calls it.

    Raises
    ------
    ValueError
        If a file is in its place, or writing is not allowed.

    Examples
    --------
    >>> from hessdiag.output_paths import check_output_folder
    >>> check_output_folder("figures", "--figures")
    """
    _check_name(path, option)
    path = Path(path).absolute()
    nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise ValueError(
            f"Expected a folder to write to for {option}, found that {nearest} is none. Name "
            "another place, or remove what is there."
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _not_allowed(nearest, option)


def check_outputs(
    paths: Mapping[str, str | None], folders: Collection[str] = ()
) -> dict[str, str | None]:
    """Check all places that a command writes to, and that no two are one.

    Parameters
    ----------
    paths : mapping of str to (str or None)
        By the names of their options, without dashes.
    folders : collection of str
        Options that name folders.

    Returns
    -------
    paths : dict of str to (str or None)
        The same, from the root of the file system on.

    Raises
    ------
    ValueError
        If something cannot be written to, or two options name one place.

    Examples
    --------
    >>> from hessdiag.output_paths import check_outputs
    >>> check_outputs({"html": None})
    {'html': None}
    """
    places: dict[str, str] = {}
    found: dict[str, str | None] = {}
    for option, path in paths.items():
        found[option] = path
        if not path:
            continue
        (check_output_folder if option in folders else check_output_file)(path, f"--{option}")
        place = os.path.realpath(path)
        if place in places:
            raise ValueError(
                f"Expected a place of its own for --{option}, found {path}, which is that of "
                f"--{places[place]}. Name another one."
            )
        places[place] = option
        found[option] = os.path.abspath(path)
    return found


def _check_name(path, option):
    """Refuse names that no file can have, or that mean something else to a shell."""
    text = os.fspath(path)
    if text == "-":
        raise ValueError(
            f"Expected a place to write to for {option}, found '-', which standard output is often "
            "called. Name a file."
        )
    if not text or "\0" in text or any(len(os.fsencode(p)) > 255 for p in Path(text).parts):
        raise ValueError(
            f"Expected a place to write to for {option}, found {text[:40]!r}, which no file can be "
            "called. Give it a shorter name of plain letters."
        )


def _not_allowed(path, option):
    """What to say where writing is not allowed."""
    return ValueError(
        f"Expected a place to write to for {option}, found that writing to {path} is not allowed. "
        "Name another place, or change its permissions."
    )
