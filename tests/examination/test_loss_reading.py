"""Whether outputs are what a loss compares with the targets: errors counted by hand, or none."""

import math

import numpy as np
import pytest
import torch
from problems import problem_of
from skorch import NeuralNet
from torch import nn
from torch.nn import functional

import hessdiag as hd
from hessdiag.examination._task import Task

N = 24
GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(shape, generator=GENERATOR)


Z3, Z1, Z2 = normal(N, 3), normal(N, 1), normal(N, 2)
Y = torch.randint(0, 3, (N,), generator=GENERATOR)
Y2 = Y % 2
HOT = torch.eye(3)[Y]
YES = (normal(N, 1) > 0).float()
MANY = (normal(N, 3) > 0).float()
SIGNS = 2 * YES - 1
R2, R1 = normal(N, 2), normal(N, 1)
POSITIVE = R2.abs() + 0.5
SHARES = torch.softmax(normal(N, 3), 1)
HEAD = torch.linalg.qr(normal(3, 3))[0]
# Near enough to the identity that it often has the same order.
NEAR = torch.eye(3) + 0.3 * normal(3, 3)

WRONG = float((Z3.argmax(1) != Y).double().mean())
NO_SIGN = float(((Z1 > 0) != (YES > 0)).double().mean())
MANY_WRONG = float(((Z3 > 0) != (MANY > 0)).double().mean())
TOTAL = float(R2.double().var(dim=0, correction=0).sum())
SQUARES = float((Z2 - R2).double().square().sum(1).mean()) / TOTAL


def cross_entropy_by_hand(o, t):
    return -o.log_softmax(1).gather(1, t[:, None]).mean()


def focal(o, t):
    losses = functional.cross_entropy(o, t, reduction="none")
    return ((1 - (-losses).exp()) ** 2 * losses).mean()


def with_margin(o, t):
    return functional.cross_entropy(10 * (o - 0.3 * functional.one_hot(t, o.shape[1])), t)


def by_arc(o, t):
    cosines = torch.tanh(o) * 0.99
    at = torch.cos(torch.arccos(cosines) + 0.2)
    return functional.cross_entropy(5 * torch.where(functional.one_hot(t, 3) > 0, at, cosines), t)


def triplets(o, t):
    squares = ((o[:, None] - o[None]) ** 2).sum(2)
    same = t[:, None] == t[None]
    far, near = (squares * same).max(1).values, (squares + 1e3 * ~same).min(1).values
    return functional.relu(far - near + 0.3).mean()


def mixup(o, t):
    first, second = (functional.cross_entropy(o, t[:, i].long(), reduction="none") for i in (0, 1))
    return (t[:, 2] * first + (1 - t[:, 2]) * second).mean()


def pairwise(o, t):
    return functional.relu(1 - (o[t > 0][:, None] - o[t <= 0][None])).mean()


def correlation(o, t):
    o, t = o - o.mean(0), t - t.mean(0)
    return (1 - (o * t).sum(0) / (o.norm(dim=0) * t.norm(dim=0) + 1e-9)).mean()


def likelihood_of_switches(o, t):
    return -(t * o.clamp(1e-7).log() + (1 - t) * (1 - o).clamp(1e-7).log()).mean()


class Headed(nn.Module):
    """Has weights of its own between outputs and classes."""

    def __init__(self, loss=functional.cross_entropy, weight=HEAD):
        super().__init__()
        self.loss, self.weight = loss, nn.Parameter(weight.clone())

    def forward(self, o, t):
        return self.loss(o @ self.weight.to(o.dtype), t)


class HeadedKnown(nn.CrossEntropyLoss):
    """One of torch's own by its class, and another by what it does."""

    def forward(self, o, t):
        return super().forward(o @ HEAD.to(o.dtype), t)


class Standardized(nn.MSELoss):
    """Compares outputs with targets in other units."""

    def forward(self, o, t):
        return super().forward(o, (t - 1.0) / 2.0)


