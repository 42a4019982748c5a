"""Lines of programs and people; names of characters."""

import argparse
import html
import inspect
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from hessdiag.zoo.sources import read_entities, read_lines


@pytest.mark.parametrize(
    ("language", "n_lines"), [("python", 10_000), ("c", 3_000), ("english", 500)]
)
def test_lines(language, n_lines):
    lines = read_lines(language)
    assert len(set(lines)) == len(lines) >= n_lines
    assert all(line and line == line.strip() and line.isascii() for line in lines)


def test_lines_are_those_of_the_sources():
    def within(text, language):
        lines = {line.strip() for line in text.splitlines() if line.strip() and line.isascii()}
        return lines <= set(read_lines(language))

    assert within(inspect.getsource(argparse), "python")
    assert within((Path(np.get_include()) / "numpy" / "ndarraytypes.h").read_text(), "c")
    assert within(load_iris().DESCR, "english")


def test_entities():
    entities = read_entities()
    assert len(entities) > 1200
    assert len({point for _, point in entities}) == len(entities)
    assert all(html.unescape(f"&{name};") == chr(point) for name, point in entities)
