"""The bench is no package: its folder is put on the path, as when it is run as a script."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def bench_on_path(monkeypatch):
    pytest.importorskip("curvlinops", reason="the peers are not installed")
    pytest.importorskip("hessian_eigenthings", reason="the peers are not installed")
    pytest.importorskip("pyhessian", reason="the peers are not installed")
    monkeypatch.syspath_prepend(str(FOLDER))
