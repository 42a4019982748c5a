"""Classes of installed packages: any file of theirs that changes may change what they do."""

import importlib
import sys

import numpy as np
import pytest
import torch

import hessdiag as hd
from hessdiag.digests import _origins

X, Y = np.ones((4, 3), dtype="float32"), np.ones((4, 1), dtype="float32")
NETS = """import torch
from installed_here.parts import scale

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 1)

    def forward(self, x):
        return scale(self.linear(x))
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that counts as installed, and a function that digests its network."""
    package = tmp_path / "installed_here"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(NETS)
    (package / "parts.py").write_text("def scale(x):\n    return 1.0 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(_origins, "_INSTALLED", [str(tmp_path)])
    _origins._place.cache_clear()

    def digest():
        for name in [name for name in sys.modules if name.startswith("installed_here")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = importlib.import_module("installed_here.nets").Net()
        return hd.NetworkCase.from_module(net, X, Y, loss=torch.nn.MSELoss()).digest()

    yield package, digest
    _origins._place.cache_clear()
    for name in [name for name in sys.modules if name.startswith("installed_here")]:
        del sys.modules[name]


def test_the_package_is_told_by_its_files(installed):
    package, digest = installed
    first = digest()
    assert digest() == first
    (package / "parts.py").write_text("def scale(x):\n    return 3.0 * x\n")
    second = digest()
    assert second != first
    (package / "more.py").write_text("")
    assert digest() != second


def test_a_patch_within_the_package_is_seen(installed, monkeypatch):
    _, digest = installed
    digest()
    net = sys.modules["installed_here.nets"].Net()
    case = hd.NetworkCase.from_module(net, X, Y, loss=torch.nn.MSELoss())
    before = case.digest()
    monkeypatch.setattr(sys.modules["installed_here.nets"], "scale", lambda x: 3.0 * x)
    assert case.digest() != before


def test_versions_of_what_is_known_count(monkeypatch):
    case = hd.NetworkCase.from_module(torch.nn.Linear(3, 1), X, Y, loss=torch.nn.MSELoss())
    before = case.digest()
    monkeypatch.setattr(_origins, "_version", lambda name: f"{name} of tomorrow")
    assert case.digest() != before
