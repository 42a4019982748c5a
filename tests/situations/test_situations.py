"""Situations that people bring, kind by kind: the result is right, by an oracle of its own."""

from pathlib import Path

import numpy as np
import pytest
from situations import tables_in

SITUATIONS = tables_in(Path(__file__).parent, "SITUATIONS")


@pytest.mark.parametrize("name", SITUATIONS)
def test_situation(name):
    situation = SITUATIONS[name]
    found, expected = situation.compare()
    assert found.keys() == expected.keys()
    assert expected
    for key in expected:
        scale = np.abs(expected[key]).max()
        np.testing.assert_allclose(
            found[key], expected[key], rtol=situation.rtol, atol=situation.rtol * scale
        )


def test_there_are_many_of_every_kind():
    kinds = {}
    for name, situation in SITUATIONS.items():
        kinds.setdefault(situation.kind, set()).add(name)
    assert len(SITUATIONS) >= 60
    assert len(kinds) >= 6
    assert all(situation.oracle for situation in SITUATIONS.values())
