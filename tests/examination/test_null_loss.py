"""The loss of the best constant output, also of losses that are hard to minimize."""

import math

import pytest
import torch

from hessdiag.examination._null_loss import null_loss

Y = torch.tensor([[1.0], [2.0], [6.0]], dtype=torch.float64)
START = torch.zeros(1, dtype=torch.float64)


def test_squares_and_absolute_errors_have_closed_forms():
    assert null_loss(lambda z: (z - Y).square().mean(), START, 3) == pytest.approx(14 / 3)
    assert null_loss(lambda z: (z - Y).abs().mean(), START, 3) == pytest.approx(5 / 3, rel=1e-6)


@pytest.mark.parametrize("error", [IndexError, RuntimeError, ValueError])
def test_a_line_search_that_fails_is_not_the_end(error, monkeypatch):
    def fail(self, closure):
        closure()
        raise error("bracket")

    monkeypatch.setattr(torch.optim.LBFGS, "step", fail)
    assert null_loss(lambda z: (z - Y).square().mean(), START, 3) == pytest.approx(14 / 3)


def test_a_loss_that_is_defined_on_one_side_alone():
    # Exponential waiting times: log(mean) + 1 is least; logarithms of negative numbers are NaN.
    start = torch.full((1,), 0.01, dtype=torch.float64)
    found = null_loss(lambda z: (z.log() + Y / z).mean(), start, 3)
    assert found == pytest.approx(math.log(3) + 1, rel=1e-6)


def test_no_number_where_there_is_none():
    assert math.isnan(null_loss(lambda z: z.sum(), START, 3))
    assert math.isnan(null_loss(lambda z: z.log().sum() * torch.nan, START, 3))


def test_what_falls_to_a_limit_has_one():
    assert null_loss(lambda z: (-z).exp().mean(), START, 3) == pytest.approx(0, abs=1e-6)
