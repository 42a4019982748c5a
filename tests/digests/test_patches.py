"""Installed functions in whose place something else was put: networks that call them differ."""

import functools
import sys
from unittest import mock

import pytest
import torch
from torch.nn import functional

from hessdiag.digests import NotDigestibleError
from hessdiag.testing import make_case


class _Functions:
    @staticmethod
    def linear(x, weight, bias=None):
        return x @ weight.T


PATCHES = {
    "function of one's own": (functional, "linear", lambda x, w, b=None: x @ w.T),
    "another function of torch": (functional, "relu", functional.gelu),
    "another function written in C": (torch, "relu", torch.tanh),
    "function with an argument": (
        torch,
        "relu",
        functools.partial(functional.leaky_relu, negative_slope=0.1),
    ),
    "function under a decorator": (torch, "relu", torch.no_grad()(torch.relu)),
    "method of another layer": (torch.nn.Linear, "forward", torch.nn.Bilinear.forward),
    "method of tensors": (torch.Tensor, "relu", torch.Tensor.tanh),
    "operator of tensors": (torch.Tensor, "__add__", lambda first, second: first),
    "functions of a module": (sys.modules["torch.nn.modules.linear"], "F", _Functions()),
}


@pytest.fixture(scope="module")
def case():
    return make_case(n_samples=12)


@pytest.mark.parametrize("what", PATCHES)
def test_a_patch_is_seen(what, case, monkeypatch):
    before = case.digest()
    monkeypatch.setattr(*PATCHES[what])
    patched = case.digest()
    assert patched != before
    assert case.digest() == patched
    monkeypatch.undo()
    assert case.digest() == before


def test_numbers_within_patches_count(case, monkeypatch):
    digests = []
    for slope in (1.0, 3.0):
        monkeypatch.setattr(torch, "relu", lambda x, slope=slope: slope * x)
        digests.append(case.digest())
    assert digests[0] != digests[1]


def test_mocks_have_no_digest(case, monkeypatch):
    monkeypatch.setattr(torch, "relu", mock.MagicMock())
    with pytest.raises(NotDigestibleError):
        case.digest()


def test_what_the_compiler_wraps_is_no_patch():
    before = make_case().digest()
    module = torch.compile(torch.nn.Linear(2, 2), backend="eager")
    module(torch.ones(1, 2))
    assert make_case().digest() == before
