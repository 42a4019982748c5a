"""What is differentiated: the net's own loss or a callable, in any precision, with clear errors."""

from typing import NamedTuple

import pytest
import torch
from parts import copy_of
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.nn import functional

from hessdiag.curvature.network import Scalar, match_floats

OUTPUTS = torch.randn(5, 3)
CLASSES = torch.tensor([0, 1, 2, 1, 0])


class Named(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


def scalar_of(scalar="loss", criterion=nn.CrossEntropyLoss, net_class=NeuralNetClassifier, **given):
    copy = copy_of(nn.Linear(2, 3), net_class=net_class, criterion=criterion, **given)
    return Scalar(copy, scalar)


def squares(outputs, y):
    return (outputs - y).square().sum()


def test_the_loss_is_the_net_s_own():
    class Penalized(NeuralNetClassifier):
        def get_loss(self, y_pred, y_true, X=None, training=False):
            assert not training
            return super().get_loss(y_pred, y_true) + X.sum() + self.module_.weight.sum()

    scalar = scalar_of(net_class=Penalized)
    X = torch.ones(5, 2)
    expected = functional.cross_entropy(OUTPUTS, CLASSES) + 10
    expected = expected + scalar.working_copy.net.module_.weight.sum()
    torch.testing.assert_close(
        scalar(OUTPUTS.double(), CLASSES, X), expected.double(), rtol=1e-6, atol=0
    )
    assert scalar.is_loss
    assert scalar.name == "CrossEntropyLoss"
    assert scalar.criterion is scalar.working_copy.net.criterion_


def test_a_callable_is_taken_as_it_is():
    scalar = scalar_of(squares)
    y = torch.zeros(5, 3)
    assert scalar(OUTPUTS, y, None) == OUTPUTS.square().sum()
    assert not scalar.is_loss
    assert scalar.criterion is None
    assert scalar.name == "squares"

    class Norm:
        def __call__(self, outputs, y):
            return outputs.norm()

    assert scalar_of(Norm()).name == "Norm"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_targets_follow_the_precision_of_the_outputs(dtype):
    seen = []
    scalar = scalar_of(lambda z, y: seen.append(y) or z.sum())
    y = {"numbers": torch.ones(5), "classes": CLASSES, "more": [torch.ones(1).double(), "text"]}
    scalar(OUTPUTS.to(dtype), y, None)
    (found,) = seen
    assert found["numbers"].dtype == found["more"][0].dtype == dtype
    assert found["classes"] is CLASSES
    assert found["more"][1] == "text"


def test_floats_alone_are_matched():
    batch = torch.nn.utils.rnn.pack_sequence([torch.ones(2, 1)])
    packed = match_floats(batch, torch.float64)
    assert type(packed) is type(batch)
    assert packed.data.dtype == torch.float64
    named = match_floats(Named(torch.ones(1), torch.ones(1) * 1j), torch.float64)
    assert [t.dtype for t in named] == [torch.float64, torch.complex128]
    assert isinstance(named, Named)
    pair = match_floats((torch.ones(1), torch.ones(1, dtype=torch.bool)), torch.float64)
    assert [t.dtype for t in pair] == [torch.float64, torch.bool]
    assert isinstance(pair, tuple)
    assert match_floats(None, torch.float64) is None


@pytest.mark.parametrize("scalar", [None, 3, "losses"])
def test_what_is_no_scalar_is_refused(scalar):
    with pytest.raises(ValueError, match="Expected scalar='loss', a callable"):
        scalar_of(scalar)


@pytest.mark.parametrize(
    ("scalar", "found"),
    [
        (scalar_of(criterion__reduction="none"), r"a tensor of shape \(5,\) from CrossEntropyLoss"),
        (scalar_of(lambda z, y: z.sum().reshape(1)), r"a tensor of shape \(1,\) from <lambda>"),
        (scalar_of(lambda z, y: 2.0), "an object of type float from <lambda>"),
    ],
)
def test_what_is_not_one_number_is_refused(scalar, found):
    with pytest.raises(ValueError, match=f"one number .*found {found}.*reduction='mean'"):
        scalar.check(OUTPUTS, CLASSES, None)
    assert scalar_of().check(OUTPUTS, CLASSES, None).ndim == 0


@pytest.mark.parametrize(
    ("scalar", "outputs", "y", "message"),
    [
        (
            scalar_of(),
            OUTPUTS,
            torch.tensor([0, 1, 2, 3, 0]),
            r"CrossEntropyLoss can take, found outputs \(5, 3\) torch.float32 with targets "
            r"\(5,\) torch.int64: IndexError",
        ),
        (scalar_of(squares), OUTPUTS, torch.ones(5, 2), r"squares .*\(5, 2\) torch.float32: Runti"),
        (scalar_of(squares), OUTPUTS, "text", "with targets str: TypeError"),
        (
            scalar_of(criterion=nn.MSELoss, net_class=NeuralNetRegressor),
            [OUTPUTS, OUTPUTS],
            torch.ones(5, 3),
            r"outputs \(5, 3\) torch.float32, \(5, 3\) torch.float32 with targets",
        ),
    ],
)
def test_errors_say_what_was_given(scalar, outputs, y, message):
    with pytest.raises(ValueError, match=message) as raised:
        scalar(outputs, y, None)
    assert raised.value.__cause__ is not None
