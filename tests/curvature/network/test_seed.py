"""One integer seed from whatever says what is random."""

import numpy as np
import pytest

from hessdiag.curvature.network import draw_seed


@pytest.mark.parametrize("integer", [3, np.int64(3), np.uint8(3), np.int32(3)])
def test_integers_are_seeds_of_every_make(integer):
    seed = draw_seed(integer)
    assert seed == 3
    assert type(seed) is int


def test_none_is_a_seed_like_any_other():
    assert draw_seed(None) == draw_seed(None) == 0


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_generators_are_drawn_from_once(make):
    generator = make(0)
    first, second = draw_seed(generator), draw_seed(generator)
    assert first != second
    assert draw_seed(make(0)) == first
    for seed in (first, second):
        assert type(seed) is int
        assert 0 <= seed < 2**31


@pytest.mark.parametrize("wrong", ["0", 1.5, np.random, [1]])
def test_anything_else_is_refused(wrong):
    with pytest.raises(ValueError, match=r"Expected random_state to be None, an integer.*found"):
        draw_seed(wrong)
