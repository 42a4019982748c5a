"""Layers cut out of a net: owners, order, ties, names, patterns, and groups of one's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import copy_of
from torch import nn

from hessdiag.curvature.network import matches, owner_of, select_blocks


class Encoder(nn.Module):
    """Parameters of its own, a tie between two layers, a frozen one, a layer that is not called."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.ones(4))
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4, bias=False))
        self.again = nn.Linear(4, 4)
        self.again.weight = self.body[0].weight
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.unused = nn.ModuleDict({"inner": nn.Linear(1, 3)})


# As a forward pass would call them; `frozen` and `unused` are not called.
CALLED = ["", "body", "body.0", "body.1", "body.2", "again", "head"]


def blocks_of(layers=None, module=None, called=CALLED):
    copy = copy_of(Encoder() if module is None else module)
    return copy, select_blocks(copy, called, layers)


def test_every_module_that_owns_trainable_parameters_is_a_layer_in_forward_order():
    copy, blocks = blocks_of()
    found = [(b.name, b.kind, b.parameter_names, b.n_params) for b in blocks]
    assert found == [
        ("module", "Encoder", ("scale",), 4),
        ("body.0", "Linear", ("body.0.weight", "body.0.bias"), 20),
        ("body.2", "Linear", ("body.2.weight",), 16),
        ("again", "Linear", ("again.bias",), 4),
        ("head", "Linear", ("head.weight", "head.bias"), 10),
        ("unused.inner", "Linear", ("unused.inner.weight", "unused.inner.bias"), 6),
    ]
    modules = copy.modules_by_name()
    for block in blocks:
        assert block.module is modules["" if block.name == "module" else block.name]


@settings(deadline=None, max_examples=15)
@given(st.permutations(CALLED))
def test_the_order_is_that_of_calls_whatever_is_registered_first(called):
    names = [block.name for block in blocks_of(called=called)[1]]
    order = ["module" if name == "" else name for name in called]
    expected = [name for name in order if name not in ("body", "body.1")]
    assert [name for name in names if name != "unused.inner"] == expected
    # A tie counts where it is called first, so that no parameter is in two layers.
    parameters = [id(p) for b in blocks_of(called=called)[1] for p in b.parameters]
    assert len(parameters) == len(set(parameters))


def test_what_is_never_called_itself_stands_where_its_parent_is_called():
    _, blocks = blocks_of(called=["", "head", "unused", "body.0", "body.2"])
    names = [block.name for block in blocks]
    assert names == ["module", "head", "unused.inner", "body.0", "body.2", "again"]


def test_a_tie_belongs_to_the_layer_that_is_called_first():
    _, blocks = blocks_of(called=["", "again", "body.0", "body.2", "head"])
    owned = {block.name: block.parameter_names for block in blocks}
    assert owned["again"] == ("again.weight", "again.bias")
    assert owned["body.0"] == ("body.0.bias",)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("head", ["head"]),
        ("body.*", ["body.0", "body.2"]),
        (["head", "body.[0-1]"], ["body.0", "head"]),
        ("*", ["module", "body.0", "body.2", "again", "head", "unused.inner"]),
        (("module", "module"), ["module"]),
    ],
)
def test_names_and_patterns_choose_and_all_else_is_frozen(layers, expected):
    copy, blocks = blocks_of(layers)
    assert [block.name for block in blocks] == expected
    chosen = {id(p) for block in blocks for p in block.parameters}
    for parameter in copy.parameters():
        assert parameter.requires_grad == (id(parameter) in chosen)


def test_groups_are_made_of_names_patterns_and_owners():
    copy, blocks = blocks_of({"ends": ["scale", "head.*"], 7: "body.0", "rest": "body.2"})
    assert [(b.name, b.kind, b.parameter_names) for b in blocks] == [
        ("ends", "Block", ("scale", "head.weight", "head.bias")),
        ("7", "Linear", ("body.0.weight", "body.0.bias")),
        ("rest", "Linear", ("body.2.weight",)),
    ]
    assert blocks[0].module is None
    assert blocks[1].module is copy.modules_by_name()["body.0"]
    # All names of a tie lead to the one parameter, which counts once.
    (tied,) = blocks_of({"tied": ["again.weight", "body.0.weight", "*.weight"]})[1]
    assert tied.parameter_names[0] in ("again.weight", "body.0.weight")
    assert len({id(p) for p in tied.parameters}) == len(tied.parameters) == 4


def test_parametrizations_count_as_their_layers():
    module = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
        nn.utils.parametrizations.orthogonal(nn.Linear(3, 2)),
    )
    called = ["", "0", "0.parametrizations.weight", "0.parametrizations.weight.0", "1"]
    _, blocks = blocks_of(module=module, called=called)
    assert [(b.name, b.kind, b.n_params) for b in blocks] == [
        ("0", "Linear", 15),
        ("1", "Linear", 8),
    ]


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("weight", ""),
        ("a.b.weight", "a.b"),
        ("a.parametrizations.weight.original0", "a"),
        ("parametrizations.weight.original", ""),
    ],
)
def test_owners_of_parameters(name, owner):
    assert owner_of(name) == owner


def test_a_plain_name_is_its_own_pattern():
    assert matches("layer[0]", "layer[0]")
    assert matches("layer0", "layer[0]")
    assert not matches("Layer0", "layer0")
    assert matches("a.b.c", "a.*")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "empty list of layers"),
        ({}, "empty dict of layers"),
        (["head", "tail"], r"'tail', which matches none.*head, unused\.inner"),
        ("frozen", "'frozen', which matches none"),
        ({"a": ["frozen.*"]}, r"'frozen\.\*' in block 'a'.*trainable parameters: scale"),
        ({"a": "head", "b": "head.bias"}, r"'head\.bias' in 'a' and 'b'\. Remove it from one"),
        ({"a": "again.weight", "b": "body.0"}, r"'body\.0\.weight' in 'a' and 'b'"),
    ],
)
def test_what_is_wrong_is_said(layers, message):
    with pytest.raises(ValueError, match=message):
        blocks_of(layers)
