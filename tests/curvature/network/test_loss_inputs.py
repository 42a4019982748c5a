"""What losses are given is looked at, and let pass where it suits them."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from hessdiag.curvature.network._loss_inputs import LossInputError, LossInputs

N = 6
Z = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
COLUMN = Z[:, :1].contiguous()
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2])


def look(loss, outputs, y):
    leaf = outputs.clone().requires_grad_(True)
    with LossInputs(leaf, y) as given:
        loss(leaf, y)
    return given


def gaussian(outputs, y):
    return functional.gaussian_nll_loss(outputs, y, torch.ones(N, 1))


def alignments(outputs, y):
    one = torch.ones(1, dtype=torch.int64)
    return functional.ctc_loss(outputs[:, None], y[None, :1] + 1, N * one, one)


def quantiles(outputs, y):
    errors = y - outputs
    levels = torch.tensor([0.1, 0.5, 0.9])
    return torch.maximum(levels * errors, (levels - 1) * errors).mean()


@pytest.mark.parametrize(
    ("loss", "outputs", "y"),
    [
        (nn.MSELoss(), COLUMN, torch.zeros(N, 1)),
        # Targets are given to each of several outputs on purpose.
        (quantiles, Z, torch.zeros(N, 1)),
        # The net's own outputs are stretched on purpose.
        (lambda o, y: (o.expand_as(y) - y).square().mean(), COLUMN, torch.zeros(N, 2)),
        (lambda o, y: (o.squeeze(1) - y).square().mean(), COLUMN, torch.zeros(N)),
        (lambda o, y: (o - o.mean(0) - 1.0 + y).sum(), COLUMN, torch.zeros(N, 1)),
        (nn.CrossEntropyLoss(), Z, CLASSES),
        (nn.CrossEntropyLoss(ignore_index=7), Z, torch.where(CLASSES == 1, 7, CLASSES)),
        (nn.CrossEntropyLoss(), Z, torch.eye(3)[CLASSES]),
        (nn.CrossEntropyLoss(), Z, torch.eye(3)[CLASSES] * (CLASSES > 0)[:, None]),
        (nn.CrossEntropyLoss(), Z.T.reshape(2, 3, 3), torch.zeros(2, 3, dtype=torch.int64)),
        (nn.NLLLoss(), Z.log_softmax(1), CLASSES),
        (lambda o, y: functional.nll_loss(o.log_softmax(1), y), Z, CLASSES),
        (lambda o, y: functional.nll_loss(torch.log(o), y), Z.softmax(1), CLASSES),
        (nn.KLDivLoss(reduction="sum"), Z.log_softmax(1), Z.softmax(1)),
        (nn.KLDivLoss(reduction="sum", log_target=True), Z.log_softmax(1), Z.log_softmax(1)),
        (nn.SoftMarginLoss(), COLUMN, COLUMN.sign()),
        (nn.HingeEmbeddingLoss(), COLUMN.abs(), COLUMN.sign()),
        (nn.PoissonNLLLoss(), COLUMN, torch.ones(N, 1)),
        (nn.BCELoss(), COLUMN.sigmoid(), torch.full((N, 1), 0.3)),
        (nn.MultiMarginLoss(), Z, CLASSES),
        (nn.L1Loss(), torch.tensor(2.0), torch.tensor(1.0)),
    ],
)
def test_what_suits_a_loss_passes(loss, outputs, y):
    look(loss, outputs, y)


@pytest.mark.parametrize(
    ("loss", "outputs", "y", "words"),
    [
        (nn.MSELoss(), COLUMN, torch.zeros(N), r"\(6, 1\) with targets \(6,\).*\(6, 6\)"),
        (gaussian, COLUMN, torch.zeros(N), "GaussianNLLLoss"),
        (quantiles, Z[:3], torch.zeros(3), r"\(3, 3\) with targets \(3,\)"),
        (lambda o, y: (y - o).abs().mean(), COLUMN, torch.zeros(N), "the loss"),
        (lambda o, y: torch.div(o, y).mean(), COLUMN, torch.ones(N), "the loss"),
        (lambda o, y: (o - y.double()).mean(), COLUMN, torch.ones(N), "the loss"),
        (nn.KLDivLoss(), Z.log_softmax(1), -Z.softmax(1), "probabilities as targets"),
        (alignments, Z, CLASSES, "CTCLoss"),
    ],
)
def test_what_does_not_suit_is_refused(loss, outputs, y, words):
    with pytest.raises(LossInputError, match=words):
        look(loss, outputs, y)


def test_what_is_called_is_known():
    given = look(nn.CrossEntropyLoss(ignore_index=1), Z, CLASSES)
    assert given.functions == ["cross_entropy"]
    assert given.ignore_index == 1
    given = look(lambda o, y: o.square().mean(), Z, CLASSES)
    assert given.functions == []
    assert given.ignore_index is None
