"""Lines that people and programs read, and names of characters."""

from __future__ import annotations

import html.entities
import sysconfig
from functools import lru_cache
from pathlib import Path

import numpy as np

from hessdiag.zoo.sources._files import packaged_file

#: Modules of Python's library that lines are read from.
MODULES = (
    "argparse ast calendar configparser copy csv datetime decimal difflib doctest fractions "
    "ftplib getopt gettext heapq inspect ipaddress locale mailbox netrc optparse pickletools "
    "plistlib pprint random sched shelve shlex smtplib statistics string tarfile textwrap "
    "tokenize turtle typing uuid weakref zipfile"
)

#: Descriptions of data sets in scikit-learn.
DESCRIPTIONS = (
    "breast_cancer california_housing covtype diabetes digits iris kddcup99 lfw linnerud "
    "olivetti_faces rcv1 species_distributions twenty_newsgroups wine_data"
)


@lru_cache(maxsize=3)
def read_lines(language: str) -> list[str]:
    """Read lines of one of three languages, each without its indentation.

    They are those of the installed releases: others have other ones, though mostly the same.

    Parameters
    ----------
    language : {"python", "c", "english"}
        Python's own library (PSF licence), the headers of NumPy, or the descriptions of data sets
        in scikit-learn (BSD licences).

    Returns
    -------
    lines : list of str
        Each once, in order, of ASCII characters, without blanks at either end.
    """
    if language == "python":
        folder = Path(sysconfig.get_paths()["stdlib"])
        paths = [path for name in MODULES.split() if (path := folder / f"{name}.py").is_file()]
    elif language == "c":
        paths = sorted((Path(np.get_include()) / "numpy").glob("*.h"))
    else:
        folder = packaged_file("sklearn", "datasets/descr/iris.rst").parent
        paths = [
            path for name in DESCRIPTIONS.split() if (path := folder / f"{name}.rst").is_file()
        ]
    lines = [line.strip() for path in paths for line in path.read_text("utf-8").splitlines()]
    return list(dict.fromkeys(line for line in lines if line and line.isascii()))


def read_entities() -> list[tuple[str, int]]:
    """Read the names that characters have in HTML, as Python knows them.

    Returns
    -------
    entities : list of (name, code point)
        One name of each character, the first in alphabetical order; sorted.
    """
    named: dict[int, str] = {}
    for name, text in sorted(html.entities.html5.items()):
        if name.endswith(";") and len(text) == 1:
            named.setdefault(ord(text), name[:-1])
    return sorted((name, point) for point, name in named.items())
