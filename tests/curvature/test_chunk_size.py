"""How many samples pass at once: by the bound on memory, and without a change of results."""

import numpy as np
import pytest
import torch
from dense_oracle import dense_hessians, tabular_net
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

from hessdiag.curvature import _chunk_size, fitting_chunks, prepare
from hessdiag.curvature._chunk_size import chosen_chunk_size, first_chunk_size
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.testing import AllocatedBytes

N = 60
LIMITS = [2.0**e for e in range(8, 24)]


class Mixing(nn.Module):
    """Sends what depends on all samples."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        return self.last(x - x.mean(dim=0))


def mlp():
    layers = nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)
    return nn.Sequential(*layers)


def data(n=N):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 4)).astype("float32"), rng.integers(0, 3, n)


def net_of(make=mlp):
    torch.manual_seed(0)
    return tabular_net(make(), NeuralNetClassifier, criterion=nn.CrossEntropyLoss)


def problem_of(make=mlp, n=N, **settings):
    return prepare(net_of(make), *data(n), dtype="float64", **settings)


def layerwise():
    return problem_of(scalar={"*": lambda output, y: output.square().mean()})


@pytest.fixture(autouse=True)
def _surroundings():
    with untouched_surroundings():
        yield


@pytest.mark.parametrize(
    ("batch_size", "max_memory", "expected"),
    [(None, None, 2048), (None, 1e9, 64), (7, None, 7), (7, 1e9, 7), (10**6, 1.0, 10**6)],
)
def test_the_first_size_is_what_is_asked_for_or_careful(batch_size, max_memory, expected):
    assert first_chunk_size(batch_size, max_memory) == expected


@pytest.mark.parametrize("make", [problem_of, layerwise])
def test_more_memory_takes_more_samples_at_once(make):
    problem = make()
    sizes = [chosen_chunk_size(problem, limit) for limit in LIMITS]
    assert sizes == sorted(sizes)
    assert sizes[0] == 1
    assert sizes[-1] == N
    assert len(set(sizes)) > 4


def test_chunks_of_that_size_keep_within_the_bound():
    problem = problem_of()
    parameters = [p for block in problem.blocks for p in block.parameters]
    held = problem.footprint.held
    looked_at = 0
    for limit in LIMITS:
        size = chosen_chunk_size(problem, limit)
        if size == 1:
            continue
        with AllocatedBytes() as count:
            value = problem.working_copy(problem.X[:size]).square().sum()
            gradients = torch.autograd.grad(value, parameters, create_graph=True)
        assert held + count.peak <= limit
        del value, gradients
        looked_at += 1
    assert looked_at > 4


@pytest.mark.parametrize("make", [problem_of, layerwise])
def test_small_problems_pass_whole_where_no_bound_is_set(make):
    problem = make()
    assert chosen_chunk_size(problem, None) == N
    assert fitting_chunks(problem, None) is problem


@pytest.mark.parametrize(("free", "expected"), [(1e3, 1), (1e9, N)])
def test_without_a_bound_half_of_what_is_free_counts(monkeypatch, free, expected):
    problem = problem_of()
    monkeypatch.setattr(_chunk_size, "available_memory", lambda device: free)
    assert chosen_chunk_size(problem, None) == expected


def test_without_a_bound_a_sample_counts_what_modules_send_for_every_column(monkeypatch):
    problem = problem_of()
    # Modules send 16, 16, 16, 16 and 3 numbers of 8 bytes; 3 outputs are swept, 4 times is kept.
    each = 8 * (4 * 16 + 3) * (4 + 3)
    for size in (1, 5, 59):
        monkeypatch.setattr(_chunk_size, "available_memory", lambda device, n=size: 2 * n * each)
        assert chosen_chunk_size(problem, None) == size


def test_what_interacts_is_never_cut():
    for problem in (problem_of(Mixing), coupled()):
        assert not problem.is_separable
        for limit in (1.0, 1e6, None):
            assert chosen_chunk_size(problem, limit) is None
            assert fitting_chunks(problem, limit) is problem


def coupled():
    """Make a problem whose loss couples samples."""
    X, y = data()
    y = y[:, None].astype("float32")

    class Coupled(NeuralNet):
        def get_loss(self, output, targets, X=None, training=False):
            return (output - targets).mean() ** 2

    net = tabular_net(nn.Linear(4, 1), Coupled)
    return prepare(net, X, y, dtype="float64")


def test_a_size_that_was_asked_for_stays():
    problem = problem_of(batch_size=25)
    assert [chunk.n_samples for chunk in problem.chunks] == [25, 25, 10]
    assert fitting_chunks(problem, 1.0) is problem


@pytest.mark.parametrize("limit", [1.0, 2.0**16, 2.0**17])
def test_chunks_hold_all_samples_in_their_order_and_change_no_result(limit):
    problem = problem_of()
    cut = fitting_chunks(problem, limit)
    size = chosen_chunk_size(problem, limit)
    assert size < N
    sizes = [chunk.n_samples for chunk in cut.chunks]
    assert sizes == [size] * (N // size) + [N % size] * (N % size > 0)
    assert torch.equal(torch.cat([chunk.X for chunk in cut.chunks]), problem.X)
    assert torch.equal(torch.cat([chunk.y for chunk in cut.chunks]), problem.y)
    expected = dense_hessians(net_of(), *data())["4"]
    found = cut.whole_products([cut.blocks[-1]]).dense("4").numpy()
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_preparing_within_a_bound_cuts_as_chosen():
    whole = problem_of()
    for limit in (2.0**15, 2.0**17, 2.0**22):
        found = problem_of(max_memory=limit)
        assert found.samples.largest_chunk == chosen_chunk_size(whole, limit)
