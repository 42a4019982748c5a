"""What stands in the history is what an examination of the training part says."""

import json
import math

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint, EpochScoring, PrintLog
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split

import hessdiag as hd
from hessdiag.monitor import MonitorWarning, _cadence

from .conftest import make_data, make_net


def trajectory_of(net):
    return dict(net.callbacks_)["SpectrumMonitor"].trajectory_


def part_of(X, y, split):
    """The training part, by the split's own indices."""
    train, _ = split(Dataset(X, y), y)
    return X[train.indices], y[train.indices]


def test_entries_are_those_of_the_training_part(diagnoser):
    X, y = make_data()
    split = ValidSplit(4, stratified=True)
    monitor = hd.SpectrumMonitor(every=3, budget=None, diagnoser=diagnoser)
    net = make_net(monitor, train_split=split, max_epochs=3).fit(X, y)
    inside = part_of(X, y, split)
    assert len(inside[0]) == 30
    expected = hd.examine(net, *inside, curvature="ggn", dtype="float64")
    row = net.history[-1]
    for layer in (*expected.layers, expected.network):
        for name in ("max_eigenvalue", "trace"):
            value = getattr(layer.spectrum, name)
            assert row[f"spectrum/{name}/{layer.name}"] == pytest.approx(value, rel=1e-4)
    report = diagnoser.explain(hd.NetworkCase(net, *inside, held_back="keep"))
    assert row["event_diagnosis"] == report.answer
    for name, value in report.probabilities.items():
        assert row[f"probability_{name}"] == pytest.approx(value, abs=1e-6)
    assert row["gain_widening"] == pytest.approx(report.gain_widening.value, abs=1e-6)
    assert row["spectrum_domain_score"] == pytest.approx(report.domain_score)
    assert row["spectrum_step"] == 6


@pytest.mark.parametrize("by", ["split", "data set"])
def test_validation_data_are_never_looked_at(by):
    X, y = make_data()
    # An examination refuses data that are not finite.
    poisoned = np.full_like(X[:8], np.nan)
    if by == "split":
        n, (all_X, all_y) = len(X), (np.concatenate([X, poisoned]), np.concatenate([y, y[:8]]))
        places = [(np.arange(n), np.arange(n, n + 8))]
        split = ValidSplit(cv=places)
    else:
        all_X, all_y, split = X, y, predefined_split(Dataset(poisoned, y[:8]))
    monitor = hd.SpectrumMonitor(every=1, budget=None, diagnose=False)
    net = make_net(monitor, train_split=split, max_epochs=2).fit(all_X, all_y)
    assert trajectory_of(net).steps == [3, 6]
    assert trajectory_of(net).points[0].examination.context["n_samples"] == len(X)


def test_curvature_is_that_of_the_same_samples_at_every_look():
    X, y = make_data()
    monitor = hd.SpectrumMonitor(every=1, budget=None, diagnose=False, max_samples=10)
    # Nothing is learned, so that all looks must be alike.
    net = NeuralNetClassifier(
        torch.nn.Sequential(torch.nn.Linear(4, 2)),
        criterion=torch.nn.CrossEntropyLoss,
        lr=0.0,
        max_epochs=3,
        train_split=None,
        verbose=0,
        callbacks=[monitor],
    ).fit(X, y)
    rows = [[row[f"spectrum/trace/{name}"] for name in ("0", "network")] for row in net.history]
    assert rows[0] == rows[1] == rows[2]
    assert trajectory_of(net).points[0].examination.context["n_samples_examined"] == 10


def test_divergence_is_recorded_and_training_goes_on(diagnoser):
    X, y = make_data()
    monitor = hd.SpectrumMonitor(every=1, budget=None, diagnoser=diagnoser)
    net = make_net(monitor, optimizer=torch.optim.SGD, lr=1e38, max_epochs=4)
    with pytest.warns(MonitorWarning, match="Training goes on") as caught:
        net.fit(X, y)
    assert len([w for w in caught if w.category is MonitorWarning]) == 1
    assert len(net.history) == 4
    row = net.history[-1]
    assert "finite" in row["spectrum_error"]
    assert row["event_diagnosis"] is None
    assert not [name for name in row if name.startswith("spectrum/")]
    assert trajectory_of(net).points[-1].failed
    text = json.dumps(net.history.to_list(), allow_nan=True)
    assert "spectrum_error" in text


