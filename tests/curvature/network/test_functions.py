"""Functions that a copied module holds reach the copy; what the user's own hold is left alone."""

import copy
import functools

import numpy as np
import torch
from dense_oracle import tabular_net
from torch import nn

import hessdiag as hd
from hessdiag.curvature.network._functions import bind_functions, containers_of

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 5)).astype("float32"), RNG.integers(0, 3, 20)


def copied(module):
    memo, made = {}, {}
    twin = copy.deepcopy(module, memo)
    bind_functions(twin, memo, made)
    return twin, made


def test_closures_defaults_and_partials_reach_the_copy():
    module = nn.Linear(2, 2)
    module.by_closure = lambda: module.weight
    module.by_default = lambda layer=module: layer.weight
    module.by_partial = functools.partial(lambda layer: layer.weight, module)
    module.by_keyword = functools.partial(lambda *, layer: layer.weight, layer=module)
    module.by_table = [lambda: {"layer": module}["layer"].weight]
    twin, _ = copied(module)
    for found in (twin.by_closure(), twin.by_default(), twin.by_partial(), twin.by_keyword()):
        assert found is twin.weight
    assert twin.by_table[0]() is twin.weight
    assert module.by_closure() is module.weight


def test_functions_and_lists_that_hold_themselves():
    module = nn.Linear(2, 2)
    kept = []
    kept.append(kept)

    def call(depth):
        return (module, kept) if depth == 0 else call(depth - 1)

    module.call = call
    twin, _ = copied(module)
    layer, own = twin.call(3)
    assert layer is twin
    assert own is not kept
    assert own[0] is own


def test_two_hooks_share_what_they_shared():
    sent, module = [], nn.Linear(5, 3)
    module.register_forward_pre_hook(lambda part, args: sent.append("before"))
    module.register_forward_hook(lambda part, args, output: sent.append("after"))
    twin, made = copied(module)
    twin(torch.ones(1, 5))
    assert sent == []
    assert made[id(sent)] == ["before", "after"]
    assert [type(found) for found in containers_of(module)] == [list]
    assert containers_of(module)[0] is sent


def test_lists_that_hooks_fill_are_left_alone():
    sent, counts = [], {"calls": 0}
    module = nn.Sequential(nn.Linear(5, 4), nn.GELU(), nn.Linear(4, 3))
    net = tabular_net(module, criterion=nn.CrossEntropyLoss)

    def count(part, args):
        counts["calls"] += 1

    net.module_[0].register_forward_hook(lambda part, args, output: sent.append(output))
    net.module_[2].register_forward_pre_hook(count)
    expected = hd.layer_spectra(net, X, Y)
    hd.examine(net, X, Y)
    assert sent == []
    assert counts == {"calls": 0}
    net.module_[0]._forward_hooks.clear()
    net.module_[2]._forward_pre_hooks.clear()
    for name, spectrum in hd.layer_spectra(net, X, Y).items():
        np.testing.assert_allclose(spectrum.nodes, expected[name].nodes)
