"""What a net is for, loss by loss: kind, error, best constant and null loss by closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import loss_at, problem_of
from scipy.optimize import minimize
from torch import nn

from hessdiag.examination._null_loss import null_loss
from hessdiag.examination._task import Task

N = 8
LOGITS = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 2, 1, 0, 0, 2, 0, 1])
SWITCHES = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
NUMBERS = torch.randn(N, 2, generator=torch.Generator().manual_seed(1))
COUNTS = torch.tensor([[0.0], [3.0], [1.0], [2.0], [2.0], [0.0], [5.0], [1.0]])


def entropy(shares):
    """The entropy of shares, in nats."""
    return -sum(p * math.log(p) for p in shares if p > 0)


def task_of(*args, **settings):
    problem = problem_of(*args, **settings)
    return problem, Task(problem)


def null_loss_of(problem, task):
    return null_loss(lambda z: loss_at(problem, z), task.constant_start(), N)


SHARES = [4 / 8, 2 / 8, 2 / 8]
VARIANCES = NUMBERS.double().var(dim=0, correction=0)

# name -> (outputs, y, criterion, settings; kind, best constant loss)
CASES = {
    "cross-entropy": (
        (LOGITS, CLASSES, nn.CrossEntropyLoss, {"kind": "classifier"}),
        ("classification", entropy(SHARES)),
    ),
    "cross-entropy, summed": (
        (LOGITS, CLASSES, nn.CrossEntropyLoss, {"criterion__reduction": "sum"}),
        ("classification", N * entropy(SHARES)),
    ),
    "cross-entropy, weighted": (
        (
            LOGITS,
            CLASSES,
            nn.CrossEntropyLoss,
            {"criterion__weight": torch.tensor([1.0, 2.0, 4.0])},
        ),
        # Shares of weight 4, 4 and 8, out of 16.
        ("classification", entropy([4 / 16, 4 / 16, 8 / 16])),
    ),
    "cross-entropy of probabilities": (
        (LOGITS, torch.eye(3)[CLASSES] * 0.7 + 0.1, nn.CrossEntropyLoss, {}),
        ("classification", entropy([0.1 + 0.7 * p for p in SHARES])),
    ),
    "softmax and likelihood": (
        (
            LOGITS,
            CLASSES,
            nn.NLLLoss,
            {"kind": "classifier", "ending": lambda z: z.softmax(1)},
        ),
        ("classification", entropy(SHARES)),
    ),
    "log-softmax and likelihood": (
        (LOGITS, CLASSES, nn.NLLLoss, {"ending": lambda z: z.log_softmax(1)}),
        ("classification", entropy(SHARES)),
    ),
    "binary logits": (
        (LOGITS[:, :1], SWITCHES[:, None], nn.BCEWithLogitsLoss, {}),
        ("binary", entropy([2 / 8, 6 / 8])),
    ),
    "binary classifier": (
        (LOGITS[:, 0], SWITCHES, nn.BCEWithLogitsLoss, {"kind": "binary"}),
        ("binary", entropy([2 / 8, 6 / 8])),
    ),
    "binary probabilities": (
        (LOGITS[:, :1], SWITCHES[:, None], nn.BCELoss, {"ending": torch.sigmoid}),
        ("binary", entropy([2 / 8, 6 / 8])),
    ),
    "squares": (
        (NUMBERS + 0.3, NUMBERS, nn.MSELoss, {"kind": "regressor"}),
        ("regression", float(VARIANCES.mean())),
    ),
    "squares, summed": (
        (NUMBERS + 0.3, NUMBERS, nn.MSELoss, {"criterion__reduction": "sum"}),
        ("regression", N * float(VARIANCES.sum())),
    ),
    "counts": (
        (LOGITS[:, :1], COUNTS, nn.PoissonNLLLoss, {}),
        # The mean count c = 1.75 is best: exp(log c) - c log c.
        ("regression", 1.75 - 1.75 * math.log(1.75)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_null_losses_are_closed_forms(name):
    (outputs, y, criterion, given_), (kind, expected) = CASES[name]
    problem, task = task_of(outputs, y, criterion, **given_)
    assert task.kind == kind
    assert null_loss_of(problem, task) == pytest.approx(expected, rel=1e-6)
    # No constant does better: neither the start, nor what is near the best.
    start = task.constant_start()
    assert float(loss_at(problem, start.expand(N, -1))) >= expected * (1 - 1e-9)


@pytest.mark.parametrize(
    ("outputs", "y", "criterion", "given_", "expected"),
    [
        (LOGITS, CLASSES, nn.CrossEntropyLoss, {}, np.log(SHARES)),
        (LOGITS[:, :1], SWITCHES[:, None], nn.BCEWithLogitsLoss, {}, [math.log(3)]),
        (LOGITS[:, :1], SWITCHES[:, None], nn.BCELoss, {"ending": torch.sigmoid}, [math.log(3)]),
        # Saturated, so that probabilities stay as they are.
        (SWITCHES[:, None], SWITCHES[:, None], nn.BCELoss, {}, [0.75]),
        (NUMBERS, NUMBERS, nn.MSELoss, {}, NUMBERS.mean(0).tolist()),
        (LOGITS[:, :1], COUNTS, nn.PoissonNLLLoss, {}, [math.log(1.75)]),
    ],
)
def test_the_best_constant_is_known_where_it_has_a_closed_form(
    outputs, y, criterion, given_, expected
):
    problem, task = task_of(outputs, y, criterion, **given_)
    start = task.constant_start()
    np.testing.assert_allclose(start, expected, rtol=1e-6)
    assert float(loss_at(problem, start.expand(N, -1))) == pytest.approx(
        null_loss_of(problem, task), rel=1e-9
    )


def test_absolute_errors_are_least_at_the_median():
    problem, task = task_of(COUNTS + 0.1, COUNTS, nn.L1Loss)
    assert task.kind == "regression"
    expected = (COUNTS - COUNTS.median()).abs().mean()
    assert null_loss_of(problem, task) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("criterion", [nn.HuberLoss, nn.SmoothL1Loss])
def test_losses_without_a_closed_form_are_minimized(criterion):
    y = NUMBERS[:, :1] * 3
    problem, task = task_of(y + 0.1, y, criterion)

    def loss(constant):
        return float(criterion()(torch.full((N, 1), float(constant[0])).double(), y.double()))

    expected = minimize(loss, [0.0], method="Nelder-Mead", options={"xatol": 1e-9}).fun
    assert null_loss_of(problem, task) == pytest.approx(expected, rel=1e-6)


def test_a_single_kind_of_target_needs_no_loss_at_all():
    problem, task = task_of(LOGITS, torch.zeros(N, dtype=torch.int64), nn.CrossEntropyLoss)
    assert null_loss_of(problem, task) == pytest.approx(0, abs=1e-6)
    problem, task = task_of(NUMBERS, torch.ones(N, 2), nn.MSELoss)
    assert null_loss_of(problem, task) == 0
    problem, task = task_of(LOGITS[:, :1], torch.ones(N, 1), nn.BCEWithLogitsLoss)
    assert null_loss_of(problem, task) == pytest.approx(0, abs=1e-6)


# outputs -> errors, by hand.
THREE = torch.tensor([[3.0, 1, 0], [0, 1, 2], [5, 4, 0], [0, 0, 1]]).double()
OF_THREE = torch.tensor([0, 2, 1, 0])
ONE = torch.tensor([[2.0], [-1.0], [0.5], [-3.0]]).double()
OF_ONE = torch.tensor([[1.0], [1.0], [0.0], [0.0]])


@pytest.mark.parametrize(
    ("outputs", "y", "criterion", "given_", "expected"),
    [
        (THREE, OF_THREE, nn.CrossEntropyLoss, {}, [0, 0, 1, 1]),
        (THREE, torch.eye(3)[OF_THREE], nn.CrossEntropyLoss, {}, [0, 0, 1, 1]),
        (ONE, OF_ONE, nn.BCEWithLogitsLoss, {}, [0, 1, 1, 0]),
        (ONE, 2 * OF_ONE - 1, nn.SoftMarginLoss, {}, [0, 1, 1, 0]),
        (ONE, OF_ONE, nn.BCELoss, {"ending": torch.sigmoid}, [0, 1, 1, 0]),
        (
            torch.cat([ONE, -ONE], dim=1),
            torch.cat([OF_ONE, OF_ONE], dim=1),
            nn.BCEWithLogitsLoss,
            {},
            [0.5, 0.5, 0.5, 0.5],
        ),
    ],
)
def test_errors_of_classes_are_shares_that_are_wrong(outputs, y, criterion, given_, expected):
    problem, task = task_of(outputs, y, criterion, **given_)
    z = problem.output_values.reshape(4, -1)
    assert task.errors(z).tolist() == expected


def test_errors_of_sequences_are_means_over_their_places():
    outputs = torch.eye(3)[torch.tensor([[0, 1, 2, 0], [1, 1, 1, 1]])].mT  # (2, classes, places)
    y = torch.tensor([[0, 1, 2, 2], [0, 1, 2, 0]])
    problem, task = task_of(outputs, y, nn.CrossEntropyLoss)
    assert task.kind == "classification"
    assert task.errors(problem.output_values.reshape(2, -1)).tolist() == [0.25, 0.75]


def test_errors_of_numbers_are_in_units_of_their_variance():
    problem, task = task_of(NUMBERS + 0.5, NUMBERS, nn.MSELoss)
    errors = task.errors(problem.output_values)
    expected = 2 * 0.25 / float(VARIANCES.sum())
    torch.testing.assert_close(errors, torch.full((N,), expected).double(), rtol=1e-5, atol=0)
    mean = NUMBERS.double().mean(0).expand(N, 2)
    assert float(task.errors(mean).mean()) == pytest.approx(1)
    # The net sends logarithms of counts.
    _, task = task_of(LOGITS[:, :1], COUNTS, nn.PoissonNLLLoss)
    errors = task.errors(COUNTS.double().clamp(min=1e-300).log())
    torch.testing.assert_close(errors, torch.zeros(N).double(), rtol=0, atol=1e-15)


@settings(deadline=None, max_examples=15)
@given(st.floats(0.01, 100), st.floats(-100, 100))
def test_errors_of_numbers_do_not_depend_on_units(scale, shift):
    outputs = NUMBERS.double() + LOGITS[:, :2].double()
    _, task = task_of(outputs, NUMBERS.double(), nn.MSELoss)
    _, other = task_of(outputs * scale + shift, NUMBERS.double() * scale + shift, nn.MSELoss)
    torch.testing.assert_close(
        other.errors(outputs * scale + shift), task.errors(outputs), rtol=1e-7, atol=1e-10
    )


@settings(deadline=None, max_examples=15)
@given(st.permutations(range(N)))
def test_order_of_samples_does_not_matter(order):
    order = list(order)
    problem, task = task_of(LOGITS, CLASSES, nn.CrossEntropyLoss)
    shuffled, other = task_of(LOGITS[order], CLASSES[order], nn.CrossEntropyLoss)
    assert null_loss_of(shuffled, other) == pytest.approx(null_loss_of(problem, task), rel=1e-9)
    z = LOGITS.double()
    assert torch.equal(other.errors(z[order]), task.errors(z)[order])


def test_targets_and_predictions_as_numbers():
    _, task = task_of(LOGITS, CLASSES, nn.CrossEntropyLoss)
    targets, predictions = task.in_target_space(LOGITS.double())
    assert torch.equal(targets, torch.eye(3).double()[CLASSES])
    torch.testing.assert_close(predictions, LOGITS.double().softmax(1))
    torch.testing.assert_close(task.centred_targets(), targets - torch.tensor(SHARES).double())
    torch.testing.assert_close(task.predictions(LOGITS[:2].double()), predictions[:2])

    _, task = task_of(ONE, 2 * OF_ONE - 1, nn.SoftMarginLoss)
    targets, predictions = task.in_target_space(ONE)
    assert torch.equal(targets, OF_ONE.double())
    torch.testing.assert_close(predictions, ONE.sigmoid())

    _, task = task_of(LOGITS[:, :1], COUNTS, nn.PoissonNLLLoss)
    targets, predictions = task.in_target_space(LOGITS[:, :1].double())
    assert torch.equal(targets, COUNTS.double())
    torch.testing.assert_close(predictions, LOGITS[:, :1].double().exp())

    _, task = task_of(COUNTS + 0.1, COUNTS, nn.PoissonNLLLoss, criterion__log_input=False)
    torch.testing.assert_close(task.predictions(COUNTS.double()), COUNTS.double())


@pytest.mark.parametrize(
    ("shape", "y", "criterion", "kind"),
    [
        # Nothing tells that this loss is about the targets.
        ((N, 3), CLASSES, "own", "unknown"),
        ((N, 1), CLASSES, "own", "unknown"),
        ((N, 3), torch.zeros(N, 3, dtype=torch.int64), "own", "regression"),
        ((N, 3), torch.zeros(N, 3), nn.MultiLabelSoftMarginLoss, "binary"),
        ((N, 3), torch.zeros(N, 3), nn.L1Loss, "regression"),
    ],
)
def test_kinds(shape, y, criterion, kind):
    class Own(nn.Module):
        def forward(self, outputs, y):
            return outputs.square().mean()

    criterion = Own if criterion == "own" else criterion
    assert task_of(torch.ones(shape), y, criterion)[1].kind == kind


def test_targets_that_are_no_numbers_beside_the_outputs():
    def get_loss(net, outputs, y, *args, **kwargs):
        return outputs.square().mean()

    _, task = task_of(NUMBERS, torch.ones(N, 5), nn.MSELoss, get_loss=get_loss)
    assert task.values is None
    assert task.constant_start() is None
    _, task = task_of(NUMBERS, {"a": torch.ones(N), "b": CLASSES}, nn.MSELoss, get_loss=get_loss)
    assert task.values is None


def test_ignored_targets_count_for_nothing():
    y = CLASSES.clone()
    y[:2] = -100
    problem, task = task_of(LOGITS, y, nn.CrossEntropyLoss)
    assert not task.values[:2].any()
    assert null_loss_of(problem, task) == pytest.approx(entropy([3 / 6, 2 / 6, 1 / 6]), rel=1e-6)