def test_friends_read_the_history(tmp_path, diagnoser):
    X, y = make_data()
    printed = []
    tables = [PrintLog(sink=printed.append)]
    saved = Checkpoint(
        monitor=lambda net: net.history[-1]["event_diagnosis"] is not None, dirname=tmp_path
    )
    certainty = EpochScoring(
        lambda net, X, y: net.history[-1]["probability_overfitting"] or 0.0,
        name="certainty",
        lower_is_better=False,
    )
    monitor = hd.SpectrumMonitor(every=2, budget=None, diagnoser=diagnoser)
    net = make_net(monitor, saved, certainty, *tables, max_epochs=5, train_split=ValidSplit(4))
    net.fit(X, y)
    # Every second epoch, and the last.
    looked = [row["event_diagnosis"] is not None for row in net.history]
    assert looked == [False, True, False, True, True]
    assert [row.get("event_cp") for row in net.history] == looked
    assert net.history[1, "certainty"] == net.history[1, "probability_overfitting"]
    net.history.to_file(tmp_path / "history.json")
    assert json.loads((tmp_path / "history.json").read_text()) == net.history.to_list()
    for row in net.history:
        for name, value in row.items():
            if name.startswith(("spectrum", "event_diag", "prob", "gain")):
                assert value is None or type(value) in (float, int, str), name
                assert not isinstance(value, float) or math.isfinite(value)
    header, *lines = [line for line in "\n".join(printed).splitlines() if line.strip("- ")]
    assert "diagnosis" in header
    assert "gain_widening" in header
    assert "spectrum" not in header
    assert len(lines) == 5
    shown = [any(word in line for word in diagnoser.classes_) for line in lines]
    assert shown == looked


def test_tensorboard_shows_layers(tmp_path):
    pytest.importorskip("tensorboard")
    from skorch.callbacks import TensorBoard
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    X, y = make_data()
    monitor = hd.SpectrumMonitor(every=2, budget=None, diagnose=False)
    net = make_net(monitor, TensorBoard(SummaryWriter(tmp_path)), max_epochs=4).fit(X, y)
    events = EventAccumulator(str(tmp_path)).Reload()
    found = events.Scalars("spectrum/trace/0")
    assert [event.step for event in found] == [2, 4]
    assert found[-1].value == pytest.approx(net.history[-1, "spectrum/trace/0"])


def test_steps_are_counted_and_stand_in_batches():
    X, y = make_data()
    monitor = hd.SpectrumMonitor(every=2, unit="step", budget=None, diagnose=False)
    net = make_net(monitor, max_epochs=3).fit(X, y)
    # The last state is looked at, too.
    assert trajectory_of(net).steps == [2, 4, 6, 8, 9]
    found = [batch.get("spectrum_step") for row in net.history for batch in row["batches"]]
    assert found == [None, 2, None, 4, None, 6, None, 8, None]
    assert [row["spectrum_step"] for row in net.history] == [2, 6, 9]


def test_looks_on_a_logarithmic_schedule():
    cadence, looked = _cadence.Cadence("log", None), []
    for epoch in range(1, 70):
        if cadence.is_due(epoch):
            with cadence.look(epoch):
                looked.append(epoch)
    assert looked == [1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64]


@pytest.mark.parametrize("budget", [0.1, 0.02, None])
def test_looks_keep_within_their_share_of_the_time(monkeypatch, budget):
    now = [0.0]
    monkeypatch.setattr(_cadence.time, "perf_counter", lambda: now[0])
    cadence, n_looks = _cadence.Cadence(1, budget), 0
    cadence.start()
    for epoch in range(1, 1001):
        now[0] += 0.5
        if cadence.is_due(epoch):
            with cadence.look(epoch):
                now[0] += 1.0
                n_looks += 1
    cadence.stop()
    assert cadence.trained == pytest.approx(500)
    assert cadence.spent == pytest.approx(n_looks)
    assert n_looks == (1000 if budget is None else round(budget * 500))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"every": 0}, "every"),
        ({"every": "often"}, "every"),
        ({"every": True}, "every"),
        ({"budget": -1}, "budget"),
        ({"unit": "hour"}, "unit"),
        ({"measures": ["trase"]}, "measures"),
        ({"measures": "trace"}, "list of measures"),
        ({"layers": "0"}, "list of names"),
    ],
)
def test_wrong_parameters_are_said_before_training(settings, words):
    with pytest.raises(ValueError, match=words):
        make_net(hd.SpectrumMonitor(diagnose=False, **settings)).initialize()