class Tempered(nn.Module):
    """Learns how sharp probabilities are: the order of classes is that of the outputs."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, o, t):
        return functional.cross_entropy(self.scale * o, t)


class Proxies(nn.Module):
    """Compares directions with those of its own weights."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(normal(3, 3))

    def forward(self, o, t):
        directions = functional.normalize(self.weight.to(o.dtype), dim=1)
        return functional.cross_entropy(10 * functional.normalize(o, dim=1) @ directions.T, t)


UNKNOWN = ("unknown", math.nan)
CLASSES, TWO = ("classification", WRONG), float((Z2.argmax(1) != Y2).double().mean())
BINARY, NUMBERS = ("binary", NO_SIGN), ("regression", SQUARES)

# name -> outputs, targets, loss, (task, error)
LOSSES = {
    # Classes that the outputs are compared with.
    "cross-entropy, called": (Z3, Y, lambda o, t: functional.cross_entropy(o, t), CLASSES),
    "of a view": (Z3, Y, lambda o, t: functional.cross_entropy(o.view(-1, 3, 1), t[:, None]), None),
    "cast": (Z3, Y, lambda o, t: functional.cross_entropy(o.float(), t), CLASSES),
    "tempered": (Z3, Y, lambda o, t: functional.cross_entropy(o / 0.3, t), CLASSES),
    "a temperature that is learned": (Z3, Y, Tempered(), CLASSES),
    "log-softmax first": (Z3, Y, lambda o, t: functional.nll_loss(o.log_softmax(1), t), CLASSES),
    "smoothed": (
        Z3,
        Y,
        lambda o, t: functional.cross_entropy(o, t, label_smoothing=0.2),
        CLASSES,
    ),
    "focal": (Z3, Y, focal, CLASSES),
    "by hand": (Z3, Y, cross_entropy_by_hand, CLASSES),
    "classes against squares": (
        Z3,
        Y,
        lambda o, t: (o.softmax(1) - functional.one_hot(t, 3)).square().mean(),
        CLASSES,
    ),
    "margin": (Z3, Y, with_margin, CLASSES),
    "margin of two": (Z2, Y2, with_margin, ("classification", TWO)),
    "margin of an arc": (Z3, Y, by_arc, CLASSES),
    "margins by hand": (
        Z3,
        Y,
        lambda o, t: functional.relu(1 + o - o.gather(1, t[:, None])).mean(),
        CLASSES,
    ),
    "shares by hand": (Z3, HOT, lambda o, t: -(t * o.log_softmax(1)).sum(1).mean(), CLASSES),
    "shares, called": (Z3, HOT, lambda o, t: functional.cross_entropy(o, t), CLASSES),
    "with a penalty of the outputs": (
        Z3,
        Y,
        lambda o, t: functional.cross_entropy(o, t) + 1e-3 * o.square().mean(),
        CLASSES,
    ),
    "the hardest alone": (
        Z3,
        Y,
        lambda o, t: functional.cross_entropy(o, t, reduction="none").topk(5).values.mean(),
        CLASSES,
    ),
    "a class that is masked": (
        Z3,
        Y,
        lambda o, t: (functional.cross_entropy(o, t, reduction="none") * (t > 0)).mean(),
        ("classification", float((Z3.argmax(1) != Y)[Y > 0].double().mean())),
    ),
    # Something lies in between, or other targets are meant.
    "head": (Z3, Y, Headed(), UNKNOWN),
    "head near the identity": (Z3, Y, Headed(weight=NEAR), UNKNOWN),
    "head by hand": (Z3, Y, Headed(cross_entropy_by_hand), UNKNOWN),
    "head near the identity by hand": (Z3, Y, Headed(cross_entropy_by_hand, NEAR), UNKNOWN),
    "head in a closure": (
        Z3,
        Y,
        lambda o, t: functional.cross_entropy(o @ HEAD.to(o.dtype), t),
        UNKNOWN,
    ),
    "head in a class of torch's": (Z3, Y, HeadedKnown(), UNKNOWN),
    "proxies": (Z3, Y, Proxies(), UNKNOWN),
    "mixed": (Z3, torch.stack([Y, Y.roll(1), torch.rand(N)], 1), mixup, UNKNOWN),
    "classes from one on": (
        Z3,
        Y2 + 1,
        lambda o, t: functional.cross_entropy(o, t - 1),
        UNKNOWN,
    ),
    "two heads at once": (
        normal(N, 6),
        Y,
        lambda o, t: functional.cross_entropy(o[:, :3], t) + functional.cross_entropy(o[:, 3:], t),
        UNKNOWN,
    ),
    "does not read y": (Z3, Y, lambda o, t: ((o**2).sum(1) - 1).pow(2).mean(), UNKNOWN),
    "reads y of nothing": (Z3, Y, lambda o, t: o.square().mean() + 0 * t.sum(), UNKNOWN),
    "triplets": (Z3, Y, triplets, UNKNOWN),
    "away from classes": (Z3, Y, lambda o, t: -functional.cross_entropy(o, t.flip(0)), UNKNOWN),
    "thresholds in order": (
        Z3,
        Y,
        lambda o, t: functional.binary_cross_entropy_with_logits(
            o, (t[:, None] >= torch.arange(3)).to(o.dtype)
        ),
        UNKNOWN,
    ),
    "classes in the last axis": (
        normal(N, 3, 3),
        torch.randint(0, 3, (N, 3)),
        lambda o, t: functional.cross_entropy(o.reshape(-1, 3), t.reshape(-1)),
        UNKNOWN,
    ),
    # A yes and a no.
    "hinge": (Z1, SIGNS, lambda o, t: functional.relu(1 - o * t).mean(), BINARY),
    "squared hinge": (Z1, SIGNS, lambda o, t: functional.relu(1 - o * t).square().mean(), BINARY),
    "hinge, whole numbers": (
        Z1,
        SIGNS.long(),
        lambda o, t: functional.relu(1 - o * t).mean(),
        BINARY,
    ),
    "logistic by hand": (Z1, SIGNS, lambda o, t: functional.softplus(-o * t).mean(), BINARY),
    "exponential": (Z1, SIGNS, lambda o, t: (-o * t).exp().mean(), BINARY),
    "weighted by hand": (
        Z1,
        YES,
        lambda o, t: (functional.softplus(o) - t * o).mul(1 + 3 * t).mean(),
        BINARY,
    ),
    "signs for shares": (
        Z1,
        SIGNS,
        lambda o, t: functional.binary_cross_entropy_with_logits(o, (t + 1) / 2),
        BINARY,
    ),
    "several by hand": (
        Z3,
        MANY,
        lambda o, t: (functional.softplus(o) - t * o).mean(),
        ("binary", MANY_WRONG),
    ),
    "probabilities by hand": (
        Z1.sigmoid(),
        YES,
        likelihood_of_switches,
        BINARY,
    ),
    "soft yes": (
        Z1,
        0.1 + 0.3 * YES,
        lambda o, t: functional.binary_cross_entropy_with_logits(o, t),
        ("binary", float((Z1 > 0).double().mean())),
    ),
    "hinge about three": (Z1, SIGNS, lambda o, t: functional.relu(1 - (o - 3) * t).mean(), UNKNOWN),
    "logits less a bias": (
        Z1,
        YES,
        lambda o, t: functional.binary_cross_entropy_with_logits(o - 1, t),
        UNKNOWN,
    ),
    "no for yes": (
        Z1,
        YES,
        lambda o, t: functional.binary_cross_entropy_with_logits(o, 1 - t),
        UNKNOWN,
    ),
    "pairs in order": (Z1, SIGNS, pairwise, UNKNOWN),
    "pairs in order, far apart": (Z1, SIGNS, lambda o, t: 9 * pairwise(o / 9, t), UNKNOWN),
    "some are left out": (
        Z3,
        MANY,
        lambda o, t: functional.binary_cross_entropy_with_logits(o[:, 1:], t[:, 1:]) + 0 * o.sum(),
        UNKNOWN,
    ),
    # Numbers.
    "squares": (Z2, R2, lambda o, t: (o - t).square().mean(), NUMBERS),
    "root of squares": (Z2, R2, lambda o, t: (o - t).square().mean().sqrt(), NUMBERS),
    "logarithm of cosh": (Z2, R2, lambda o, t: (o - t).cosh().log().mean(), NUMBERS),
    "lengths": (Z2, R2, lambda o, t: (o - t).norm(dim=1).mean(), NUMBERS),
    "flat within a tube": (
        Z2,
        R2,
        lambda o, t: functional.relu((o - t).abs() - 0.05).mean(),
        NUMBERS,
    ),
    "squares, weighed": (
        Z2,
        R2,
        lambda o, t: ((o - t).square() * torch.linspace(0.1, 2, N)[:, None]).mean(),
        NUMBERS,
    ),
    "relative": (
        POSITIVE + 0.1 * Z2,
        POSITIVE,
        lambda o, t: ((o - t) / t).square().mean(),
        (
            "regression",
            float((0.1 * Z2).double().square().sum(1).mean())
            / float(POSITIVE.double().var(dim=0, correction=0).sum()),
        ),
    ),
    "cosine": (Z2, R2, lambda o, t: (1 - functional.cosine_similarity(o, t)).mean(), UNKNOWN),
    "correlation": (Z2, R2, correlation, UNKNOWN),
    "up to a constant": (Z2, R2, lambda o, t: ((o - t) - (o - t).mean()).square().mean(), UNKNOWN),
    "up to a constant of each": (
        Z3,
        normal(N, 3),
        lambda o, t: ((o - t) - (o - t).mean(1, keepdim=True)).square().mean(),
        UNKNOWN,
    ),
    "up to a constant of each output": (
        Z3,
        normal(N, 3),
        lambda o, t: ((o - t) - (o - t).mean(0)).square().mean(),
        UNKNOWN,
    ),
    "other units": (Z2, R2, Standardized(), UNKNOWN),
    "logarithms of numbers": (
        Z2,
        POSITIVE,
        lambda o, t: functional.mse_loss(o.exp(), t),
        UNKNOWN,
    ),
    "logarithms of shares": (
        Z3,
        SHARES.log(),
        lambda o, t: functional.kl_div(o.log_softmax(1), t, log_target=True, reduction="batchmean"),
        UNKNOWN,
    ),
    "does not read numbers": (Z2, R2, lambda o, t: o.square().mean(), UNKNOWN),
}


