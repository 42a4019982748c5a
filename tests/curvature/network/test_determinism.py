"""Two passes that differ are refused, and the first module that does is named."""

import pytest
import torch
from parts import copy_of
from torch import nn
from torch.nn import functional

from hessdiag.curvature.network import Chunk, check_deterministic


class Noise(nn.Module):
    """Adds noise, in evaluation mode as well."""

    def __init__(self, size=1.0):
        super().__init__()
        self.size = size

    def forward(self, x):
        return x + self.size * torch.randn_like(x)


class Nested(nn.Module):
    """Draws before its own layers do, but they send first."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 3), Noise())

    def forward(self, x):
        return self.inner(x).relu()


class Own(nn.Module):
    """Drops out in its own forward pass, whatever the mode."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 30)

    def forward(self, x):
        return functional.dropout(self.inner(x))


def check(module, n_samples=4, **settings):
    copy = copy_of(module, **settings)
    chunk = Chunk(torch.randn(n_samples, 3, dtype=torch.float64), None, n_samples)
    with torch.no_grad():
        outputs = copy(chunk.X)
    check_deterministic(copy, chunk, outputs)
    return copy


@pytest.mark.parametrize(
    ("module", "culprit"),
    [
        (nn.Sequential(nn.Linear(3, 3), Noise(), nn.Linear(3, 2)), "the output of Noise '1'"),
        (nn.Sequential(nn.Linear(3, 3), Nested()), r"the output of Noise '1\.inner\.1'"),
        (nn.Sequential(Own(), nn.Tanh()), "the output of Own '0'"),
        (nn.Sequential(nn.Linear(3, 3), Noise(), Noise()), "the output of Noise '1'"),
        (Own(), "the output of Own. Make it respect"),
    ],
)
def test_the_first_module_to_differ_is_named(module, culprit):
    with pytest.raises(ValueError, match=rf"found different ones; .* is {culprit}.*module\.eval"):
        check(module)
    assert all(not m._forward_hooks for m in module.modules())


def test_a_net_s_own_infer_is_named_where_no_module_differs():
    from skorch import NeuralNet

    class Jittered(NeuralNet):
        def infer(self, x, **params):
            return super().infer(x, **params) + torch.randn(1)

    with pytest.raises(ValueError, match="the net's own infer, outside of its modules"):
        check(nn.Linear(3, 2), net_class=Jittered)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.BatchNorm1d(3)),
        nn.LSTM(3, 2, batch_first=True),  # several outputs
    ],
)
def test_what_agrees_passes(module):
    copy = check(module)
    assert all(not m._forward_hooks for m in copy.modules())


@pytest.mark.parametrize("noise", [1e-9, 0.0])
def test_draws_that_make_no_difference_are_refused(noise):
    # As of a layer that is skipped once in a hundred times.
    with pytest.raises(ValueError, match=r"no random numbers in evaluation mode.*module\.eval"):
        check(nn.Sequential(nn.Linear(3, 3), Noise(noise)))


def test_draws_by_a_seed_of_its_own_pass():
    class Seeded(nn.Module):
        def forward(self, x):
            torch.manual_seed(3)
            return x + torch.randn_like(x)

    before = torch.get_rng_state()
    check(nn.Sequential(nn.Linear(3, 3), Seeded()))
    assert before is not None


def test_what_is_not_a_number_both_times_agrees():
    class Root(nn.Linear):
        def forward(self, x):
            return (super().forward(x) - 100).sqrt()

    check(Root(3, 2))
