"""The loss sample by sample: against samples one by one, for losses of all makes."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from dense_oracle import LOSSES, make_net, tabular_net
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import loss_at, problem_of
from skorch import NeuralNetRegressor
from torch import nn
from torch.nn import functional

from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.examination._pointwise_loss import PointwiseLoss

N = 6
OUTPUTS = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 2, 1, 0, 1, 2])
NUMBERS = torch.randn(N, 3, generator=torch.Generator().manual_seed(1))
WEIGHTS = torch.tensor([0.5, 1.0, 2.0])
# Where losses are asked for, other than at the outputs themselves.
ELSEWHERE = 0.7 * OUTPUTS.double() + 0.2


def own_rows(criterion, y):
    """Evaluate a criterion on rows one by one, each with its own target."""
    criterion = criterion.double()
    return torch.stack([criterion(z[None], t[None]) for z, t in zip(ELSEWHERE, y)])


@pytest.mark.parametrize(
    ("criterion", "y"),
    [
        (nn.CrossEntropyLoss, CLASSES),
        (nn.CrossEntropyLoss, NUMBERS.softmax(1)),
        (nn.MSELoss, NUMBERS),
        (nn.L1Loss, NUMBERS),
        (nn.HuberLoss, NUMBERS),
        (nn.BCEWithLogitsLoss, (NUMBERS > 0).float()),
        (nn.PoissonNLLLoss, NUMBERS.exp().round()),
        (nn.MultiLabelSoftMarginLoss, (NUMBERS > 0).float()),
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_criteria_of_torch(criterion, y, reduction):
    problem = problem_of(OUTPUTS, y, criterion, criterion__reduction=reduction)
    losses = PointwiseLoss(problem)
    assert losses.known
    assert losses.scale == (N if reduction == "mean" else 1)
    expected = own_rows(criterion(reduction=reduction), y.double() if y.is_floating_point() else y)
    torch.testing.assert_close(losses(ELSEWHERE), expected)
    torch.testing.assert_close(losses(ELSEWHERE).sum(), losses.scale * loss_at(problem, ELSEWHERE))
    assert problem.scalar.criterion.reduction == reduction


def test_sequences_are_means_over_their_places():
    """(N, classes, places), as of a net that labels every place."""
    outputs = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(2))
    y = torch.randint(3, (4, 5), generator=torch.Generator().manual_seed(3))
    losses = PointwiseLoss(problem_of(outputs, y, nn.CrossEntropyLoss))
    expected = functional.cross_entropy(outputs.double(), y, reduction="none").mean(1)
    torch.testing.assert_close(losses(outputs.double().flatten(1)), expected)


def test_weights_of_classes_are_those_of_a_sum():
    problem = problem_of(
        OUTPUTS,
        CLASSES,
        nn.CrossEntropyLoss,
        criterion__reduction="sum",
        criterion__weight=WEIGHTS,
    )
    losses = PointwiseLoss(problem)
    plain = functional.cross_entropy(ELSEWHERE, CLASSES, reduction="none")
    torch.testing.assert_close(losses(ELSEWHERE), WEIGHTS[CLASSES].double() * plain)
    assert losses.scale == 1


def test_a_weighted_mean_keeps_each_sample_s_share():
    """Torch divides by the sum of weights, not by N: the shares add up to the loss all the same."""
    problem = problem_of(OUTPUTS, CLASSES, nn.CrossEntropyLoss, criterion__weight=WEIGHTS)
    losses = PointwiseLoss(problem)
    assert losses.scale == N
    weights = WEIGHTS[CLASSES].double()
    plain = functional.cross_entropy(ELSEWHERE, CLASSES, reduction="none")
    torch.testing.assert_close(losses(ELSEWHERE), N * weights * plain / weights.sum())


Kinds = namedtuple("Kinds", ["numbers", "classes"])


@pytest.mark.parametrize("form", [dict, list, tuple, Kinds])
@pytest.mark.parametrize("mean", [True, False])
def test_losses_of_one_s_own_with_targets_in_a_tree(form, mean):
    def parts(outputs, y):
        numbers, classes = y.values() if isinstance(y, dict) else y
        squares = (outputs - numbers).square().sum(1)
        return squares + functional.cross_entropy(outputs, classes, reduction="none")

    def get_loss(net, outputs, y, *args, **kwargs):
        return parts(outputs, y).mean() if mean else parts(outputs, y).sum()

    class Trees(torch.utils.data.Dataset):
        def __len__(self):
            return N

        def __getitem__(self, i):
            return OUTPUTS[i], make(NUMBERS[i], CLASSES[i])

    def make(numbers, classes):
        if form is dict:
            return {"numbers": numbers, "classes": classes}
        return Kinds(numbers, classes) if form is Kinds else form([numbers, classes])

    losses = PointwiseLoss(problem_of(Trees(), None, nn.MSELoss, get_loss=get_loss))
    assert losses.known
    assert losses.scale == (N if mean else 1)
    expected = parts(ELSEWHERE, make(NUMBERS.double(), CLASSES))
    torch.testing.assert_close(losses(ELSEWHERE), expected)


def test_losses_that_ask_for_the_inputs_are_taken_one_by_one():
    def get_loss(net, outputs, y, X=None, **kwargs):
        return (X.double().sum(1) * (outputs - y).square().sum(1)).mean()

    losses = PointwiseLoss(problem_of(OUTPUTS, NUMBERS, nn.MSELoss, get_loss=get_loss))
    expected = OUTPUTS.double().sum(1) * (ELSEWHERE - NUMBERS.double()).square().sum(1)
    torch.testing.assert_close(losses(ELSEWHERE), expected)


def test_losses_that_decide_by_numbers_are_taken_one_by_one():
    def get_loss(net, outputs, y, *args, **kwargs):
        rows = [
            (z - t).abs().sum() if float(t.sum()) > 0 else z.exp().sum() for z, t in zip(outputs, y)
        ]
        return sum(rows) / len(rows)

    losses = PointwiseLoss(problem_of(OUTPUTS, NUMBERS, nn.MSELoss, get_loss=get_loss))
    y = NUMBERS.double()
    expected = torch.where(y.sum(1) > 0, (ELSEWHERE - y).abs().sum(1), ELSEWHERE.exp().sum(1))
    torch.testing.assert_close(losses(ELSEWHERE), expected)


def test_a_penalty_that_is_the_same_for_all_counts_once_per_sample():
    """As of weights: a mean of losses, each with the penalty, has it once."""

    def get_loss(net, outputs, y, *args, **kwargs):
        return (outputs - y).square().sum(1).mean() + 0.3

    losses = PointwiseLoss(problem_of(OUTPUTS, NUMBERS, nn.MSELoss, get_loss=get_loss))
    expected = (ELSEWHERE - NUMBERS.double()).square().sum(1) + 0.3
    torch.testing.assert_close(losses(ELSEWHERE), expected)


@pytest.mark.parametrize(
    "get_loss",
    [
        lambda net, outputs, y, *args, **kwargs: (outputs - y).square().mean().sqrt(),
        lambda net, outputs, y, *args, **kwargs: (outputs - y).square().sum() + 0.3,
    ],
    ids=["root of a mean", "sum with a penalty"],
)
def test_losses_that_are_no_sums_over_samples_are_not_known(get_loss):
    assert not PointwiseLoss(problem_of(OUTPUTS, NUMBERS, nn.MSELoss, get_loss=get_loss)).known


@settings(deadline=None, max_examples=15)
@given(st.integers(0, N - 1), st.floats(-2, 2))
def test_each_loss_is_of_its_own_sample_alone(n, change):
    losses = PointwiseLoss(problem_of(OUTPUTS, CLASSES, nn.CrossEntropyLoss))
    moved = ELSEWHERE.clone()
    moved[n] += change * torch.arange(3.0)
    before, after = losses(ELSEWHERE), losses(moved)
    others = torch.arange(N) != n
    assert torch.equal(before[others], after[others])
    torch.testing.assert_close(
        after[n], functional.cross_entropy(moved[n], CLASSES[n]), rtol=1e-9, atol=1e-12
    )


def test_it_may_be_differentiated():
    losses = PointwiseLoss(problem_of(OUTPUTS, CLASSES, nn.CrossEntropyLoss))
    z = ELSEWHERE.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(losses(z).sum(), z)
    torch.testing.assert_close(gradient, z.detach().softmax(1) - torch.eye(3).double()[CLASSES])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("way", ["_unreduced", "_mapped", "_looped"])
def test_pointwise_losses_make_up_the_loss(loss, reduction, way, monkeypatch):
    for other in {"_unreduced", "_mapped", "_looped"} - {way}:
        monkeypatch.setattr(PointwiseLoss, other, None)
    net, X, y = make_net("gelu", loss, reduction)
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float64")
        losses = PointwiseLoss(problem)
        if loss == "cross_entropy_weighted" and way != "_unreduced" and reduction == "mean":
            assert not losses.known  # the weights of a mean are those of all samples together
            return
        z = problem.outputs.outputs + 0.3
        found = losses(z)
        assert found.shape == (9,)
        assert losses.scale == (9 if reduction == "mean" else 1)
        torch.testing.assert_close(found.sum(), problem.output_function(z) * losses.scale)
        assert net.criterion_.reduction == reduction
        # Each is a function of its own sample only.
        z[0] += 1.0
        assert torch.equal(losses(z)[1:], found[1:])


def test_losses_that_cannot_be_taken_apart_are_said_so():
    class Logged(NeuralNetRegressor):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            return torch.log1p(((y_pred - y_true) ** 2).mean())

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(6, 3)).astype("float32"), rng.normal(size=(6, 1)).astype("float32")
    net = tabular_net(nn.Linear(3, 1), Logged)
    with untouched_surroundings():
        assert not PointwiseLoss(prepare(net, X, y)).known
