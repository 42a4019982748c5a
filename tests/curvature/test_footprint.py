"""What nets and data take in memory, against what is allocated while they are worked with."""

import gc

import numpy as np
import pytest
import torch
from dense_oracle import tabular_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature import dense_bytes, held_bytes, prepare
from hessdiag.curvature.factors import JointFactor
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.curvature.products import KeptDerivatives
from hessdiag.testing import AllocatedBytes

N = 40


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory, self.last = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        return self.last(self.memory(x)[0][:, -1])


class Together(nn.Module):
    """Refuses fewer samples than twenty."""

    def __init__(self):
        super().__init__()
        self.layers = mlp()

    def forward(self, x):
        if len(x) < 20:
            raise ValueError("too few samples")
        return self.layers(x)


def mlp(activation=nn.Tanh):
    return nn.Sequential(nn.Linear(4, 6), activation(), nn.Linear(6, 3))


def relu_mlp():
    return mlp(nn.ReLU)


def wide():
    """Send so much that the Hessians in the outputs take most."""
    return nn.Linear(4, 60)


def convolution():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(36, 3))


def sequence():
    return nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Flatten(), nn.Linear(30, 3))


def normalized():
    layers = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.LayerNorm(6), nn.Linear(6, 3)
    return nn.Sequential(*layers)


SHAPES = {
    mlp: (4,),
    relu_mlp: (4,),
    wide: (4,),
    convolution: (2, 5, 5),
    sequence: (5, 4),
    normalized: (4,),
    Recurrent: (5, 4),
    Together: (4,),
}
APART = [make for make in SHAPES if make is not Together]


def problem_of(make, n=N, dtype="float64"):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = tabular_net(make(), NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    X = rng.normal(size=(n, *SHAPES[make])).astype("float32")
    return prepare(net, X, rng.integers(0, 3, n), dtype=dtype)


@pytest.fixture(autouse=True)
def _surroundings():
    with untouched_surroundings():
        yield


@pytest.mark.parametrize("n", [N, 400])
@pytest.mark.parametrize("make", APART)
def test_what_is_held_and_the_peak_before_are_those_allocated(make, n):
    with AllocatedBytes() as count:
        problem = problem_of(make, n)
        assert problem.outputs is not None
    gc.collect()
    found = problem.footprint
    # The user's own net is made here too, in half the bytes.
    own = sum(p.nbytes for p in problem.working_copy.parameters()) / 2
    assert count.held == pytest.approx(found.held + own, rel=0.1)
    assert count.peak <= 1.02 * found.start
    assert found.start <= 2.5 * count.peak


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        # Before tanh, after it, outputs; ReLU keeps what it sends, as the next layer does.
        (mlp, 6 + 6 + 3),
        (relu_mlp, 6 + 3),
        (convolution, 36 + 36 + 3),
        (sequence, 30 + 30 + 3),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_graph_keeps_what_backward_passes_read(make, expected, dtype):
    problem = problem_of(make, dtype=dtype)
    assert problem.footprint.first == expected * problem.itemsize


@pytest.mark.parametrize("n", [4, N])
@pytest.mark.parametrize("make", APART)
def test_graphs_take_what_is_counted_for_every_sample(make, n):
    problem = problem_of(make)
    parameters, found = [p for b in problem.blocks for p in b.parameters], problem.footprint
    with AllocatedBytes() as count:
        with KeptDerivatives():
            value = problem.working_copy(problem.X[:n]).square().sum()
        assert count.held == pytest.approx(n * found.first, rel=0.1)
        gradients = torch.autograd.grad(value, parameters, create_graph=True)
    kept = count.held - sum(gradient.nbytes for gradient in gradients)
    assert kept <= 1.1 * n * found.second <= 2.5 * kept


def test_nets_that_refuse_single_samples_are_measured_on_all():
    problem = problem_of(Together)
    assert not problem.is_separable
    whole, apart = problem.footprint, problem_of(mlp).footprint
    assert whole.first == pytest.approx(apart.first)
    assert whole.second == pytest.approx(apart.second, rel=0.3)


def test_one_sample_is_measured_alone():
    one, many = problem_of(mlp, n=1).footprint, problem_of(mlp).footprint
    assert one.first == many.first
    # What does not grow with the samples counts too.
    assert many.second <= one.second <= 2 * many.second


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [mlp, convolution, sequence, normalized, Recurrent])
def test_factors_hold_what_is_counted(make, dtype):
    problem = problem_of(make, dtype=dtype)
    assert problem.outputs is not None
    for block in problem.blocks:
        with AllocatedBytes() as count:
            factor = problem.factors(weighted=True, blocks=[block])[block.name]
            before = count.held
            jacobian = factor.dense()
        assert dense_bytes(factor) == jacobian.nbytes
        n_bytes = held_bytes(factor)
        # Data are held anyway, and a storage may be that of several sweeps.
        assert before - problem.X.nbytes <= n_bytes <= before + problem.X.nbytes, block.name


def test_what_parts_of_a_factor_share_is_held_once():
    factor = problem_of(Recurrent).factors(weighted=True)["memory"]
    assert isinstance(factor, JointFactor)
    assert len(factor.parts) == 4
    # Weights and biases of the gates share their sweeps: (N, 2, 5 steps, 4 x 5) at x and at h.
    sweeps = 2 * (N * 2 * 5 * 20)
    inputs = N * 5 * 4 + N * 5 * 5
    held = held_bytes(factor)
    assert held == 8 * (sweeps + inputs)
    assert held < sum(held_bytes(part) for part in factor.parts)
