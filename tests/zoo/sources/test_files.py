"""Files of packages are found without running the package, or it is said what is missing."""

import os
import subprocess
import sys

import pytest

from hessdiag.zoo.sources import packaged_file

WITHOUT_NETWORK = """
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a source asked for the network")
socket.socket.connect = socket.getaddrinfo = refuse
from hessdiag.zoo.tasks import TASKS, load_dataset
for name in TASKS:
    if not TASKS[name].plain:
        load_dataset(name)
assert not {"skimage", "tensorly", "bokeh_sampledata", "vega_datasets"} & set(sys.modules)
"""


def test_file_of_a_package_that_is_there():
    assert packaged_file("sklearn", "datasets/images/china.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_missing_package_and_missing_file(monkeypatch):
    monkeypatch.setitem(sys.modules, "vega_datasets", None)
    with pytest.raises(ImportError, match=r"'vega_datasets'.*hessdiag\[zoo\]"):
        packaged_file("vega_datasets", "_data/stocks.csv")
    with pytest.raises(FileNotFoundError, match=r"no-such\.csv in the package scikit-learn"):
        packaged_file("sklearn", "datasets/data/no-such.csv")


@pytest.mark.slow
def test_nothing_asks_for_the_network():
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_NETWORK],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
