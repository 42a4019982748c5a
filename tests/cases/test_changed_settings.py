"""Advice in a net's own parameters."""

import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.cases import changed_net, changed_settings
from hessdiag.diagnosis import Recommendation

DECAY = {"weight_decay": "increase"}


class Hidden(nn.Module):
    def __init__(self, n_inputs=3, hidden=6, depth=2, n_outputs=2, seed=0):
        super().__init__()
        sizes = [n_inputs, *[hidden] * depth]
        self.body = nn.ModuleList([nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)])
        self.head = nn.Linear(hidden, n_outputs)


class Sizes(nn.Module):
    def __init__(self, sizes=(4, 8)):
        super().__init__()
        self.body = nn.Linear(3, sizes[0])
        self.middle = nn.Linear(*sizes)
        self.head = nn.Linear(sizes[1], 2)


@pytest.mark.parametrize(
    ("optimizer", "options", "settings"),
    [
        ("AdamW", {}, {"optimizer__weight_decay": 0.1}),
        ("AdamW", {"weight_decay": 0.0}, {"optimizer__weight_decay": 0.1}),
        ("Adam", {}, {"optimizer": torch.optim.AdamW, "optimizer__weight_decay": 0.1}),
        ("Adam", {"weight_decay": 3e-4}, {"optimizer__weight_decay": 3e-3}),
        ("SGD", {}, {"optimizer__weight_decay": 1e-3}),
    ],
)
def test_l2_and_decay_are_told_apart(optimizer, options, settings):
    options = {f"optimizer__{name}": value for name, value in options.items()}
    net = NeuralNetClassifier(Hidden, optimizer=getattr(torch.optim, optimizer), **options)
    assert changed_settings(net, DECAY) == settings
    changed = changed_net(net, DECAY).initialize()
    group = changed.optimizer_.param_groups[0]
    assert group["weight_decay"] == settings["optimizer__weight_decay"]
    assert isinstance(changed.optimizer_, settings.get("optimizer", net.optimizer))


@pytest.mark.parametrize(
    ("module", "given", "factor", "settings"),
    [
        (Hidden, {}, 4, {"module__hidden": 24}),
        (Hidden, {"hidden": 8}, 0.25, {"module__hidden": 2}),
        (Sizes, {}, 4, {"module__sizes": (16, 32)}),
    ],
)
def test_the_width_is_found_by_trying(module, given, factor, settings):
    net = NeuralNetClassifier(module, **{f"module__{k}": v for k, v in given.items()})
    state = torch.random.get_rng_state()
    assert changed_settings(net, {"width_factor": factor}) == settings
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("module", [nn.Sequential(nn.Linear(3, 2)), nn.Linear])
def test_a_width_that_is_no_parameter_is_named(module):
    net = NeuralNetClassifier(module)
    with pytest.raises(ValueError, match="Expected a net whose width is a parameter"):
        changed_settings(net, {"width_factor": 4})


def test_a_recommendation_is_applied_to_an_unfitted_clone():
    net = NeuralNetClassifier(Hidden, max_epochs=50).initialize()
    advice = Recommendation("constrain", ("body.0",), "Stop earlier.", {"stop_earlier": True})
    changed = advice.apply(net)
    assert changed.max_epochs == 10
    assert not changed.initialized_
    assert net.max_epochs == 50
    assert advice.code(net) == "net.set_params(max_epochs=10)"
    adam = NeuralNetClassifier(Hidden, optimizer=torch.optim.Adam)
    decay = Recommendation("constrain", (), "", DECAY)
    said = "net.set_params(optimizer=torch.optim.AdamW, optimizer__weight_decay=0.1)"
    assert decay.code(adam) == said
    assert Recommendation("keep", (), "").code(net) == ""
    with pytest.raises(ValueError, match="Expected one of width_factor"):
        changed_settings(net, {"dropout": 1})
