"""Looking on at calls: what is seen, in which order, and that nothing is left behind."""

import pytest
import torch
from torch import nn

from hessdiag.curvature.network import hooked, received_by


def n_hooks(module):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def test_every_call_is_seen_with_what_went_in_and_came_out():
    module = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    seen = []
    x = torch.randn(4, 2)
    with hooked(
        module,
        before=lambda m, args, kwargs: seen.append(("before", m, args[0])),
        after=lambda m, args, kwargs, output: seen.append(("after", m, output)),
    ):
        output = module(x)
    assert [(when, m) for when, m, _ in seen] == [
        ("before", module[0]),
        ("after", module[0]),
        ("before", module[1]),
        ("after", module[1]),
    ]
    assert seen[0][2] is x
    assert torch.equal(seen[1][2], seen[2][2])
    assert seen[3][2] is output
    module(x)
    assert len(seen) == 4


def test_a_module_named_twice_is_hooked_once():
    layer, calls = nn.Linear(2, 2), []
    with hooked([layer, layer], before=lambda *_: calls.append(1)):
        layer(torch.zeros(1, 2))
    assert calls == [1]


def test_own_hooks_come_second_and_what_is_returned_replaces():
    layer = nn.Linear(2, 2)
    own = []
    layer.register_forward_hook(lambda m, args, output: own.append(output))
    layer.register_forward_pre_hook(lambda m, args: own.append(args[0]))
    before, after = [], []
    with hooked(
        [layer],
        before=lambda m, args, kwargs: before.append(len(own)),
        after=lambda m, args, kwargs, output: after.append(len(own)) or torch.zeros(1, 2),
    ):
        output = layer(torch.ones(1, 2))
    assert (before, after) == ([0], [1])
    assert torch.equal(own[1], torch.zeros(1, 2))
    assert torch.equal(output, torch.zeros(1, 2))


@pytest.mark.parametrize("where", ["in the call", "in the hook", "in setting up"])
def test_hooks_are_gone_after_an_error(where):
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))

    def fail(*args):
        raise KeyError("told to")

    watched = [module[0], "no module"] if where == "in setting up" else module
    error = AttributeError if where == "in setting up" else (KeyError, RuntimeError)
    with (
        pytest.raises(error),
        hooked(watched, before=lambda *_: None, after=fail if where == "in the hook" else None),
    ):
        module(torch.ones(1, 5 if where == "in the call" else 2))
    assert n_hooks(module) == 0


def test_what_is_received_is_found_by_place_or_by_name():
    x, z = torch.ones(1), torch.zeros(1)
    assert received_by((x, z), {}) is x
    assert received_by((), {"input": x, "x": z}) is x
    assert received_by((), {"x": z}) is z
    assert received_by((), {"other": z}) is None
