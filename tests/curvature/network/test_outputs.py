"""Output Hessians, and links against closed forms."""

import pytest
import torch
from dense_oracle import make_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.curvature.network._links import find_link
from hessdiag.curvature.network._outputs import (
    NotSeparableError,
    check_uncoupled_scalar,
    output_curvature,
)


def test_cross_entropy_has_rank_one_less_than_classes():
    z, y = torch.randn(7, 4).double(), torch.randint(4, (7,))
    found = output_curvature(lambda z: nn.functional.cross_entropy(z, y), z)
    p = torch.softmax(z, 1)
    expected = (torch.diag_embed(p) - p[:, :, None] * p[:, None]) / 7
    torch.testing.assert_close(found.hessians, expected)
    torch.testing.assert_close(found.residuals, (p - nn.functional.one_hot(y, 4)) / 7)
    assert found.rank == 3
    assert found.convex
    torch.testing.assert_close(found.factors @ found.factors.mT, expected)


def test_saturated_samples_do_not_raise_the_rank():
    z = torch.randn(50, 3).double() * 20
    found = output_curvature(lambda z: torch.logsumexp(z, 1).sum(), z)
    assert found.rank == 2
    torch.testing.assert_close(found.factors @ found.factors.mT, found.hessians)


def test_indefinite_losses_keep_their_signs():
    z = torch.randn(6, 2).double()
    found = output_curvature(lambda z: (z[:, 0] * z[:, 1]).sum(), z)
    rebuilt = (found.factors * found.signs[:, None]) @ found.factors.mT
    torch.testing.assert_close(
        rebuilt, torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double().expand(6, 2, 2)
    )
    assert not found.convex


@pytest.mark.parametrize(
    "scalar", [lambda z: z.sum(), lambda z: z.abs().sum(), lambda z: torch.ones(())]
)
def test_losses_without_curvature(scalar):
    found = output_curvature(scalar, torch.randn(4, 2))
    assert found.hessians.abs().max() == 0
    assert found.factors.shape == (4, 2, 1)


def test_coupled_samples_are_refused():
    with pytest.raises(NotSeparableError, match="couples"):
        output_curvature(lambda z: z.sum() ** 2, torch.randn(4, 2))
    with pytest.raises(NotSeparableError, match="too large"):
        output_curvature(lambda z: z.sum(), torch.zeros(2, 10_000))


def test_rounding_of_saturated_outputs_couples_nothing():
    # What curvature is left is about the rounding error of the gradient.
    for seed in range(20):
        rng = torch.Generator().manual_seed(seed)
        order = torch.stack([torch.randperm(3, generator=rng) for _ in range(40)])
        gaps = 35 + 5 * torch.rand(40, 1, generator=rng, dtype=torch.float64)
        outputs = gaps * order + 1e3 * torch.randn(40, 1, generator=rng, dtype=torch.float64)
        y = torch.randint(3, (40,), generator=rng)
        found = output_curvature(lambda z, y=y: nn.functional.cross_entropy(z, y), outputs)
        assert found.hessians.abs().max() < 1e-14


def test_sure_samples_couple_nothing():
    """Of derivatives that are all rounding, none has to do with other samples."""
    for seed in range(10):
        z = 800 * torch.randn(40, 5, generator=torch.Generator().manual_seed(seed)).double()
        y = z.argmax(dim=1)
        check_uncoupled_scalar(lambda z, y=y: nn.functional.cross_entropy(z, y), z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_of_coarser_precision_couple_nothing(dtype):
    for seed in range(10):
        rng = torch.Generator().manual_seed(seed)
        z = 20 * torch.randn(60, 3, generator=rng, dtype=torch.float64)
        y = torch.randint(3, (60,), generator=rng)

        def loss(z, y=y):
            return nn.functional.cross_entropy(z.to(dtype), y).double()

        precision, gradient = check_uncoupled_scalar(loss, z)
        assert precision == dtype
        expected = (torch.softmax(z, 1) - nn.functional.one_hot(y, 3)) / 60
        assert (gradient - expected).norm() < 10 * torch.finfo(dtype).eps * expected.norm()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_coupled_samples_are_noticed_beside_others_that_weigh_more(dtype):
    z = torch.randn(20, 3).double()

    def loss(z):
        few, many = z[:4].to(dtype), z[4:].to(dtype)
        return 1e9 * few.square().sum() + many.mean(dim=0).square().sum()

    with pytest.raises(NotSeparableError, match="couples"):
        check_uncoupled_scalar(loss, z)


def test_links_are_chosen_only_where_outputs_are_what_they_seem():
    p = torch.softmax(torch.randn(5, 3), 1)
    assert find_link(nn.NLLLoss(), p, True).name == "log"
    assert find_link(nn.NLLLoss(), p.log(), False).name == "log_softmax"
    assert find_link(nn.NLLLoss(), torch.randn(5, 3), True).name == "identity"
    assert find_link(nn.NLLLoss(), p, False).name == "identity"
    assert find_link(nn.CrossEntropyLoss(), p, False).name == "identity"
    assert find_link(nn.BCELoss(), p[:, :1], False).name == "logit"
    assert find_link(nn.BCELoss(), torch.ones(5, 1), False).name == "identity"


def test_criterion_keeps_its_precision():
    net, X, y = make_net("relu", "cross_entropy_weighted")
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float32")
        assert problem.outputs.hessians.dtype == torch.float64
        assert problem.scalar.criterion.weight.dtype == torch.float32
    assert isinstance(net, NeuralNetClassifier)