class Called(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, o, t):
        return self.function(o, t)


@pytest.mark.parametrize("name", LOSSES)
def test_an_error_is_one_of_outputs_that_the_loss_compares_with_targets(name):
    outputs, y, loss, due = LOSSES[name]
    if isinstance(loss, nn.Module):
        problem = problem_of(outputs, y, type(loss), get_loss=_by(loss))
    else:
        problem = problem_of(outputs, y, Called, criterion__function=loss)
    scalar_at = problem.output_function or problem.seen
    task = Task(problem, scalar_at)
    kind, error = due or CLASSES
    assert task.kind == kind
    found = float(task.errors(scalar_at.values.reshape(N, -1)).mean())
    np.testing.assert_allclose(found, error, rtol=1e-5)


def _by(loss):
    """Return a net's loss that is this one, whatever else the net has."""

    def get_loss(net, outputs, y, *args, **kwargs):
        loss.to(outputs.dtype)
        return loss(outputs, y)

    return get_loss


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_what_a_loss_is_blind_to_changes_no_answer(scale):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    with torch.no_grad():
        for parameter in module[2].parameters():
            parameter *= scale
    case = hd.NetworkCase.from_module(
        module, normal(N, 4), R2, loss=lambda o, t: (1 - functional.cosine_similarity(o, t)).mean()
    )
    context = hd.examine(case.net, case.X, case.y).context
    assert context["task"] == "unknown"
    assert math.isnan(context["error"])


def test_a_head_in_the_criterion_is_trained_without_an_error_of_its_own():
    torch.manual_seed(0)
    body, head = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), Headed()
    X = normal(N, 4)
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], 0.05)
    for _ in range(50):
        optimizer.zero_grad()
        head(body(X), Y).backward()
        optimizer.step()
    net = NeuralNet(body, criterion=head, train_split=None, verbose=0).initialize()
    context = hd.examine(net, X, Y).context
    assert context["task"] == "unknown"
    assert math.isnan(context["error"])
    assert context["loss"] == pytest.approx(float(head(body(X), Y).detach()), rel=1e-4)
