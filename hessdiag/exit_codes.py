"""How a command ends: its exit code, one line of what went wrong, and no way around either."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

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


def describe(error: BaseException | None) -> str:
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


def leave(status: int) -> NoReturn:
    """End the process with an exit code, whatever handlers that other code registered do.

    What they print does not reach standard output, and where they try to end the process they
    change nothing.

    Parameters
    ----------
    status : int
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    sys.unraisablehook = lambda failure: say(f"on the way out, {describe(failure.exc_value)}.")
    for handlers in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        with _no_way_out(), own_outputs(apart=True), contextlib.suppress(BaseException):
            handlers()
    _end(status)
    raise AssertionError("unreachable")


def say(line: str) -> None:
    """Tell the user something beside the output; where nobody listens, do without.

    Parameters
    ----------
    line : str
        What to say.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"hessdiag: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def own_outputs(apart: bool = False) -> Iterator[None]:
    """Run code of others, and have our outputs and our folder back after it.

    It may print; what it closes, replaces or changes is as it was in the end.

    Parameters
    ----------
    apart : bool, default=False
        Whether standard output is kept for results: what the code prints goes to standard error.

    Yields
    ------
    None
        While the code runs.
    """
    streams = sys.stdout, sys.stderr
    with contextlib.ExitStack() as after:
        after.callback(_set_streams, *streams)
        with contextlib.suppress(OSError):
            after.callback(_go_to, os.getcwd())
        for number, stream in ((2, streams[1]), (1, streams[0])):
            _keep_descriptor(after, number, stream, apart)
        output, errors = map(_Unclosed, streams)
        sys.stdout, sys.stderr = (errors if apart else output), errors
        yield


def _set_streams(output, errors):
    """Put standard output and error back."""
    sys.stdout, sys.stderr = output, errors


def _go_to(folder):
    """Be in a folder again, if it is still there."""
    with contextlib.suppress(OSError):
        os.chdir(folder)


def _keep_descriptor(after, number, stream, apart):
    """Have a descriptor back afterwards, if it is the process's own and the stream writes to it."""
    try:
        if stream.fileno() != number:
            return
        stream.flush()
        kept = os.dup(number)
    except (OSError, ValueError, AttributeError):
        return
    if apart and number == 1:
        with contextlib.suppress(OSError):
            os.dup2(2, 1)

    def restore():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
        os.dup2(kept, number)
        os.close(kept)
        if isinstance(stream, _PatientOutput):
            stream.reopen(number)

    after.callback(restore)


class _Unclosed:
    """A text file that others may write to but not close."""

    def __init__(self, file):
        self._file = file

    def write(self, text):
        return len(text) if self._file is None else self._file.write(text)

    def flush(self):
        if self._file is not None:
            self._file.flush()

    def close(self):
        self.flush()

    def __getattr__(self, name):
        return getattr(self._file, name)


# Kept from before any code of others runs.
_end = os._exit
_WAYS_OUT = [
    (module, name)
    for module in (os, sys.modules.get("posix"), sys.modules.get("nt"))
    for name in ("_exit", "execv", "execve", "abort")
    if hasattr(module, name)
]


@contextlib.contextmanager
def _no_way_out() -> Iterator[None]:
    """Let nobody end this process at once, or replace it by another."""
    process = os.getpid()
    with contextlib.ExitStack() as after:
        for module, name in _WAYS_OUT:
            real = getattr(module, name)
            setattr(module, name, _refusal(name, real, process))
            after.callback(setattr, module, name, real)
        yield


def _refusal(name, real, process):
    """Make a function that ends other processes and not this one."""

    def refuse(*arguments):
        if os.getpid() != process:
            real(*arguments)
        raise SystemExit(arguments[0] if name == "_exit" and arguments else f"os.{name}")

    return refuse


@contextlib.contextmanager
def _patient_outputs() -> Iterator[Callable[[], None]]:
    """Replace the outputs by ones that go on where nobody reads; yield what flushes them."""
    kept = sys.stdout, sys.stderr
    patient = [None if stream is None else _PatientOutput(stream) for stream in kept]
    sys.stdout, sys.stderr = patient
    try:
        yield lambda: None if patient[0] is None else patient[0].flush()
    finally:
        sys.stdout, sys.stderr = kept


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

    def reopen(self, number):
        """Write to a descriptor again, where the file was closed from elsewhere."""
        if getattr(self._file, "closed", False):
            encoding = getattr(self._file, "encoding", None)
            self._file = os.fdopen(os.dup(number), "w", encoding=encoding)

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
