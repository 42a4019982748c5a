"""The Python of the README runs, in its order, on networks of the kind that it speaks of."""

import re
from pathlib import Path

import pytest
import torch
from sklearn.pipeline import make_pipeline

from hessdiag.testing import make_case, make_cases

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 3
    case = make_case()
    cases, diagnoses = make_cases(15, random_state=0)
    names = {
        "torch": torch,
        "net": case.net,
        "module": case.net.module_,
        "train_loader": [(case.X, case.y)],
        "pipeline": make_pipeline(case.net),
        "X_train": case.X,
        "y_train": case.y,
        "cases": cases,
        "diagnoses": diagnoses,
        "data_sets": [index // 3 for index in range(15)],
    }
    for block in blocks:
        exec(block, names)
    assert "mine" in capsys.readouterr().out
    assert set(names["search"].best_params_) == {"features__families", "classify__C"}
