"""Long work that may be killed and begun again: what is on disk is complete, the rest is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib

from hessdiag.optional import import_optional


def run_resumable(
    function: Callable[..., Any],
    todo: Sequence[Any],
    folder: Path,
    description: str,
    n_jobs: int | None,
    progress: bool,
) -> None:
    """Apply a function that saves what it makes, in parallel, with a progress bar.

    Parameters
    ----------
    function : callable
        Called as ``function(item, folder)`` in a worker.
    todo : list
        The items that are not done yet.
    folder : pathlib.Path
        Where the function saves.
    description : str
        Word before the bar.
    n_jobs : int or None
        Worker processes, as in joblib.
    progress : bool
        Whether to show the bar.

    Raises
    ------
    ImportError
        If tqdm is not installed.
    """
    tqdm = import_optional("tqdm.auto", "zoo", "A progress bar").tqdm
    workers = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
    calls = (joblib.delayed(function)(item, folder) for item in todo)
    for _ in tqdm(
        workers(calls), total=len(todo), desc=description, disable=not progress, mininterval=1
    ):
        pass


def write_atomically(path: Path, content: bytes) -> None:
    """Write bytes to a file that is either absent or complete.

    Parameters
    ----------
    path : pathlib.Path
        Where to write; the folder is made if it is missing.
    content : bytes
        What to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
