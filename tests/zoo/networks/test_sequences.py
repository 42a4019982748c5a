"""Networks of patches, positions and tokens see samples as they should."""

import pytest
import torch
from torch import nn

from hessdiag.zoo.networks import (
    CNN2dGlobal,
    GRUNet,
    LSTMNet,
    MixerNet,
    ResNet,
    TextCNN,
    TransformerNet,
)


def counting(n_inputs):
    return torch.arange(1.0, n_inputs + 1)[None]


@pytest.mark.parametrize(
    ("shape", "n_patches", "patch"),
    [
        ((1, 12), 12, [[1]]),
        ((1, 40), 14, [[1, 2, 3]]),
        ((2, 35), 12, [[1, 2, 3], [36, 37, 38]]),
        ((1, 8, 8), 16, [[1, 2, 9, 10]]),
        ((1, 9, 3), 9, [[1, 4, 7]]),
        ((3, 16, 16), 16, None),
    ],
)
def test_patches_hold_every_value_once(shape, n_patches, patch):
    n_inputs = torch.Size(shape).numel()
    embedding = MixerNet(n_inputs, 2, width=1, input_shape=shape).embedding
    assert embedding.n_patches == n_patches
    projection = embedding.projection
    nn.init.ones_(projection.weight)
    nn.init.zeros_(projection.bias)
    found = embedding(counting(n_inputs))
    assert found.shape == (1, n_patches, 1)
    assert found.sum() == counting(n_inputs).sum()
    if patch is not None:
        assert found[0, 0, 0] == sum(map(sum, patch))


@pytest.mark.parametrize(
    ("shape", "n_steps", "first", "last"),
    [
        ((1, 12), 12, [1], [12]),
        ((2, 5), 5, [1, 6], [5, 10]),
        ((1, 41), 21, [0, 1], [40, 41]),  # two positions a step, the first one padded
        ((2, 3, 2), 3, [1, 2, 7, 8], [5, 6, 11, 12]),  # rows of an image of two channels
    ],
)
def test_steps_come_in_order(shape, n_steps, first, last):
    n_inputs = torch.Size(shape).numel()
    steps = GRUNet(n_inputs, 2, width=1, input_shape=shape).steps(counting(n_inputs))
    assert steps.shape[:2] == (1, n_steps)
    assert steps[0, 0].tolist() == first
    assert steps[0, -1].tolist() == last
    assert steps.sum() == counting(n_inputs).sum()


def test_recurrent_nets_read_forward_and_pool():
    torch.manual_seed(0)
    X = torch.randn(3, 8, dtype=torch.float64)
    gru = GRUNet(8, 2, width=4, input_shape=(1, 8)).double()
    state = torch.zeros(3, 4, dtype=torch.float64)
    cell = nn.GRUCell(1, 4).double()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data = getattr(gru.recurrent, f"{name}_l0").data
    for t in range(8):
        state = cell(X[:, t : t + 1], state)
    torch.testing.assert_close(gru(X), gru.head(state))
    lstm = LSTMNet(8, 2, width=4, input_shape=(1, 8)).double()
    states, _ = lstm.recurrent(X[:, :, None])
    torch.testing.assert_close(lstm(X), lstm.head(states.sum(dim=1) / 8))


@pytest.mark.parametrize("net_class", [TextCNN, GRUNet, LSTMNet, TransformerNet])
def test_tokens_are_ids_alone(net_class):
    """A token's number says nothing but which vector it has."""
    torch.manual_seed(0)
    net = net_class(9, 3, width=4, input_shape=(6, 9)).double().eval()
    X = torch.randint(0, 6, (5, 9)).double()
    expected = net(X)
    order = torch.randperm(6)
    embedding = net.steps if hasattr(net, "steps") else net.embedding
    with torch.no_grad():
        embedding.table.weight[order] = embedding.table.weight.clone()
    torch.testing.assert_close(net(order[X.long()].double()), expected)
    torch.testing.assert_close(net(X.float().double()), net(X))
    with pytest.raises(IndexError):
        net(X + 6)


def test_positions_are_told_apart():
    torch.manual_seed(0)
    net = TransformerNet(9, 3, width=4, input_shape=(6, 9)).eval()
    X = torch.randint(0, 6, (5, 9)).float()
    assert not torch.allclose(net(X), net(X.flip(1)))
    nn.init.zeros_(net.position.table.weight)
    torch.testing.assert_close(net(X), net(X.flip(1)))


@pytest.mark.parametrize(("width", "heads"), [(2, 1), (6, 1), (8, 2), (12, 2), (16, 4), (40, 4)])
def test_heads_are_not_too_small(width, heads):
    net = TransformerNet(12, 2, width=width, input_shape=(1, 12))
    assert net.encoder[0].self_attn.num_heads == heads


def test_global_pooling_forgets_where_things_are():
    net = CNN2dGlobal(36, 2, width=3, depth=1, input_shape=(1, 6, 6)).double()
    image = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    image[0, 0, 1:3, 1:3] = torch.randn(2, 2)
    moved = image.roll((2, 2), dims=(2, 3))
    torch.testing.assert_close(net(image.flatten(1)), net(moved.flatten(1)))


def test_residual_blocks_halve_and_add():
    net = ResNet(256, 2, width=4, depth=3, input_shape=(1, 16, 16)).eval()
    state = net.activation(net.norm(net.stem(net.unflatten(torch.randn(2, 256)))))
    shapes = [state.shape[1:]]
    for index in range(3):
        state = getattr(net, f"block_{index}")(state)
        shapes.append(state.shape[1:])
    assert [tuple(shape) for shape in shapes] == [(4, 16, 16), (8, 8, 8), (16, 4, 4), (16, 4, 4)]
    block = net.block_2
    nn.init.zeros_(block.norm_1.weight)
    nn.init.zeros_(block.norm_1.bias)
    torch.testing.assert_close(block(state), state)  # nothing added, and no value is negative


@pytest.mark.parametrize(
    ("net_class", "shape", "choice"),
    [
        (GRUNet, (1, 12), {"activation": "relu"}),
        (TransformerNet, (1, 12), {"normalization": "batch"}),
        (TransformerNet, (1, 12), {"activation": "selu"}),
        (MixerNet, (1, 12), {"normalization": "batch"}),
        (ResNet, (1, 3, 4), {"normalization": "instance"}),
    ],
)
def test_choices_that_a_network_does_not_have(net_class, shape, choice):
    with pytest.raises(ValueError, match=r"Expected (activation|normalization) .*found .*Pass"):
        net_class(12, 2, input_shape=shape, **choice)
