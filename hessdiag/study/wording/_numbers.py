"""Numbers of the study in words, the same in figures and on the page."""

from __future__ import annotations

import math
from textwrap import wrap
from typing import TYPE_CHECKING

from hessdiag.plotting import power_of_ten

if TYPE_CHECKING:
    import pandas as pd

_NOT_KNOWN = "not known"


def number(value: float, digits: int = 3) -> str:
    """Write a number with as many digits as matter.

    Parameters
    ----------
    value : float
        The number.
    digits : int, default=3
        Digits that matter.

    Returns
    -------
    text : str
        With a true minus sign; very large and small numbers by powers of ten, and what is not
        finite as ``"not known"``.

    Examples
    --------
    >>> from hessdiag.study.wording import number
    >>> number(0.12345), number(1234567.0)
    ('0.123', '1.23 × 10⁶')
    """
    value = float(value)
    if not math.isfinite(value):
        return _NOT_KNOWN
    size = abs(value)
    if size and not 1e-3 <= size < 1e5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa} × {power_of_ten(int(exponent))}".replace("-", "−", 1)
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def signed(value: float) -> str:
    """Write a correlation: always with its sign, two decimals.

    Parameters
    ----------
    value : float
        The correlation.

    Returns
    -------
    text : str
        With a true minus sign.

    Examples
    --------
    >>> from hessdiag.study.wording import signed
    >>> signed(0.5)
    '+0.50'
    """
    value = float(value)
    return f"{value:+.2f}".replace("-", "−") if math.isfinite(value) else _NOT_KNOWN


def percent(share: float) -> str:
    """Write a share as whole percents.

    Parameters
    ----------
    share : float
        In [0, 1].

    Returns
    -------
    text : str
        Such as ``"33 %"``.
    """
    share = float(share)
    return f"{100 * share:.0f} %" if math.isfinite(share) else _NOT_KNOWN


def p_words(value: float) -> str:
    """Write a p-value.

    Parameters
    ----------
    value : float
        The p-value.

    Returns
    -------
    text : str
        Small ones as a bound.

    Examples
    --------
    >>> from hessdiag.study.wording import p_words
    >>> p_words(1e-5), p_words(0.0123), p_words(0.5)
    ('< 0.001', '0.012', '0.50')
    """
    value = float(value)
    if not math.isfinite(value):
        return _NOT_KNOWN
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def rho_words(row: pd.Series) -> str:
    """Write a rank correlation with its interval.

    Parameters
    ----------
    row : pandas.Series
        A row with ``rho``, ``low`` and ``high``.

    Returns
    -------
    text : str
        The correlation and, in brackets, its interval.
    """
    return f"ρ = {signed(row.rho)} (95 % interval {signed(row.low)} to {signed(row.high)})"


def count_words(n: int, noun: str) -> str:
    """Write a number of things.

    Parameters
    ----------
    n : int
        How many.
    noun : str
        What, in the singular.

    Returns
    -------
    text : str
        In the plural unless it is one.

    Examples
    --------
    >>> from hessdiag.study.wording import count_words
    >>> count_words(1, "data set"), count_words(37, "data set")
    ('1 data set', '37 data sets')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def wrapped(text: str, width: int, lines: int = 3) -> str:
    """Break a text into lines of a width.

    Parameters
    ----------
    text : str
        The text.
    width : int
        Characters in a line.
    lines : int, default=3
        How many lines at most; the rest becomes an ellipsis.

    Returns
    -------
    text : str
        With line breaks.
    """
    found = wrap(" ".join(str(text).split()), width) or [""]
    if len(found) > lines:
        found = [*found[: lines - 1], found[lines - 1][: width - 1].rstrip() + "…"]
    return "\n".join(found)
