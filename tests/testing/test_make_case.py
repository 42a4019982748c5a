"""make_case gives small fitted networks, reproducibly."""

import time

import numpy as np
import pytest
import torch

from hessdiag.testing import make_case, make_cases, network_state, state_changes, surroundings_state


@pytest.mark.parametrize("kind", ["classifier", "binary", "regressor"])
def test_same_seed_same_network(kind):
    before = surroundings_state()
    first, second = make_case(kind, random_state=3), make_case(kind, random_state=3)
    assert state_changes(before, surroundings_state()) == []
    assert first.digest() == second.digest()
    assert first.digest() != make_case(kind, random_state=4).digest()
    assert first.digest() != make_case(kind, random_state=3, fit=False).digest()


def test_sizes_and_name():
    case = make_case(n_samples=30, n_features=5, width=7, depth=2, activation="tanh", name="mine")
    assert case.X.shape == (30, 5)
    assert case.name == "mine"
    names = [name for name, _ in case.net.module_.named_children()]
    assert names == ["hidden_0", "activation_0", "hidden_1", "activation_1", "head"]
    assert case.net.module_.hidden_1.weight.shape == (7, 7)


@pytest.mark.parametrize("kind", ["classifier", "binary", "regressor"])
def test_training_lowers_the_loss(kind):
    def loss(case):
        net = case.net
        return net.get_loss(net.infer(torch.as_tensor(case.X)), torch.as_tensor(case.y)).item()

    assert loss(make_case(kind)) < loss(make_case(kind, fit=False))


def test_quick():
    make_case()
    start = time.perf_counter()
    make_case(random_state=1)
    assert time.perf_counter() - start < 1


@pytest.mark.slow
def test_make_cases_varies():
    cases, diagnoses = make_cases(12)
    assert len({case.digest() for case in cases}) == 12
    assert {type(case.net).__name__ for case in cases} == {
        "NeuralNetClassifier",
        "NeuralNetBinaryClassifier",
        "NeuralNetRegressor",
    }
    assert {len(list(case.net.module_.children())) for case in cases} == {3, 5}
    assert np.unique(diagnoses, return_counts=True)[1].tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("touch", "changes"),
    [
        (lambda net: net.module_.train(), ["train/eval mode of module_"]),
        (lambda net: net.module_.head.bias.data.add_(1), ["module_.head.bias"]),
        (
            lambda net: net.module_.head.bias.requires_grad_(False),
            ["requires_grad of module_.head.bias"],
        ),
        (
            lambda net: setattr(net.module_.head.bias, "grad", torch.ones(3)),
            [".grad of module_.head.bias"],
        ),
        (
            lambda net: net.module_.head.register_forward_hook(lambda *_: None),
            ["hooks of module_.head"],
        ),
        (lambda net: setattr(net, "extra_", 1), ["attributes of the net"]),
    ],
)
def test_every_touch_is_seen(touch, changes):
    case = make_case()
    case.net.module_.eval()
    before = network_state(case)
    assert state_changes(before, network_state(case)) == []
    touch(case.net)
    found = state_changes(before, network_state(case))
    assert set(changes) <= set(found)


def test_data_and_surroundings_are_seen():
    case = make_case()
    before = network_state(case)
    case.X[0, 0] += 1
    assert state_changes(before, network_state(case)) == ["X"]
    before = surroundings_state()
    state = torch.get_rng_state()
    torch.rand(1)
    assert state_changes(before, surroundings_state()) == ["torch's random generator"]
    torch.set_rng_state(state)
