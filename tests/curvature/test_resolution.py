"""Rounding of outputs and derivatives: measured on a run, against the same in another precision."""

import copy

import numpy as np
import pytest
import torch
from dense_oracle import KINDS, make_net
from situations import classifier
from torch import nn

from hessdiag.curvature import measure_resolution, prepare
from hessdiag.curvature.network import untouched_surroundings

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 8)), RNG.integers(0, 3, 40)


def module_of(shift=0.0):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)).double()
    with torch.no_grad():
        module[0].bias -= shift * module[0].weight.sum(dim=1)
    return module


def resolution_of(module, X, dtype, y=Y):
    with untouched_surroundings():
        problem = prepare(classifier(module), X, y, dtype=dtype)
        state = {name: p.clone() for name, p in problem.working_copy.named_parameters()}
        found = measure_resolution(problem)
        assert all(torch.equal(p, state[n]) for n, p in problem.working_copy.named_parameters())
    return found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ordinary_nets_have_nearly_all_digits(dtype):
    epsilon = torch.finfo(getattr(torch, dtype)).eps
    for seed, kind in enumerate(KINDS):
        net, X, y = make_net(kind, "cross_entropy", seed=seed)
        with untouched_surroundings():
            problem = prepare(net, X, y, dtype=dtype)
            if not problem.is_separable:
                continue
            found = measure_resolution(problem)
        assert 3 * epsilon < found.outputs <= found.of_all < 1000 * epsilon, kind
        assert set(found.layers) == {block.name for block in problem.blocks}


@pytest.mark.parametrize(
    ("shift", "dtype"), [(1e3, "float32"), (1e8, "float64"), (1e10, "float64")]
)
def test_digits_are_lost_where_large_numbers_cancel(shift, dtype):
    """What is lost follows from the shift: inputs of size 1 are known to eps * shift."""
    module, far = module_of(shift), X + shift
    if dtype == "float32":
        module, far = module.float(), far.astype("float32")
    expected = torch.finfo(getattr(torch, dtype)).eps * shift
    found = resolution_of(module, far, dtype)
    assert expected / 30 < found.outputs < 30 * expected
    assert expected / 30 < found.layers["2"] < 30 * expected


def test_float32_is_compared_with_float64():
    module, far = module_of(1e3).float(), (X + 1e3).astype("float32")
    found = resolution_of(module, far, "float32")
    few = torch.as_tensor(far[:8])
    with torch.no_grad():
        own, exact = module(few).double(), copy.deepcopy(module).double()(few.double())
    expected = float((own - exact).norm() / torch.maximum(own.norm(), exact.norm()))
    assert found.outputs == pytest.approx(expected, rel=1e-6)


def test_whole_numbers_are_not_rounded():
    """They may stand for rows of a table, of which another is taken just below one."""

    class Looked(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.table, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(torch.tanh(self.table(x[:, 0].long())))

    numbers = RNG.integers(0, 9, (40, 1)).astype("float64")
    assert resolution_of(Looked().double(), numbers, "float64").of_all < 1e-14
