"""What is known of a net without curvature: nothing that was not measured."""

import math

import numpy as np
import pytest
import torch
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

import hessdiag as hd

RNG = np.random.default_rng(0)
N = 24
X = RNG.normal(size=(N, 4)).astype("float32")
CLASSES = RNG.integers(0, 3, N)
NUMBERS = RNG.normal(size=(N, 1)).astype("float32")


def net_of(module, criterion=nn.CrossEntropyLoss, kind=NeuralNet, **settings):
    net = kind(module, criterion=criterion, train_split=None, verbose=0, **settings)
    return net.initialize()


def body(n_outputs):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, n_outputs))


def context_of(net, y, X=X):
    return hd.examine(net, X, y).context


class BatchStatistics(nn.Module):
    """Outputs of one sample depend on the others."""

    def __init__(self):
        super().__init__()
        self.norm, self.body = nn.BatchNorm1d(4, track_running_stats=False), body(3)

    def forward(self, x):
        return self.body(self.norm(x))


class Penalized(NeuralNetClassifier):
    def get_loss(self, *args, **kwargs):
        penalty = sum(p.square().sum() for p in self.module_.parameters())
        return super().get_loss(*args, **kwargs) + penalty


class Gauss(NeuralNet):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return self.criterion_(y_pred[0], y_true, y_pred[1])


class MeanAndVariance(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = body(2)

    def forward(self, x):
        sent = self.body(x)
        return sent[:, :1], sent[:, 1:].exp()


def test_errors_of_nets_that_mix_samples_are_measured():
    net = net_of(BatchStatistics())
    context = context_of(net, CLASSES)
    wrong = net.infer(torch.as_tensor(X)).argmax(1).numpy() != CLASSES
    assert context["task"] == "classification"
    assert context["error"] == pytest.approx(wrong.mean())
    shares = np.bincount(CLASSES) / N
    assert context["null_loss"] == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-6)
    assert "depend on the others" in context["statistics_missing"]


def test_a_loss_with_a_penalty_has_no_null_loss():
    context = context_of(net_of(body(3), kind=Penalized), CLASSES)
    assert context["task"] == "classification"
    assert math.isfinite(context["error"])
    assert math.isnan(context["null_loss"])


def test_what_a_mean_and_a_variance_are_for_is_not_known():
    context = context_of(net_of(MeanAndVariance(), nn.GaussianNLLLoss, Gauss), NUMBERS)
    assert context["task"] == "unknown"
    assert all(math.isnan(context[name]) for name in ("error", "null_loss", "n_outputs"))
    assert math.isfinite(context["loss"])
    assert "'0', '1'" in context["statistics_missing"]


@pytest.mark.parametrize(
    ("net", "y"),
    [
        (net_of(body(1), nn.MSELoss, NeuralNetRegressor), np.ones((N, 1), "float32")),
        (net_of(body(3)), np.ones(N, int)),
        (net_of(body(1), nn.BCEWithLogitsLoss), np.ones((N, 1), "float32")),
    ],
)
def test_targets_that_are_all_the_same_leave_nothing_to_learn(net, y):
    assert context_of(net, y)["null_loss"] == 0
    assert context_of(net, y[:1], X[:1])["n_samples"] == 1


@pytest.mark.parametrize("ignored", [-100, 1, 255])
def test_samples_that_the_loss_leaves_out_are_left_out(ignored):
    y = np.where(CLASSES == 1, ignored, CLASSES)
    kept = CLASSES != 1
    net = net_of(body(3), criterion__ignore_index=ignored)
    found, expected = hd.examine(net, X, y), hd.examine(net, X[kept], y[kept])
    assert found.context["n_samples_ignored"] == np.sum(~kept)
    assert "n_samples_ignored" not in expected.context
    assert dict(found.context) == dict(expected.context) | {"n_samples_ignored": np.sum(~kept)}
    for name in (*found.layer_names, "network"):
        np.testing.assert_equal(dict(found[name].statistics), dict(expected[name].statistics))
        np.testing.assert_allclose(found[name].spectrum.nodes, expected[name].spectrum.nodes)
    assert 0 <= found.context["error"] <= 1


class Places(nn.Module):
    """A class for each place of a sequence."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x).movedim(-1, 1)


def test_places_that_the_loss_leaves_out_are_no_errors():
    X = RNG.normal(size=(N, 5, 4)).astype("float32")
    y = RNG.integers(0, 3, (N, 5))
    y[RNG.random(y.shape) < 0.4] = -100
    y[0] = 0
    net = net_of(Places())
    predicted = net.infer(torch.as_tensor(X)).argmax(1).numpy()
    assert context_of(net, y, X)["error"] == pytest.approx((predicted != y)[y >= 0].mean())


def test_numbers_do_not_depend_on_switches_of_numpy():
    net = net_of(body(3))
    with np.errstate(all="raise"):
        strict = hd.examine(net, X, CLASSES)
    plain = hd.examine(net, X, CLASSES)
    contexts = [found.context | {"seconds_forecast": None} for found in (strict, plain)]
    assert contexts[0] == contexts[1]
