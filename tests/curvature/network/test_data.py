"""Data as the net itself loads them: by its dataset and its iterator, cut, joined and drawn."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import copy_of
from skorch import NeuralNet, NeuralNetRegressor
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.data import Dataset

from hessdiag.curvature.network import concatenate, load_chunks, sample_indices, take

Pair = namedtuple("Pair", ["left", "right"])


def numbers(n=10):
    return np.arange(3.0 * n, dtype="float32").reshape(n, 3), np.arange(n, dtype="int64")


def linear_copy(**settings):
    return copy_of(nn.Linear(3, 1), **settings)


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(None, [10]), (10, [10]), (4, [4, 4, 2]), (1, 10 * [1]), (99, [10])]
)
def test_chunks_hold_all_samples_in_their_order(batch_size, sizes):
    X, y = numbers()
    chunks = load_chunks(linear_copy(), X, y, batch_size=batch_size)
    assert [chunk.n_samples for chunk in chunks] == sizes
    X_all, y_all = concatenate([c.X for c in chunks]), concatenate([c.y for c in chunks])
    assert X_all.dtype == torch.float64  # as the copy
    assert y_all.dtype == torch.int64  # as it was
    np.testing.assert_array_equal(X_all, X)
    np.testing.assert_array_equal(y_all, y)


@pytest.mark.parametrize("own", [None, 3])
def test_the_net_s_own_batch_size_is_neither_used_nor_changed(own):
    settings = {} if own is None else {"iterator_valid__batch_size": own}
    copy = linear_copy(**settings)
    before = dict(copy.net.__dict__)
    assert [c.n_samples for c in load_chunks(copy, *numbers())] == [10]
    assert copy.net.__dict__ == before


def test_chosen_samples_come_in_the_order_asked_for():
    X, y = numbers()
    chunks = load_chunks(linear_copy(), X, y, indices=np.array([7, 2, 2, 5]), batch_size=3)
    assert [chunk.y.tolist() for chunk in chunks] == [[7, 2, 2], [5]]
    np.testing.assert_array_equal(chunks[1].X, X[[5]])


class Doubled(Dataset):
    """A dataset of a net's own, which must not be passed by."""

    def __init__(self, X, y=None):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return 2 * self.X[i], self.y[i]


class Custom(NeuralNet):
    def get_dataset(self, X, y=None):
        return Doubled(X, y)


def test_a_net_s_own_dataset_is_used():
    X, y = numbers()
    for net_class, own in ((Custom, {}), (NeuralNet, {"dataset": Doubled})):
        (chunk,) = load_chunks(linear_copy(net_class=net_class, **own), X, y)
        np.testing.assert_array_equal(chunk.X, 2 * X)
    (chunk,) = load_chunks(linear_copy(), Doubled(X, y), None)
    np.testing.assert_array_equal(chunk.X, 2 * X)
    np.testing.assert_array_equal(chunk.y, y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterator_valid__shuffle": True}, r"shuffles \(RandomSampler\)"),
        (
            {"iterator_valid__sampler": torch.utils.data.WeightedRandomSampler(10 * [1.0], 10)},
            r"shuffles \(WeightedRandomSampler\)",
        ),
        ({"iterator_valid__drop_last": True}, "drops the last"),
    ],
)
def test_iterators_that_lose_or_mix_samples_are_refused(settings, message):
    copy = linear_copy()
    copy.net.__dict__.update(settings)  # skorch itself warns where samples are shuffled
    with pytest.raises(ValueError, match=message):
        load_chunks(copy, *numbers(), batch_size=11)


class Trees(Dataset):
    """Samples that are trees of tensors."""

    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return 5

    def __getitem__(self, i):
        left, right = torch.full((2,), float(i)), torch.tensor(i)
        inputs = {"dict": {"a": left, "b": right}, "list": [left, right], "pair": Pair(left, right)}
        return inputs[self.kind], float(i)


@pytest.mark.parametrize("kind", ["dict", "list", "pair"])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_trees_keep_their_form(kind, batch_size):
    chunks = load_chunks(linear_copy(), Trees(kind), None, batch_size=batch_size)
    assert [c.n_samples for c in chunks] == ([5] if batch_size is None else [2, 2, 1])
    joined = concatenate([c.X for c in chunks])
    assert type(joined) is type(chunks[0].X) is {"dict": dict, "list": list, "pair": Pair}[kind]
    left, right = joined.values() if kind == "dict" else joined
    assert left.dtype == torch.float64
    assert left.tolist() == [[i, i] for i in range(5)]
    assert right.tolist() == list(range(5))
    part = take(joined, torch.tensor([3, 0]))
    assert type(part) is type(joined)
    assert [t.tolist() for t in (part.values() if kind == "dict" else part)] == [
        [[3, 3], [0, 0]],
        [3, 0],
    ]


