"""What must hold before anything is computed, and what is said where it does not."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from skorch import NeuralNet
from skorch.dataset import Dataset
from skorch.exceptions import NotInitializedError
from torch import nn

from hessdiag.curvature.network import (
    UnfittedNetworkError,
    check_data,
    check_net,
    check_parameters,
    module_attributes,
    tensors_of,
)


def net_of(module=None, initialized=True):
    net = NeuralNet(nn.Linear(3, 2) if module is None else module, criterion=nn.MSELoss)
    return net.initialize() if initialized else net


class TwoModules(NeuralNet):
    """A generator and its judge, as nets of one's own may be made."""

    def initialize_module(self):
        super().initialize_module()
        self.judge_ = nn.Linear(2, 1)
        return self


@pytest.mark.parametrize(
    ("net", "error", "message"),
    [
        ([net_of()], TypeError, "found a list of 1 objects. Pass its elements one by one"),
        ((), TypeError, "found a tuple of 0 objects"),
        (nn.Linear(1, 1), TypeError, "type Linear. Make a case .*from_module"),
        (nn.Linear, TypeError, "found the class Linear. Fit a"),
        (NeuralNet, TypeError, "found the class NeuralNet"),
        (None, TypeError, "an object of type NoneType"),
        (net_of(initialized=False), NotFittedError, "without module_, criterion_. Call net.fit"),
        (net_of(initialized=False), NotInitializedError, "fitted NeuralNet"),
        (net_of(nn.Linear(1, 1).requires_grad_(False)), ValueError, "found none with requires_gr"),
        (net_of(nn.BatchNorm1d(0)), ValueError, "Expected a net with trainable parameters"),
    ],
)
def test_nets_that_cannot_be_examined(net, error, message):
    with pytest.raises(error, match=message):
        check_net(net)


def test_all_modules_and_criteria_of_a_net_are_known():
    net = TwoModules(nn.Linear(3, 2), criterion=nn.MSELoss).initialize()
    assert module_attributes(net) == (["module_", "judge_"], ["criterion_"])
    check_net(net)
    net.__dict__.pop("judge_")
    with pytest.raises(UnfittedNetworkError, match="without judge_"):
        check_net(net)
    # As of nets that were pickled by an older skorch.
    assert module_attributes(SimpleNamespace()) == (["module_"], ["criterion_"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "module_.0.weight",
            [np.nan],
            r"1 NaN or infinite entry in parameter '0\.weight' of shape",
        ),
        ("module_.0.bias", [np.inf, -np.inf], "2 NaN or infinite entries in parameter '0.bias'"),
        ("module_.1.running_var", [np.nan], "1 NaN or infinite entry in buffer '1.running_var'"),
        ("judge_.weight", [np.nan], "in parameter 'weight' of shape"),
    ],
)
def test_what_is_not_finite_is_named(name, value, message):
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    net = TwoModules(module, criterion=nn.MSELoss).initialize()
    check_parameters(net)
    attribute, _, path = name.partition(".")
    owner = getattr(net, attribute)
    tensor = {**dict(owner.named_parameters()), **dict(owner.named_buffers())}[path]
    tensor.data.view(-1)[: len(value)] = torch.tensor(value)
    with pytest.raises(ValueError, match=message):
        check_parameters(net)


def test_large_parameters_are_finite():
    """Their sum overflows, they do not."""
    net = net_of()
    net.module_.weight.data.fill_(3e38)
    check_parameters(net)


ONE = np.zeros((1, 3), dtype="float32")


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (np.zeros((4, 3)), np.zeros(4)),
        (torch.zeros(4, 3), torch.zeros(4)),
        (torch.zeros(4, 3), [0, 1, 1, 0]),
        ({"a": np.zeros((4, 3)), "b": np.zeros(4)}, np.zeros(4)),
        ((np.zeros((4, 3)), np.zeros(4)), np.zeros(4)),
        ([np.zeros((4, 3)), np.zeros(4)], np.zeros(4)),
        ([[1.0], [2.0], [3.0], [4.0]], np.zeros(4)),
        (pd.DataFrame({"a": 4 * [1.0]}), pd.Series(4 * [1.0])),
        (Dataset(np.zeros((4, 3)), np.zeros(4)), None),
        (Dataset(np.zeros((4, 3)), np.zeros(4)), np.zeros(4)),
        (np.zeros((4, 3)), np.zeros(4, dtype=bool)),
    ],
)
def test_data_that_fit_each_other_pass(X, y):
    check_data(net_of(), X, y)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (ONE, None, "targets y, found None. Pass the y"),
        (np.zeros((0, 3)), np.zeros(0), "X of length 0 and y of length 0"),
        (Dataset(np.zeros((0, 3)), np.zeros(0)), None, "X of length 0 and y of length None"),
        ({}, np.zeros(0), "at least one sample"),
        (np.zeros((4, 3)), np.zeros(3), "found 4 samples in X and 3 in y"),
        ([np.zeros((4, 3)), np.zeros(3)], np.zeros(4), r"same length, found \{0: 4, 1: 3\}"),
        ({"a": np.zeros(4), "b": np.zeros(3)}, np.zeros(4), r"found \{'a': 4, 'b': 3\}"),
        (np.float64(3.0), np.zeros(1), "found a scalar of type float64"),
        (ONE, np.array(["cat"]), "numeric targets y, found <U3 such as .*'cat'.*LabelEncoder"),
        (ONE, np.array([b"cat"]), "numeric targets y, found [|]S3"),
        (ONE, ["cat"], "numeric targets y, found words such as 'cat'"),
        (ONE, pd.Series(["cat"], dtype=object), "numeric targets y, found object such as 'cat'"),
    ],
)
def test_data_that_do_not_are_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        check_data(net_of(), X, y)


def test_tensors_of_trees_come_in_order():
    one, two, three = torch.ones(1), torch.ones(2), torch.ones(3)
    assert [len(t) for t in tensors_of({"b": [one, (two,)], "a": three, "c": "text"})] == [1, 2, 3]
    assert tensors_of(None) == []
