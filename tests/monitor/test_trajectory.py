"""Trajectories of any loop: what is recorded, as rows and frames, and what is refused."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import hessdiag as hd
from hessdiag.monitor import MonitorWarning, raw_measures

from .conftest import make_data, make_net


@pytest.fixture
def module():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))


def gradient_norms(module, X, y):
    loss = torch.nn.functional.cross_entropy(module.double()(X.double()), y)
    found = torch.autograd.grad(loss, list(module.parameters()))
    return [float(g.square().sum()) for g in found]


def test_rows_are_measures_of_layers_in_forward_order(module, diagnoser):
    X, y = map(torch.as_tensor, make_data())
    trajectory = hd.Trajectory(diagnoser=diagnoser)
    loss = torch.nn.CrossEntropyLoss()
    point = trajectory.record(module, X, y, loss=loss, step=7, epoch=2)
    case = hd.NetworkCase.from_module(module, X, y, loss=loss)
    report = diagnoser.explain(case)
    assert point.diagnosis == report.answer
    assert point.probabilities == pytest.approx(report.probabilities)
    rows = trajectory.rows()
    assert [row["layer"] for row in rows] == ["0", "2", "network"]
    assert [row["depth"] for row in rows] == [0, 1, -1]
    assert {(row["step"], row["epoch"]) for row in rows} == {(7, 2)}
    examination = diagnoser.spectra_.transform([case])[0]
    for row, layer in zip(rows, (*examination.layers, examination.network)):
        for name, value in raw_measures(layer, examination).items():
            assert row[name] == pytest.approx(value, rel=1e-6, nan_ok=True), name
    squares = gradient_norms(module, X, y)
    norms = np.sqrt([squares[0] + squares[1], squares[2] + squares[3], sum(squares)])
    np.testing.assert_allclose([row["gradient_norm"] for row in rows], norms, rtol=1e-4)


def test_frame_and_copy(module):
    pytest.importorskip("pandas")
    X, y = make_data()
    trajectory = hd.Trajectory(diagnose=False, layers=["2"])
    for _ in range(2):
        trajectory.record(module, X, y, loss=torch.nn.functional.cross_entropy)
    frame = pickle.loads(pickle.dumps(trajectory)).to_frame()
    assert frame["step"].tolist() == [1, 1, 2, 2]
    assert frame["layer"].tolist() == ["2", "network"] * 2
    assert trajectory.layer_names == ("2",)
    assert frame["diagnosis"].isna().all()


def test_nets_and_cases_are_taken(diagnoser):
    X, y = make_data()
    net = make_net(max_epochs=1).fit(X, y)
    trajectory = hd.Trajectory(diagnoser=diagnoser)
    trajectory.record(net, X, y)
    trajectory.record(hd.NetworkCase(net, X, y))
    first, second = (point.probabilities for point in trajectory.points)
    assert first == second
    assert "2 looks, last" in repr(trajectory)


def test_failures_are_recorded(module):
    X, y = make_data()
    trajectory = hd.Trajectory(diagnose=False)
    with torch.no_grad():
        module[0].weight[0, 0] = torch.nan
    with pytest.warns(MonitorWarning, match="step 3"):
        trajectory.record(module, X, y, loss=torch.nn.CrossEntropyLoss(), step=3)
    trajectory.record(module, X, y, loss=torch.nn.CrossEntropyLoss(), step=4)
    assert [point.failed for point in trajectory.points] == [True, True]
    assert trajectory.steps == trajectory.rows() == []
    assert trajectory.layer_names == ()


def test_what_is_no_network_or_has_no_loss_is_refused_at_once(module):
    X, y = map(torch.as_tensor, make_data())
    trajectory = hd.Trajectory(diagnose=False)
    loss = torch.nn.CrossEntropyLoss()
    with pytest.raises(TypeError, match="loss that the module"):
        trajectory.record(module, X, y)
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        trajectory.record("module", X, y, loss=loss)
    with pytest.raises(TypeError, match="DataLoader"):
        trajectory.record(module, DataLoader(TensorDataset(X, y)), loss=loss)
    with pytest.raises(ValueError, match="all layers"):
        hd.Trajectory(layers=["0"])
    assert len(trajectory) == 0
