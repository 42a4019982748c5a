"""Operations and bytes of passes, against what torch counts while it computes."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dense_oracle import tabular_net
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hessdiag.curvature import (
    capture_bytes,
    held_bytes,
    pass_operations,
    pass_seconds,
    prepare,
    product_operations,
    sweep_bytes,
    sweep_groups,
    vectors_at_once,
)
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.testing import AllocatedBytes

N = 12


class Twice(nn.Module):
    """Calls one layer two times."""

    def __init__(self):
        super().__init__()
        self.inner, self.last = nn.Linear(4, 4, bias=False), nn.Linear(4, 3, bias=False)

    def forward(self, x):
        return self.last(torch.tanh(self.inner(torch.tanh(self.inner(x)))))


class Scaled(nn.Module):
    """Has a parameter of its own, for which there is no closed rule."""

    def __init__(self):
        super().__init__()
        self.scale, self.last = nn.Parameter(torch.ones(50)), nn.Linear(50, 3)

    def forward(self, x):
        return self.last(x * self.scale)


def mlp():
    return nn.Sequential(nn.Linear(4, 6, bias=False), nn.Tanh(), nn.Linear(6, 3, bias=False))


def convolution():
    layers = nn.Conv2d(2, 4, 3, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(36, 3, bias=False)
    return nn.Sequential(*layers)


def sequence():
    layers = nn.Linear(4, 6, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(30, 3, bias=False)
    return nn.Sequential(*layers)


def normalized():
    return nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3))


SHAPES = {
    mlp: (4,),
    convolution: (2, 5, 5),
    sequence: (5, 4),
    Twice: (4,),
    normalized: (4,),
    Scaled: (50,),
}
PRODUCTS_OF_MATRICES = [mlp, convolution, sequence, Twice]


def problem_of(make, shape=None, n=N, batch_size=None, dtype="float64"):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = tabular_net(make(), NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    X = rng.normal(size=(n, *(shape or SHAPES[make]))).astype("float32")
    return prepare(net, X, rng.integers(0, 3, n), batch_size=batch_size, dtype=dtype)


@pytest.fixture(autouse=True)
def _surroundings():
    with untouched_surroundings():
        yield


@pytest.mark.parametrize("make", PRODUCTS_OF_MATRICES)
def test_a_pass_takes_as_many_operations_as_torch_counts(make):
    problem = problem_of(make)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        problem.working_copy(problem.X)
    assert pass_operations(problem) == counter.get_total_flops()


@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("make", [*PRODUCTS_OF_MATRICES, normalized])
def test_a_product_takes_no_more_operations_than_estimated(make, batch_size):
    problem = problem_of(make, batch_size=batch_size)
    products = problem.whole_products()
    vectors = {b.name: torch.ones(1, b.n_params, dtype=torch.float64) for b in problem.blocks}
    with FlopCounterMode(display=False) as counter:
        products.products(vectors)
    estimate = product_operations(problem)
    assert counter.get_total_flops() <= estimate <= 4 * counter.get_total_flops()


@pytest.mark.parametrize("n_columns", [1, 2])
@pytest.mark.parametrize("make", list(SHAPES))
def test_sweeps_leave_as_many_numbers_as_modules_send(make, n_columns):
    problem, sent = problem_of(make), {}
    for block in problem.blocks:
        block.module.register_forward_hook(
            lambda module, args, output, name=block.name: sent.setdefault(name, []).append(
                torch.cat([torch.empty_like(output)] * n_columns).nbytes
            )
        )
    problem.working_copy(problem.X)
    for block in problem.blocks:
        assert N * sweep_bytes(problem, block, n_columns) == sum(sent[block.name])


@pytest.mark.parametrize("make", list(SHAPES))
def test_building_a_factor_takes_about_what_is_counted(make):
    problem = problem_of(make)
    for block in problem.blocks:
        with AllocatedBytes() as count:
            factor = problem.factors(weighted=True, blocks=[block])[block.name]
        counted = capture_bytes(problem, block, problem.outputs.rank, held_bytes(factor) / N)
        planned = N * (problem.footprint.first + counted)
        assert count.peak <= 1.25 * planned, block.name
        assert planned <= 3 * count.peak, block.name


def needed(problem, block, n_columns):
    """Count by hand what the sweeps of a linear layer leave."""
    return problem.n_samples * n_columns * block.module.out_features * 8


@pytest.mark.parametrize("n_columns", [1, 3])
def test_groups_are_runs_of_neighbours_as_long_as_they_fit(n_columns):
    widths = (5, 2, 7, 1, 1, 9, 3)
    pairs = itertools.pairwise((4, *widths))
    problem = problem_of(lambda: nn.Sequential(*(nn.Linear(i, o) for i, o in pairs)), (4,))
    blocks, counts = problem.blocks, []
    for max_memory in (1, 4 * N * n_columns * 8 * 9, 4 * N * n_columns * 8 * 12, 1e9):
        groups = sweep_groups(problem, blocks, n_columns, max_memory)
        assert [block for group in groups for block in group] == blocks
        sizes = [sum(needed(problem, block, n_columns) for block in group) for group in groups]
        for group, size, following in itertools.zip_longest(groups, sizes, groups[1:]):
            assert len(group) == 1 or size <= max_memory / 4
            if following:
                assert size + needed(problem, following[0], n_columns) > max_memory / 4
        counts.append(len(groups))
    assert counts[0] == len(blocks)
    assert counts[-1] == 1
    assert counts == sorted(counts, reverse=True)
    # So little is held together where no bound is set.
    assert len(sweep_groups(problem, blocks, n_columns)) == 1


def imagined(n_params, n_samples, n_entries):
    """What is asked of a problem of any size; modules' entries count twice, as in a net's root."""
    return SimpleNamespace(
        blocks=[SimpleNamespace(n_params=n_params)],
        n_samples=n_samples,
        samples=SimpleNamespace(largest_chunk=n_samples),
        entries={"": n_entries, "0": n_entries},
        itemsize=8,
    )


@pytest.mark.parametrize(
    ("n_params", "n_samples", "expected"),
    [
        # 1.5 steps of training: four vectors of parameters, and activations of 0.8 GB.
        (0, 10_000, 1),
        (10**8, 10_000, 7),  # 1.5 (3.2 + 0.8) / 0.8
        (10**9, 10_000, 61),  # 1.5 (32 + 0.8) / 0.8
        (10**10, 10_000, 64),
        # 256 MiB are never too much: 268 / 16 MB.
        (0, 200, 16),
        (0, 1, 64),
    ],
)
def test_vectors_at_once_take_what_a_step_of_training_does(n_params, n_samples, expected):
    problem = imagined(n_params, n_samples, 10_000)
    assert vectors_at_once(problem) == expected
    assert vectors_at_once(problem, most=5) == min(5, expected)


def test_seconds_are_those_of_one_pass_over_all_chunks(monkeypatch):
    problem, sizes = problem_of(mlp, batch_size=5), []
    problem.blocks[0].module.register_forward_hook(
        lambda module, args, output: sizes.append((len(output), output.requires_grad))
    )
    clock = iter([10.0, 12.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert pass_seconds(problem) == 2.5
    assert sizes == [(5, False), (5, False), (2, False)]
