"""Measures and numbers of the study in words, the same in figures and on the page."""

from hessdiag.study.wording._measures import (
    FAMILY_WORDS,
    GIVEN_WORDS,
    PLACE_WORDS,
    TARGET_WORDS,
    measure_unit,
    measure_words,
    pair_words,
    quoted_words,
)
from hessdiag.study.wording._numbers import (
    count_words,
    number,
    p_words,
    percent,
    rho_words,
    signed,
    wrapped,
)

__all__ = [
    "FAMILY_WORDS",
    "GIVEN_WORDS",
    "PLACE_WORDS",
    "TARGET_WORDS",
    "count_words",
    "measure_unit",
    "measure_words",
    "number",
    "p_words",
    "pair_words",
    "percent",
    "quoted_words",
    "rho_words",
    "signed",
    "wrapped",
]
