"""Import packages that only some uses need, or say how to get them."""

from __future__ import annotations

import importlib
from types import ModuleType


def import_optional(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a package of one of hessdiag's extras.

    Parameters
    ----------
    module : str
        Name of the module to import.
    extra : str
        The extra of hessdiag that brings it.
    purpose : str
        What needs it, as the subject of the message.

    Returns
    -------
    module : module
        The imported module.

    Raises
    ------
    ImportError
        If it is not installed; the message names the pip line that helps.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"Expected the package {module.partition('.')[0]!r}, which {purpose} needs, found that "
            "it is not installed. "
            f'Install it with: pip install "hessdiag[{extra}]"'
        ) from error
