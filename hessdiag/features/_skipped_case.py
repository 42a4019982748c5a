"""SkippedCase: stands in a list of examinations for a case that could not be examined."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SkippedCase:
    """Stands for a case that could not be examined.

    Parameters
    ----------
    name : str or None
        Name of the case.
    reason : str
        The error's message.
    """

    name: str | None
    reason: str


class SkippedCaseWarning(UserWarning):
    """A case could not be examined and was left out."""
