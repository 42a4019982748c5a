"""What the command ``hessdiag`` starts: an interrupt is answered while imports take time, too.

It stands beside the package, as whatever lies in a package is read after all that the package
itself imports.
"""

import os
import signal

# As in `hessdiag.exit_codes`, which is not there yet.
_STOPPED = 130
_LINE = b"hessdiag: stopped; what was finished is kept.\n"


def run() -> None:
    """Import the command line, run it, and end the process with its exit code."""
    before = signal.getsignal(signal.SIGINT)
    # Where interrupts are ignored, as in the background of a script, they stay so.
    answers = before is signal.default_int_handler
    if answers:
        # An exception could be taken for something else by what is being imported.
        signal.signal(signal.SIGINT, _stop)
    from hessdiag.cli import run as run_command

    try:
        if answers:
            signal.signal(signal.SIGINT, before)
        run_command()
    except KeyboardInterrupt:
        _stop()


def _stop(*_):
    """Say that the command was stopped, and end at once: nothing was begun."""
    os.write(2, _LINE)
    os._exit(_STOPPED)


if __name__ == "__main__":
    run()
