"""The reference page, made from the packages themselves: no public name can be missing."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import hessdiag

_INTRODUCTION = """\
Reference
=========

All public names, by package. What most people need is in the first section; a name that several
packages have is described where it comes first.
"""


def public_modules() -> Iterator[ModuleType]:
    """Yield all public packages and modules: parents before children, the engine last."""
    yield hessdiag
    names = [info.name for info in pkgutil.walk_packages(hessdiag.__path__, "hessdiag.")]
    for name in sorted(names, key=lambda name: (name.startswith("hessdiag.curvature"), name)):
        if not any(part.startswith("_") for part in name.split(".")):
            yield importlib.import_module(name)


def public_names(module: ModuleType) -> list[str]:
    """Return what a package exports, or what a module defines."""
    if hasattr(module, "__all__"):
        return sorted(name for name in module.__all__ if not name.startswith("_"))
    return sorted(
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    )


def api_page() -> str:
    """Return the page as reStructuredText.

    Returns
    -------
    str
        A section for each package; functions and classes link to pages of their own.
    """
    described: dict[int, str] = {}
    sections = [_INTRODUCTION]
    for module in public_modules():
        pages, constants, elsewhere = [], [], []
        for name in public_names(module):
            thing = getattr(module, name)
            full = f"{module.__name__}.{name}"
            if not (inspect.isclass(thing) or inspect.isroutine(thing)):
                constants.append(name)
            elif id(thing) in described:
                elsewhere.append((name, described[id(thing)]))
            else:
                described[id(thing)] = full
                pages.append(name)
        if pages or constants or elsewhere:
            sections.append(_section(module, pages, constants, elsewhere))
    return "\n".join(sections)


def _section(module, pages, constants, elsewhere):
    """One package: its words, functions and classes, constants, and names described before."""
    title = module.__name__
    words = inspect.getdoc(module).partition("\n\n")[0]
    lines = [title, "-" * len(title), "", f".. currentmodule:: {title}", "", words, ""]
    if pages:
        lines += [".. autosummary::", "   :toctree: generated", ""]
        lines += [f"   {name}" for name in pages] + [""]
    for name in constants:
        lines += [f".. py:data:: {name}", "", f"   {_comment(module, name)}", ""]
    if elsewhere:
        links = ", ".join(f":obj:`{name} <{full}>`" for name, full in elsewhere)
        lines += [f"Described above: {links}.", ""]
    return "\n".join(lines)


def _comment(module, name):
    """What the comment before a constant says, where it is defined."""
    lines = Path(module.__file__).read_text(encoding="utf-8").splitlines()
    for node in ast.parse("\n".join(lines)).body:
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            return _comment(importlib.import_module(node.module), name)
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if any(getattr(target, "id", None) == name for target in targets):
            found = []
            for line in reversed(lines[: node.lineno - 1]):
                if not line.startswith("#"):
                    break
                found.insert(0, line.lstrip("#: "))
            return re.sub(r"`+", "``", " ".join(found))
    return ""
