"""Samples that depend on each other, and rounding that looks as if they did."""

import copy

import numpy as np
import pytest
import torch
from situations import classifier
from torch import nn

import hessdiag as hd
from hessdiag.curvature import prepare
from hessdiag.curvature.network import TooCoarseError, untouched_surroundings

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 8)).astype("float32"), RNG.integers(0, 3, 40)


class Net(nn.Module):
    """Two layers, of which the second sums many products, and what is done to what they send."""

    def __init__(self, after=lambda z: z):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.o = nn.Linear(8, 64), nn.Linear(64, 3)
        self.after = after

    def forward(self, x):
        return self.after(self.o(torch.relu(self.a(x))))


def problem_of(module, X=X, **settings):
    with untouched_surroundings():
        return prepare(classifier(module), X, Y, **settings)


def shifted(module, by, dtype=torch.float32):
    """The same function of inputs that are shifted by a number."""
    module = copy.deepcopy(module).to(dtype)
    with torch.no_grad():
        exact = module.a.bias.double() - by * module.a.weight.double().sum(dim=1)
        module.a.bias.copy_(exact)
    return module, (X.astype("float64") + by).astype(str(dtype).removeprefix("torch."))


CASTS = {
    "double at the end": {"after": lambda z: z.double()},
    "half at the end": {"after": lambda z: z.half().double()},
    "bfloat16 at the end": {"after": lambda z: z.bfloat16().float()},
    "float at the end": {"after": lambda z: z.float()},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cast", CASTS)
def test_casts_couple_nothing(cast, dtype):
    problem = problem_of(Net(**CASTS[cast]), dtype=dtype)
    assert problem.is_separable, problem.why_whole
    bits = {"double": 32, "half": 16, "bfloat16": 16, "float": 32}[cast.split()[0]]
    own = 64 if dtype == "float64" else 32
    assert torch.finfo(problem.precision).bits == (own if "double" in cast else min(own, bits))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("share", [1e-2, 1.0])
def test_what_is_cast_may_be_coupled_all_the_same(share, dtype):
    def mixed(z):
        return (z + share * z.mean(dim=0)).double()

    problem = problem_of(Net(after=mixed), dtype=dtype)
    assert problem.why_whole == "the outputs of one sample depend on the others"


def test_coupled_samples_far_from_zero_are_coupled():
    module, far = shifted(Net(after=lambda z: z + z.mean(dim=0)), 1e5)
    problem = problem_of(module, far, dtype="float32")
    assert problem.why_whole == "the outputs of one sample depend on the others"


def test_inputs_far_from_zero_are_told_to_be_scaled():
    module, far = shifted(Net(), 1e5)
    with pytest.raises(TooCoarseError, match=r"rounding alone moves outputs by .* 1e\+05\. Pass"):
        problem_of(module, far, dtype="float32")
    problem = problem_of(module, far, dtype="float64")
    assert problem.is_separable
    with torch.no_grad():
        own = module(torch.as_tensor(far[:2])).double()
        exact = module.double()(torch.as_tensor(far[:2]).double())
    assert problem.own_rounding == pytest.approx(float((own - exact).norm() / own.norm()), rel=1e-3)
    assert problem.own_rounding > 1e-3


def test_float64_is_not_the_remedy_where_it_has_no_digits_either():
    module, far = shifted(Net(), 1e13, torch.float64)
    with pytest.raises(TooCoarseError, match=r"float64 has the digits.*Scale the inputs"):
        problem_of(module, far, dtype="float64")
    # Nor where the net's own outputs are rounding.
    module, far = shifted(Net(), 1e8)
    with pytest.raises(TooCoarseError, match=r"float32 has the digits.*Scale the inputs"):
        problem_of(module, far, dtype="float64")


def test_a_report_of_inputs_far_from_zero_says_so():
    module, far = shifted(Net(), 1e5)
    (found,) = hd.LayerSpectra(dtype=None).fit_transform(
        [hd.NetworkCase(classifier(module), far, Y)]
    )
    assert "rounding moves the net's outputs" in found.context["rounding"]
    near = hd.examine(classifier(Net().double()), X.astype("float64"), Y)
    for name in near.layer_names[1:]:
        expected = near[name].statistics["leverage_mean"]
        assert found[name].statistics["leverage_mean"] == pytest.approx(expected, rel=0.05)
    # The case is checked in the same way where there are several.
    cases = [hd.NetworkCase(classifier(module), far, Y, name=name) for name in "ab"]
    assert len(hd.LayerSpectra(dtype=None).fit_transform(cases)) == 2
