"""Training with a monitor is training without one, bit for bit."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Checkpoint, LoadInitState, TrainEndCheckpoint
from skorch.dataset import ValidSplit
from torch.utils.data import Dataset

import hessdiag as hd
from hessdiag.testing import state_changes, surroundings_state

from .conftest import make_data, make_net, random_numbers, states_of

SETTINGS = [
    {},
    {"train_split": ValidSplit(4, stratified=True)},
    {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9, "iterator_train__drop_last": True},
]


def monitor(diagnoser=None, **settings):
    settings = {"every": 1, "budget": None} | settings
    return hd.SpectrumMonitor(diagnose=diagnoser is not None, diagnoser=diagnoser, **settings)


@pytest.mark.parametrize("unit", ["epoch", "step"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_fit_is_the_same(diagnoser, settings, unit):
    X, y = make_data()
    settings = {"max_epochs": 3} | settings
    plain = make_net(**settings).fit(X, y)
    expected = states_of(plain), random_numbers()
    watched = make_net(monitor(diagnoser, unit=unit), **settings).fit(X, y)
    assert (states_of(watched), random_numbers()) == expected
    points = dict(watched.callbacks_)["SpectrumMonitor"].trajectory_.points
    assert len(points) >= (3 if unit == "epoch" else 6)
    assert not any(point.failed for point in points), points
    losses = [[row["train_loss"] for row in net.history] for net in (plain, watched)]
    assert losses[0] == losses[1]
    assert watched.module_.training == plain.module_.training


def continued(net, X, y):
    net.fit(X, y)
    net.partial_fit(X, y)
    net.set_params(warm_start=True, max_epochs=2).fit(X, y)
    return net


def test_partial_fit_and_warm_start_are_the_same():
    X, y = make_data()
    expected = states_of(continued(make_net(max_epochs=3), X, y))
    watched = continued(make_net(monitor(), max_epochs=3), X, y)
    assert states_of(watched) == expected
    trajectory = dict(watched.callbacks_)["SpectrumMonitor"].trajectory_
    # 40 samples in batches of 16 are 3 steps an epoch.
    assert trajectory.steps == [3, 6, 9, 12, 15, 18, 21, 24]
    assert [point.epoch for point in trajectory.points] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("is_first", [True, False])
def test_best_checkpoint_and_resumed_run_are_the_same(tmp_path, is_first):
    X, y = make_data()

    def resumed(folder, *watching):
        best = Checkpoint(monitor="train_loss_best", dirname=folder / "best", load_best=True)
        end = TrainEndCheckpoint(dirname=folder / "end")
        others = [best, end]
        callbacks = [*watching, *others] if is_first else [*others, *watching]
        make_net(*callbacks, max_epochs=4).fit(X, y)
        start = LoadInitState(end)
        callbacks = [*watching, start] if is_first else [start, *watching]
        return make_net(*callbacks, seed=1, max_epochs=3).fit(X, y)

    expected = states_of(resumed(tmp_path / "plain"))
    watched = resumed(tmp_path / "watched", monitor(every=2))
    assert states_of(watched) == expected
    # Epochs go on where the loaded history ends.
    assert [row["epoch"] for row in watched.history] == list(range(1, 8))
    steps = [row.get("spectrum_step") for row in watched.history]
    # What stands in the list before the monitor has written the history down before it.
    assert steps == [None, 6, None, 12 if is_first else None, None, 18, 21]


def test_pickled_net_goes_on_the_same(diagnoser):
    X, y = make_data()

    def pickled(*watching):
        net = make_net(*watching, max_epochs=3).fit(X, y)
        net = pickle.loads(pickle.dumps(net))
        torch.manual_seed(5)
        return net.partial_fit(X, y)

    watched = pickled(monitor(diagnoser))
    assert states_of(watched) == states_of(pickled())
    trajectory = dict(watched.callbacks_)["SpectrumMonitor"].trajectory_
    assert len(trajectory.steps) == 6
    assert trajectory.points[-1].diagnosis in diagnoser.classes_


def test_data_are_not_pickled():
    X, y = make_data()
    X, y = np.tile(X, (500, 1)), np.tile(y, 500)
    net = make_net(monitor(max_samples=50), max_epochs=2, batch_size=len(X))
    sizes = []

    def measure(net, **kwargs):
        sizes.append(len(pickle.dumps(dict(net.callbacks_)["SpectrumMonitor"])))

    net.initialize()
    net.on_epoch_end = measure
    net.partial_fit(X, y)
    assert len(sizes) == 2
    assert max(sizes) < X.nbytes


def test_parameters_and_clones(diagnoser):
    X, y = make_data()
    net = make_net(("monitor", monitor(diagnoser, layers=["4"])), max_epochs=2)
    net.set_params(callbacks__monitor__every=2, callbacks__monitor__measures=["trace"])
    twin = clone(net)
    twin.fit(X, y)
    assert twin.get_params()["callbacks__monitor"].every == 2
    own = net.callbacks[0][1]
    assert own is not dict(twin.callbacks_)["monitor"]
    assert not own.trajectory_.points
    assert twin.history[-1]["event_diagnosis"] in diagnoser.classes_
    names = [name for name in twin.history[-1] if name.startswith("spectrum/")]
    assert names == ["spectrum/trace/4", "spectrum/trace/network"]
    twin.set_params(callbacks__monitor__every=1).fit(X, y)
    assert [row["spectrum_step"] for row in twin.history] == [3, 6]
    assert copy.deepcopy(twin).history == twin.history


class Noisy(Dataset):
    """A data set that draws from a generator of its own for each sample that is read."""

    def __init__(self):
        self.X, self.y = make_data()
        self.rng = np.random.default_rng(0)
        self.n_read = 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        self.n_read += 1
        noise = self.rng.standard_normal(4).astype("float32")
        return self.X[index] + noise, self.y[index]


def test_a_data_set_with_a_generator_is_not_drawn_from():
    expected = make_net(max_epochs=3)
    expected.fit(Noisy(), None)
    data = Noisy()
    net = make_net(monitor(), max_epochs=3)
    with pytest.warns(hd.monitor.MonitorWarning, match="Training goes on"):
        net.fit(data, None)
    assert states_of(net) == states_of(expected)
    assert data.n_read == 3 * 40


@pytest.mark.parametrize("with_diagnosis", [True, False])
def test_any_loop_is_the_same(diagnoser, with_diagnosis):
    X, y = map(torch.as_tensor, make_data())

    def trained(trajectory=None):
        torch.manual_seed(0)
        module = torch.nn.Sequential(
            torch.nn.Linear(4, 5), torch.nn.Dropout(), torch.nn.Linear(5, 2)
        )
        optimizer = torch.optim.Adam(module.parameters())
        loss = torch.nn.CrossEntropyLoss()
        for step in range(4):
            optimizer.zero_grad()
            chosen = torch.randperm(len(X))[:16]
            loss(module(X[chosen]), y[chosen]).backward()
            if trajectory is not None:
                before = surroundings_state()
                trajectory.record(module, X, y, loss=loss, step=step)
                assert not state_changes(before, surroundings_state())
            optimizer.step()
        return [p.detach().numpy().tobytes() for p in module.parameters()], random_numbers()

    given = diagnoser if with_diagnosis else None
    trajectory = hd.Trajectory(diagnose=with_diagnosis, diagnoser=given)
    assert trained(trajectory) == trained()
    assert trajectory.steps == [0, 1, 2, 3]
