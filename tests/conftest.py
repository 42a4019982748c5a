"""Small networks and a small zoo that tests of all rooms share: made once a session."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import settings

from hessdiag.testing import make_cases
from hessdiag.zoo import Recipe

torch.set_num_threads(1)
# Loaded machines take their time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
# What tests compare with; pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent / "oracles"))

#: Three groups, of 3 widths x 2 weight decays x 2 seeds.
SMALL_GROUPS = (
    {
        "dataset": "iris",
        "n_train": 60,
        "label_noise": 0.25,
        "depth": 1,
        "activation": "relu",
        "n_steps": 300,
        "learning_rate": 0.02,
    },
    {
        "dataset": "wine",
        "n_train": 60,
        "label_noise": 0.0,
        "depth": 2,
        "activation": "tanh",
        "n_steps": 60,
        "learning_rate": 0.01,
    },
    {
        "dataset": "crx",
        "n_train": 60,
        "label_noise": 0.1,
        "depth": 1,
        "activation": "gelu",
        "n_steps": 60,
        "learning_rate": 0.03,
    },
)


def make_small_recipes():
    return [
        Recipe(**group, family="mlp", width=width, weight_decay=decay, seed=seed)
        for group in SMALL_GROUPS
        for width in (1, 4, 16)
        for decay in (0.0, 1.0)
        for seed in (0, 1)
    ]


@pytest.fixture(scope="session")
def small_recipes():
    return make_small_recipes()


@pytest.fixture(scope="session")
def nine_cases():
    """Nine networks of all kinds and both depths, and what they were made to be."""
    return make_cases(9, n_samples=24)


@pytest.fixture(scope="session")
def small_zoo(tmp_path_factory, small_recipes):
    """A zoo on disk, its records and its table: read only."""
    from hessdiag.zoo import ZooStore, build_zoo

    folder = tmp_path_factory.mktemp("zoo")
    table = folder / "table.npz"
    summary = build_zoo(small_recipes, folder, table, {"command": "test"}, n_jobs=1, progress=False)
    return SimpleNamespace(folder=folder, table=table, summary=summary, store=ZooStore(folder))


@pytest.fixture(scope="session")
def reference_zoo():
    """The reference zoo: read only."""
    from hessdiag.zoo import load_reference_zoo

    return load_reference_zoo()


@pytest.fixture(scope="session")
def reference_diagnoser():
    """The diagnoser that is fitted on the reference zoo, which takes seconds: read only."""
    from hessdiag.zoo import load_reference_diagnoser

    return load_reference_diagnoser()
