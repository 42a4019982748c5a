"""The page on the shell runs as it is printed: a class of one's own, a script, two commands."""

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hessdiag.cli import main
from hessdiag.exit_codes import FAILED, MISTAKE, PASSED, SHUT, STOPPED

PAGE = (Path(__file__).parents[1] / "docs" / "shell.rst").read_text()


def blocks(language):
    found = re.findall(rf"\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", PAGE)
    return [textwrap.dedent(block) for block in found]


@pytest.mark.slow
def test_the_example_runs_as_printed(tmp_path):
    pytest.importorskip("safetensors")
    (tmp_path / "mynets.py").write_text(blocks("python")[0])
    (tmp_path / "train.py").write_text(blocks("python")[1])
    programs = {"python": [sys.executable], "hessdiag": [sys.executable, "-m", "hessdiag.cli"]}
    path = os.pathsep.join([".", str(Path(__file__).parents[1])])
    for line in blocks("console")[0].splitlines():
        if not line:
            continue
        setting, program, *arguments = shlex.split(line)
        assert setting == "PYTHONPATH=."
        run = subprocess.run(
            [*programs[program], *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
    assert json.loads((tmp_path / "result.json").read_text())[0]["name"] == "first"


def test_the_page_has_all_exit_codes(capsys):
    codes = [int(code) for code in re.findall(r"(?m)^(\d+) +\S", PAGE)]
    assert codes == [PASSED, SHUT, MISTAKE, FAILED, STOPPED]
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert [int(code) for code in re.findall(r"(?m)^  (\d+)  ", said)] == codes
