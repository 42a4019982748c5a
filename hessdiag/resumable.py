"""Long work that may be killed and begun again: what is on disk is complete, the rest is done."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
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


def fit_to_the_end(net: Any, X: Any, y: Any) -> Any:
    """Fit a skorch net, and let an interrupt through.

    `net.fit` takes an interrupt from the keyboard for the wish to stop early, and returns as if
    all epochs had run; what it returns would be kept as finished.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net; no callback of it stops the training, as some of skorch's do by an interrupt.
    X, y : array-like
        Its training data.

    Returns
    -------
    net : skorch.NeuralNet
        The same net, fitted.

    Raises
    ------
    KeyboardInterrupt
        If the training was stopped before its end.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.resumable import fit_to_the_end
    >>> X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), max_epochs=3, verbose=0, train_split=None)
    >>> len(fit_to_the_end(net, X, y).history)
    3
    """
    net.initialize()
    net.notify("on_train_begin", X=X, y=y)
    net.fit_loop(X, y)
    net.notify("on_train_end", X=X, y=y)
    return net


def write_atomically(path: Path, content: bytes) -> None:
    """Write bytes to a file that is either absent, as it was, or complete.

    Parameters
    ----------
    path : pathlib.Path
        Where to write; the folder is made if it is missing. What is no plain file, such as a pipe,
        is written to as it is.
    content : bytes
        What to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path = Path(os.path.realpath(path))  # a link stays one
    partial = path.with_name(f".{path.name}.{_writer()}.{uuid.uuid4().hex[:8]}.part")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def clear_partial_files(folder: Path) -> None:
    """Remove what killed processes of this machine have left in mid-writing.

    Parameters
    ----------
    folder : pathlib.Path
        Where to look, and in the folders within and theirs.
    """
    host = _writer().partition("-")[0]
    for path in [p for depth in ("", "*/", "*/*/") for p in folder.glob(f"{depth}.*.part")]:
        found = _PARTIAL.search(path.name)
        if found is not None and found["host"] == host and not _is_alive(int(found["process"])):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process after the other work in a folder; a process that is killed lets go.

    Parameters
    ----------
    folder : pathlib.Path
        The folder; it must be there.

    Yields
    ------
    None
        While the folder is one's own. Systems that cannot lock do not wait.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # file systems that do not know locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


_PARTIAL = re.compile(r"\.(?P<host>[0-9a-f]+)-(?P<process>\d+)\.[0-9a-f]{8}\.part$")


def _writer():
    """Say which machine and process writes."""
    host = hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()
    return f"{host}-{os.getpid()}"


def _is_alive(process):
    """Say whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