class Lengths(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return torch.ones(4 - i, 2), float(i)


def packed(batch):
    return pack_sequence([x for x, _ in batch]), torch.tensor([[y] for _, y in batch])


def test_packed_sequences_are_counted_by_sample_and_never_cut():
    copy = linear_copy(iterator_valid__collate_fn=packed)
    (chunk,) = load_chunks(copy, Lengths(), None)
    assert isinstance(chunk.X, PackedSequence)
    assert chunk.X.data.dtype == torch.float64
    assert chunk.n_samples == 3
    parts = load_chunks(copy, Lengths(), None, batch_size=2)
    assert [part.n_samples for part in parts] == [2, 1]
    assert concatenate([part.X for part in parts]) is None
    with pytest.raises(TypeError, match="PackedSequence, which cannot be indexed by sample"):
        take(chunk.X, slice(0, 1))


def test_recurrent_nets_run_on_packed_sequences_in_any_precision():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRU(2, 3)

        def forward(self, x):
            return self.cell(x)[1][0]

    module, sent = Last(), []
    for dtype in ("float32", "float64"):
        copy = copy_of(module, dtype=dtype, iterator_valid__collate_fn=packed)
        (chunk,) = load_chunks(copy, Lengths(), None)
        sent.append(copy(chunk.X).double())
    assert sent[0].shape == (3, 3)
    torch.testing.assert_close(sent[0], sent[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("where", ["X", "y"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found_in_any_chunk(where, value):
    X, y = numbers()
    y = y[:, None].astype("float32")
    {"X": X, "y": y}[where][8, 0] = value
    with pytest.raises(ValueError, match=rf"found 1 NaN or infinite entry in {where}\."):
        load_chunks(copy_of(nn.Linear(3, 1), net_class=NeuralNetRegressor), X, y, batch_size=4)


def test_read_only_arrays_are_taken_without_a_warning():
    X, y = numbers()
    X.setflags(write=False)
    (chunk,) = load_chunks(linear_copy(dtype="float32"), X, y)
    np.testing.assert_array_equal(chunk.X, X)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 200), st.integers(1, 220), st.integers(0, 2**31 - 1))
def test_drawn_samples_are_sorted_unique_and_repeatable(n_samples, max_samples, seed):
    found = sample_indices(n_samples, max_samples, seed)
    if max_samples >= n_samples:
        assert found is None
        return
    assert len(found) == max_samples
    assert (np.diff(found) > 0).all()
    assert found[0] >= 0
    assert found[-1] < n_samples
    np.testing.assert_array_equal(found, sample_indices(n_samples, max_samples, seed))


def test_every_sample_is_as_likely_to_be_drawn():
    counts = np.zeros(10)
    for seed in range(2000):
        counts[sample_indices(10, 3, seed)] += 1
    # Binomial of 2000 draws with probability 0.3: a standard deviation of 20.5.
    assert np.abs(counts - 600).max() < 90
    assert sample_indices(10, None, 0) is None


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_joining_undoes_cutting(width, sizes):
    tree = {"a": torch.randn(sum(sizes), width), "b": [torch.randn(sum(sizes))]}
    stops = np.cumsum(sizes).tolist()
    cut = [take(tree, slice(stop - size, stop)) for size, stop in zip(sizes, stops)]
    joined = concatenate(cut)
    assert torch.equal(joined["a"], tree["a"])
    assert torch.equal(joined["b"][0], tree["b"][0])


def test_what_cannot_be_joined_is_none():
    assert concatenate([torch.ones(2, 3), torch.ones(2, 4)]) is None
    assert concatenate([torch.ones(()), torch.ones(())]) is None
    assert concatenate([{"a": torch.ones(1), "b": torch.ones(1, n)} for n in (2, 3)]) is None
    assert concatenate([[torch.ones(1), torch.ones(1, n)] for n in (2, 3)]) is None
    assert concatenate([None, None]) is None
    with pytest.raises(TypeError, match="type str, which cannot be indexed by sample"):
        take("text", 0)
