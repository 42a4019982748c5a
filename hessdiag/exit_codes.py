"""How a command ends: its exit code, one line of what went wrong, and no way around either."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

# All was done; a gate is open.
PASSED = 0
# A gate is shut: a network has got a diagnosis that was named.
SHUT = 1
# A mistake that the message explains; also a gate that could not look at every network.
MISTAKE = 2
# A failure of the program, of the code of a network, or of the machine.
FAILED = 3
# Stopped from the keyboard.
STOPPED = 130

_MISTAKES = (
    ValueError,
    TypeError,
    ImportError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def run_guarded(run: Callable[[], int], debug: bool = False) -> int:
    """Run a command, and turn every way in which it can end into an exit code.

    Code that a command imports may try to end the process as if all were well; here that is a
    failure. An output that nobody reads to its end (``| head``) is none.

    Parameters
    ----------
    run : callable
        The command; returns its exit code.
    debug : bool, default=False
        Whether to print the traceback of an error.

    Returns
    -------
    status : int
        The exit code.

    Examples
    --------
    >>> from hessdiag.exit_codes import run_guarded
    >>> run_guarded(lambda: 0)
    0
    """
    with _no_way_out(), _patient_outputs() as flush:
        try:
            status = run()
            flush()
            return status
        except KeyboardInterrupt:
            say("stopped; what was finished is kept.")
            return STOPPED
        except BaseException as error:
            if debug:
                traceback.print_exc()
            if isinstance(error, _MISTAKES) and not isinstance(error, UnicodeError):
                say(str(error))
                return MISTAKE
            say(
                f"Expected to finish, found {describe(error)}. Run the command again with --debug "
                "to see where."
            )
            return FAILED


def describe(error: BaseException) -> str:
    """Say in one line what an error is.

    Parameters
    ----------
    error : BaseException
        The error.

    Returns
    -------
    line : str
        Its kind and its first line.

    Examples
    --------
    >>> from hessdiag.exit_codes import describe
    >>> describe(SystemExit(0))
    'an attempt to end the process with code 0'
    >>> describe(RuntimeError("no"))
    'RuntimeError: no'
    """
    if isinstance(error, SystemExit):
        return f"an attempt to end the process with code {error.code}"
    line = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def say(line: str) -> None:
    """Tell the user something beside the output; where nobody listens, do without.

    Parameters
    ----------
    line : str
        What to say.
    """
    with contextlib.suppress(OSError, ValueError):
        print(f"hessdiag: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _no_way_out() -> Iterator[None]:
    """Let nobody end this process at once."""
    real, process = os._exit, os.getpid()

    def refuse(status: int) -> Any:
        if os.getpid() != process:
            real(status)
        raise SystemExit(status)

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = real


@contextlib.contextmanager
def _patient_outputs() -> Iterator[Callable[[], None]]:
    """Replace standard output by one that goes on where nobody reads; yield what flushes it."""
    kept = sys.stdout
    if kept is None:
        yield lambda: None
        return
    patient = _PatientOutput(kept)
    sys.stdout = patient
    try:
        yield patient.flush
    finally:
        if sys.stdout is patient:
            sys.stdout = kept


class _PatientOutput:
    """A text file that drops what nobody reads, and prints what its encoding lacks otherwise."""

    def __init__(self, file):
        self._file = file

    def write(self, text):
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        text = text.encode(encoding, errors="backslashreplace").decode(encoding)
        self._try(lambda: self._file.write(text))
        return len(text)

    def flush(self):
        self._try(self._file.flush)

    def _try(self, action):
        try:
            action()
        except OSError as error:
            # What is left in its buffer would fail once more when the process ends.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._file.fileno())
                os.close(nowhere)
            if not isinstance(error, BrokenPipeError):
                raise

    def __getattr__(self, name):
        return getattr(self._file, name)
