"""A small diagnoser, and nets that train in a moment."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback

from hessdiag import FitDiagnoser


@pytest.fixture(scope="session")
def diagnoser(nine_cases):
    cases, diagnoses = nine_cases
    gains = np.where(np.array(diagnoses)[:, None] == ["underparameterized", "overfitting"], 0.2, 0)
    return FitDiagnoser().fit(cases, diagnoses, gains=gains)


def make_data(n=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)).astype("float32")
    return X, (X[:, 0] + 0.5 * rng.standard_normal(n) > 0).astype("int64")


class KeepNothing(Callback):
    """A callback that does nothing, in the place of one that should do nothing."""


def make_net(*callbacks, seed=0, **settings):
    """A net with dropout and batches in random order."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 6),
        torch.nn.BatchNorm1d(6),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(6, 2),
    )
    defaults = {
        "criterion": torch.nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "lr": 0.01,
        "max_epochs": 6,
        "batch_size": 16,
        "iterator_train__shuffle": True,
        "train_split": None,
        "verbose": 0,
    }
    return NeuralNetClassifier(module, callbacks=list(callbacks), **defaults | settings)


def states_of(net):
    """Parameters, buffers, gradients and what the optimizer holds, as bytes."""
    found = [value.numpy().tobytes() for value in net.module_.state_dict().values()]
    found += [p.grad.numpy().tobytes() for p in net.module_.parameters() if p.grad is not None]
    moments = net.optimizer_.state_dict()["state"].values()
    found += [value.numpy().tobytes() for moment in moments for value in moment.values()]
    return found


def random_numbers():
    """What the generators of the process would give next."""
    state = np.random.get_state()[1].tobytes()  # noqa: NPY002
    return state, torch.random.get_rng_state().numpy().tobytes()
