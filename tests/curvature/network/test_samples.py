"""Samples in chunks: joined, cut anew and taken, without a change to what was there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.curvature.network import Chunk, Samples


def samples_of(sizes, width=2):
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    numbers = torch.arange(float(sum(sizes)))
    return Samples(
        Chunk({"a": numbers[s : s + n, None].repeat(1, width)}, numbers[s : s + n], n)
        for s, n in zip(starts, sizes)
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 25), st.data())
def test_cutting_and_taking_keep_every_sample(sizes, size, data):
    samples = samples_of(sizes)
    n = sum(sizes)
    assert samples.n_samples == n
    assert samples.offsets == tuple(sum(sizes[:i]) for i in range(len(sizes) + 1))
    assert samples.largest_chunk == max(sizes)
    cut = samples.cut(size)
    assert [chunk.n_samples for chunk in cut.chunks[:-1]] == [size] * ((n - 1) // size)
    assert cut.n_samples == n
    assert cut.largest_chunk == min(size, n)
    assert torch.equal(cut.X["a"], samples.X["a"])
    assert torch.equal(torch.cat([chunk.y for chunk in cut.chunks]), samples.y)
    rows = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=6))
    taken = samples.take(torch.tensor(rows))
    assert taken.n_samples == len(rows)
    assert len(taken.chunks) == 1
    assert taken.y.tolist() == rows
    assert taken.X["a"][:, 0].tolist() == rows
    assert len(samples.chunks) == len(sizes)


def test_batches_of_different_shapes_are_not_joined():
    chunks = [Chunk(torch.ones(2, n), torch.ones(2), 2) for n in (3, 4)]
    samples = Samples(chunks)
    assert samples.X is None
    assert samples.y.shape == (4,)
    assert samples.n_samples == 4
    with pytest.raises(TypeError):
        samples.cut(1)
