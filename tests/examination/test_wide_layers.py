"""What layers receive, on nets of several kinds."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from hessdiag.examination import examine, wide_kernel_statistics
from hessdiag.examination._wide_layers import _fewer

RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 4)).astype("float32")
Y = RNG.integers(3, size=30)


def fit(kind, module, X, y, criterion):
    """A net after an epoch."""
    torch.manual_seed(0)
    return kind(module, criterion=criterion, train_split=None, verbose=0, max_epochs=1).fit(X, y)


def test_statistics_are_those_of_what_each_layer_receives():
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    net = fit(NeuralNetClassifier, module, X, Y, nn.CrossEntropyLoss)
    examination = examine(net, X, Y)
    with torch.no_grad():
        hidden = net.module_[:2](torch.as_tensor(X)).double().numpy()
        predictions = net.module_(torch.as_tensor(X)).double().softmax(1).numpy()
    for layer, rows in zip(examination.layers, (X.astype(float), hidden)):
        expected = wide_kernel_statistics(rows @ rows.T, np.eye(3)[Y], predictions)
        found = {name: layer.statistics[name] for name in expected}
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    network = examination.network.statistics
    assert network["attainable_gap"] == examination.layers[0].statistics["attainable_gap"]


def test_tokens_count_where_they_agree():
    tokens = RNG.integers(4, size=(30, 2))
    module = nn.Sequential(nn.Embedding(4, 3), nn.Flatten(), nn.Linear(6, 1))
    y = X[:, :1]
    net = fit(NeuralNetRegressor, module, tokens, y, nn.MSELoss)
    layer = examine(net, tokens, y).layers[0]
    rows = np.eye(4)[tokens].reshape(30, -1)
    with torch.no_grad():
        predictions = net.module_(torch.as_tensor(tokens)).double().numpy()
    expected = wide_kernel_statistics(rows @ rows.T, y.astype(float), predictions)
    assert layer.statistics["attainable_r2"] == pytest.approx(expected["attainable_r2"], rel=1e-5)


def test_binary_outputs_are_taken_as_probabilities():
    y = (X[:, 0] > 0).astype("float32")[:, None]
    net = fit(NeuralNetRegressor, nn.Linear(4, 1), X, y, nn.BCEWithLogitsLoss)
    statistics = examine(net, X, y).network.statistics
    with torch.no_grad():
        predictions = net.module_(torch.as_tensor(X)).double().sigmoid().numpy()
    rows = X.astype(float)
    expected = wide_kernel_statistics(rows @ rows.T, y.astype(float), predictions)
    assert statistics["disagreement"] == pytest.approx(expected["disagreement"], rel=1e-4)


def test_targets_of_many_numbers_are_written_in_fewer():
    rng = np.random.default_rng(0)
    x, targets = rng.normal(size=(12, 3)), rng.normal(size=(12, 90))
    predictions = targets + 0.3 * rng.normal(size=targets.shape)
    fewer = _fewer(targets, predictions)
    assert fewer[0].shape[1] <= 24
    expected = wide_kernel_statistics(x @ x.T, targets, predictions)
    found = wide_kernel_statistics(x @ x.T, *fewer)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12)
    few = targets[:, :20], predictions[:, :20]
    assert _fewer(*few)[0] is few[0]
