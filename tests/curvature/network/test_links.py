"""Nets that end in probabilities: the loss in the link's coordinates is that of the logits."""

import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn import functional

from hessdiag.curvature.network import find_link

TARGETS = torch.tensor([0, 2, 1, 2, 0])
SWITCHES = torch.tensor([[1.0], [0.0], [1.0], [1.0], [0.0]]).double()
# Its loss takes the logarithm of probabilities itself.
NET = NeuralNetClassifier(nn.Linear(1, 1), criterion=nn.NLLLoss).initialize()

CASES = {
    "log": (
        nn.NLLLoss(),
        True,
        lambda z: z.softmax(1),
        lambda p: NET.get_loss(p, TARGETS),
        3,
    ),
    "log_softmax": (
        nn.NLLLoss(),
        False,
        lambda z: z.log_softmax(1),
        lambda p: functional.nll_loss(p, TARGETS),
        3,
    ),
    "logit": (
        nn.BCELoss(),
        False,
        torch.sigmoid,
        lambda p: functional.binary_cross_entropy(p, SWITCHES),
        1,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_loss_gradient_and_hessian_are_those_of_logits(name):
    criterion, takes_log, squash, loss, n_outputs = CASES[name]
    logits = torch.randn(5, n_outputs, dtype=torch.float64)
    outputs = squash(logits)
    link = find_link(criterion, outputs, takes_log)
    assert link.name == name
    z = link.forward(outputs)
    torch.testing.assert_close(link.inverse(z), outputs, rtol=1e-10, atol=1e-12)

    def by_link(z):
        return loss(link.inverse(z))

    def by_logits(z):
        if n_outputs == 1:
            return functional.binary_cross_entropy_with_logits(z, SWITCHES)
        return functional.cross_entropy(z, TARGETS)

    # Logits are known up to a constant of each sample, which changes neither.
    for differentiate in (torch.func.grad, lambda f: torch.func.jacrev(torch.func.grad(f))):
        found, expected = differentiate(by_link)(z), differentiate(by_logits)(logits)
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(by_link(z), by_logits(logits), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 3, 5), (4, 3, 2, 2)])
def test_classes_stand_in_the_second_axis(shape):
    p = torch.randn(shape, dtype=torch.float64).softmax(1)
    link = find_link(nn.NLLLoss(), p, True)
    assert link.name == "log"
    torch.testing.assert_close(link.inverse(link.forward(p)), p)
    assert find_link(nn.NLLLoss(), p.movedim(1, -1), True).name == "identity"


@pytest.mark.parametrize(
    ("criterion", "outputs"),
    [
        (nn.NLLLoss(), torch.tensor([[0.4, 0.4]])),  # sums to less than one
        (nn.NLLLoss(), torch.tensor([[1.5, -0.5]])),  # no probability
        (nn.NLLLoss(), torch.tensor([0.4, 0.6])),  # one sample without an axis
        (nn.NLLLoss(), torch.tensor([[torch.nan, 1.0]])),
        (nn.BCELoss(), torch.tensor([[0.0], [0.5]])),  # saturated: the logit is infinite
        (nn.BCELoss(), torch.tensor([[1.0]])),
        (nn.BCEWithLogitsLoss(), torch.tensor([[0.3]])),
        (nn.MSELoss(), torch.tensor([[0.3, 0.7]])),
        (None, torch.tensor([[0.3, 0.7]])),
    ],
)
def test_outputs_stay_where_they_are_not_what_the_criterion_expects(criterion, outputs):
    link = find_link(criterion, outputs, True)
    assert link.name == "identity"
    assert link.forward(outputs) is outputs
    assert link.inverse(outputs) is outputs


def test_a_class_of_probability_zero_stays_finite():
    p = torch.tensor([[0.0, 1.0], [0.5, 0.5]], dtype=torch.float64)
    link = find_link(nn.NLLLoss(), p, True)
    assert link.name == "log"
    assert torch.isfinite(link.forward(p)).all()
    torch.testing.assert_close(link.inverse(link.forward(p)), p)
