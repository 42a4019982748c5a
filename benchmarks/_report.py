"""Reports of benches on disk: written as they grow, and read again where a part is run anew."""

from __future__ import annotations

import json

__all__ = ["kept_parts", "write"]


def kept_parts(path):
    """Read networks and growth from a report that is there already."""
    if path is None or not path.exists():
        return {}
    before = json.loads(path.read_text(encoding="utf-8"))
    return {name: before[name] for name in ("networks", "growth") if name in before}


def write(path, report):
    """Write what is known so far, so that a run cut short is not lost."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
