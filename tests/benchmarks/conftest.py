"""The bench is no package: its folder is put on the path, as when it is run as a script."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
WITHOUT_PEERS = ("test_accuracy", "test_self_check", "test_real_networks")
PEERS = ("curvlinops", "hessian_eigenthings", "pyhessian")


@pytest.fixture(autouse=True)
def bench_on_path(request, monkeypatch):
    if request.path.stem not in WITHOUT_PEERS:
        for peer in PEERS:
            pytest.importorskip(peer, reason="the peers are not installed")
    monkeypatch.syspath_prepend(str(FOLDER))
