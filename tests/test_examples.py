"""The examples and the demo run as a newcomer would run them: as processes of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(ROOT.glob("examples/*.py"))


def run(*command):
    """Run a command with warnings as errors; return what it printed."""
    result = subprocess.run(
        [sys.executable, "-W", "error", *map(str, command)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path):
    assert run(path).strip()


@pytest.mark.slow
def test_demo_keeps_its_promises(tmp_path):
    printed = run("-m", "hessdiag.cli", "demo", "--out", tmp_path)
    paths = [Path(path) for path in re.findall(r"^(?:Report|Spectra): +(.+)$", printed, re.M)]
    assert [path.suffix for path in paths] == [".html", ".png", ".png", ".png"]
    assert all(path.stat().st_size > 10_000 for path in paths)
    # The three networks are what they were made to be, and the advice helps the unsound ones.
    names = ("too small: underparameterized", "sound: well-fit", "noisy labels: overfitting")
    for name in names:
        assert name in printed
    losses = re.findall(r"held-out loss ([\d.]+) -> ([\d.]+)", printed)
    assert len(losses) == 2
    assert all(float(after) < float(before) for before, after in losses)


def test_demo_data_set_is_in_no_reference(reference_zoo):
    from hessdiag.zoo import DEMO_DATASET, list_datasets

    assert DEMO_DATASET not in reference_zoo.groups
    assert DEMO_DATASET not in list_datasets()
