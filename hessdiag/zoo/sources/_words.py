"""Words: of languages, of people, of passwords, of colors, of cities."""

from __future__ import annotations

import csv
import gzip
import json
import unicodedata
from functools import lru_cache

from hessdiag.optional import import_optional
from hessdiag.zoo.sources._files import packaged_file

#: Shortest and longest words of a language that are read, and how many.
LENGTHS = (4, 12)
MAX_WORDS = 20_000


@lru_cache(maxsize=16)
def read_words(language: str) -> list[str]:
    """Read the most frequent words of a language, without accents.

    Parameters
    ----------
    language : str
        ISO code of one of the lists in pyspellchecker (MIT licence; Latin letters only).

    Returns
    -------
    words : list of str
        The 20,000 most frequent, from the first on, of 4 to 12 letters from a to z, each once.
    """
    with gzip.open(packaged_file("spellchecker", f"resources/{language}.json.gz"), "rt") as file:
        frequency = json.load(file)
    plain: dict[str, None] = {}
    for word in sorted(frequency, key=lambda word: (-frequency[word], word)):
        letters = without_accents(word.lower())
        if LENGTHS[0] <= len(letters) <= LENGTHS[1] and _is_of_letters(letters):
            plain.setdefault(letters)
        if len(plain) == MAX_WORDS:
            break
    return list(plain)


@lru_cache(maxsize=16)
def read_strings(kind: str) -> list[str]:
    """Read one of the lists by which zxcvbn (MIT licence) finds passwords weak.

    Parameters
    ----------
    kind : {"passwords", "english_wikipedia", "female_names", "surnames", "us_tv_and_film", \
"male_names"}
        Which list.

    Returns
    -------
    strings : list of str
        From the most frequent on.
    """
    lists = import_optional("zxcvbn.frequency_lists", "zoo", "The zoo's data")
    return list(lists.FREQUENCY_LISTS[kind])


def read_color_names() -> list[tuple[str, tuple[float, float, float]]]:
    """Read what people call colors: the survey of xkcd (CC0), as Matplotlib has it.

    Returns
    -------
    colors : list of (name, (red, green, blue))
        Names of letters and blanks, sorted; colors from 0 to 1.
    """
    colors = import_optional("matplotlib.colors", "zoo", "The zoo's data")
    named = [
        (name.removeprefix("xkcd:"), colors.to_rgb(color))
        for name, color in colors.XKCD_COLORS.items()
    ]
    return sorted(item for item in named if _is_of_letters(item[0].replace(" ", "")))


def read_cities() -> list[tuple[str, float, float]]:
    """Read the names of cities of the world, and where they are.

    From GeoNames (CC BY 3.0), as bokeh-sampledata has them.

    Returns
    -------
    cities : list of (name, latitude, longitude)
        Names in small letters without accents; degrees.
    """
    path = packaged_file("bokeh_sampledata", "_data/world_cities.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [
            (without_accents(row["name"].lower()), float(row["lat"]), float(row["lng"]))
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if _is_of_letters(row[0].replace(" ", ""))]


def without_accents(text: str) -> str:
    """Return a text whose letters have lost their accents.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    plain : str
        Its compatible decomposition without combining marks.
    """
    parts = unicodedata.normalize("NFKD", text)
    return "".join(part for part in parts if not unicodedata.combining(part))


def _is_of_letters(text):
    """Say whether there are only letters from a to z."""
    return text.isascii() and text.isalpha()
