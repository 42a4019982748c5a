"""The families of networks compute what their docstrings say."""

import numpy as np
import pytest
import torch

from hessdiag.zoo import MLP, AttentionNet, CNN1d, CNN2d, ResidualMLP
from hessdiag.zoo.networks import (
    CNN1dGlobal,
    CNN2dGlobal,
    GRUNet,
    LSTMNet,
    MixerNet,
    ResNet,
    ResNet1d,
    TextCNN,
    TransformerNet,
)

FAMILIES = {
    "mlp": (MLP, 12, {}),
    "residual_mlp": (ResidualMLP, 12, {}),
    "cnn1d": (CNN1d, 24, {"input_shape": (2, 12)}),
    "cnn2d": (CNN2d, 48, {"input_shape": (1, 6, 8)}),
    "attention": (AttentionNet, 20, {}),
    "attention on series": (AttentionNet, 70, {"input_shape": (2, 35)}),
    "attention on images": (AttentionNet, 60, {"input_shape": (1, 20, 3)}),
    "cnn1d_global": (CNN1dGlobal, 24, {"input_shape": (2, 12)}),
    "cnn2d_global": (CNN2dGlobal, 48, {"input_shape": (1, 6, 8)}),
    "resnet1d": (ResNet1d, 40, {"input_shape": (2, 20)}),
    "resnet": (ResNet, 64, {"input_shape": (1, 8, 8)}),
    "gru": (GRUNet, 90, {"input_shape": (2, 45)}),
    "lstm": (LSTMNet, 48, {"input_shape": (1, 6, 8)}),
    "transformer": (TransformerNet, 70, {"input_shape": (2, 35)}),
    "transformer on images": (TransformerNet, 60, {"input_shape": (1, 20, 3)}),
    "mixer": (MixerNet, 60, {"input_shape": (1, 20, 3)}),
}
TOKENS = {"textcnn": TextCNN, "gru": GRUNet, "lstm": LSTMNet, "transformer": TransformerNet}
for name, net_class in TOKENS.items():
    FAMILIES[f"{name} on tokens"] = (net_class, 9, {"input_shape": (6, 9)})
GATED = ("gru", "lstm", "gru on tokens", "lstm on tokens")


def samples(n_samples, n_inputs, input_shape=None, dtype=torch.float32):
    if input_shape is not None and input_shape[-1] == n_inputs:
        return torch.randint(0, input_shape[0], (n_samples, n_inputs)).to(dtype)
    return torch.randn(n_samples, n_inputs, dtype=dtype)


@pytest.mark.parametrize(
    ("family", "activation"),
    [
        (family, activation)
        for family in FAMILIES
        for activation in ("relu", "tanh", "gelu")
        if activation == "tanh" or family not in GATED
    ],
)
def test_every_parameter_counts_once_and_twice_differentiated(family, activation):
    net_class, n_inputs, options = FAMILIES[family]
    torch.manual_seed(0)
    net = net_class(n_inputs, 3, width=4, depth=2, activation=activation, **options)
    net = net.double().eval()
    X = samples(7, n_inputs, dtype=torch.float64, **options)
    # Fused attention has no second derivative.
    with torch.nn.attention.sdpa_kernel([torch.nn.attention.SDPBackend.MATH]):
        outputs = net(X)
    assert outputs.shape == (7, 3)
    parameters = list(net.parameters())
    gradients = torch.autograd.grad((outputs**2).sum(), parameters, create_graph=True)
    assert all(g.abs().max() > 0 for g in gradients)
    total = sum((g**2).sum() for g in gradients)
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(total, parameters))
    # Samples do not see one another.
    torch.testing.assert_close(net(X[2:3]), outputs[2:3])


@pytest.mark.parametrize("family", ["mlp", "residual_mlp", "cnn1d", "cnn2d"])
@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_normalization_does_away_with_the_scale_of_inputs(family, normalization):
    net_class, n_inputs, options = FAMILIES[family]
    torch.manual_seed(0)
    net = net_class(n_inputs, 3, width=8, depth=1, normalization=normalization, **options)
    net = net.double().train()
    X = torch.randn(50, n_inputs, dtype=torch.float64)
    with torch.no_grad():
        if family == "residual_mlp":
            X = torch.randn(50, 8, dtype=torch.float64)
            change = [net.block_0(scale * X) - scale * X for scale in (10.0, 100.0)]
        else:
            (net.hidden_0 if family == "mlp" else net.conv_0).bias.zero_()
            change = [net(scale * X) for scale in (10.0, 100.0)]
    torch.testing.assert_close(*change, rtol=1e-2, atol=1e-3)


def test_dropout_in_training_alone():
    for net_class, n_inputs, options in FAMILIES.values():
        net = net_class(n_inputs, 3, width=8, dropout=0.5, **options)
        X = samples(5, n_inputs, **options)
        assert not torch.equal(net.train()(X), net.train()(X))
        assert torch.equal(net.eval()(X), net.eval()(X))


def test_residual_mlp_by_hand():
    net = ResidualMLP(5, 2, width=3, depth=2, activation="tanh", normalization="layer").double()
    x = np.random.default_rng(0).normal(size=5)
    named = {name: value.detach().numpy() for name, value in net.named_parameters()}

    def linear(name, x):
        return named[f"{name}.weight"] @ x + named[f"{name}.bias"]

    state = linear("projection", x)
    for block in ("block_0", "block_1"):
        normed = (state - state.mean()) / np.sqrt(state.var() + 1e-5)
        state = state + linear(f"{block}.out", np.tanh(linear(f"{block}.hidden", normed)))
    found = net(torch.as_tensor(x)[None]).detach().numpy()[0]
    np.testing.assert_allclose(found, linear("head", state), rtol=1e-10)


def test_attention_by_hand():
    """Token by token, with an embedding of its own for each feature."""
    n_inputs, width = 5, 4
    net = AttentionNet(n_inputs, 2, width=width, depth=1, normalization="none").double()
    x = np.random.default_rng(0).normal(size=n_inputs)
    named = {name: value.detach().numpy() for name, value in net.named_parameters()}
    embedding = named["embedding.weight"]
    state = [
        x[i] * embedding[:, i] + embedding[:, n_inputs + i] + named["embedding.bias"]
        for i in range(n_inputs)
    ]

    def linear(name, x):
        return named[f"block_0.{name}.weight"] @ x + named[f"block_0.{name}.bias"]

    parts = [np.split(linear("query_key_value", token), 3) for token in state]
    after = []
    for token, (query, _, _) in zip(state, parts, strict=True):
        weights = np.exp([query @ key / np.sqrt(width) for _, key, _ in parts])
        weights /= weights.sum()
        token = token + linear("mix", sum(w * v for w, (_, _, v) in zip(weights, parts)))
        after.append(token + linear("out", np.maximum(linear("hidden", token), 0)))
    expected = named["head.weight"] @ np.mean(after, axis=0) + named["head.bias"]
    found = net(torch.as_tensor(x)[None]).detach().numpy()[0]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("n_inputs", "shape", "n_tokens", "size"),
    [
        (7, None, 7, 7 + 7),
        (40, None, 14, 14 * 3 + 14),  # three features a token, the last one padded
        (40, (1, 40), 14, 3 + 14),
        (70, (2, 35), 12, 2 * 3 + 12),
        (64, (1, 8, 8), 8, 8 + 8),
        (400, (1, 20, 20), 10, 40 + 10),
    ],
)
def test_tokens_hold_every_value_once(n_inputs, shape, n_tokens, size):
    net = AttentionNet(n_inputs, 2, width=2, input_shape=shape)
    X = torch.arange(1.0, n_inputs + 1)[None] + 1  # no value is 0 or 1
    tokens = net.tokens(X)
    assert tokens.shape == (1, n_tokens, size)
    values = tokens[..., :-n_tokens]
    assert sorted(values[values != 0].tolist()) == X[0].tolist()
    assert torch.equal(tokens[0, :, -n_tokens:], torch.eye(n_tokens))
    if shape and len(shape) == 2:
        patch = -(-shape[1] // 16)
        first = X.reshape(shape)[:, :patch].flatten()
        assert torch.equal(values[0, 0], first)


def test_cnn_sees_the_sample_in_its_shape():
    net = CNN2d(12, 1, width=1, depth=1, input_shape=(1, 3, 4))
    X = torch.zeros(1, 12)
    X[0, 6] = 1.0  # row 1, column 2
    image = net.unflatten(X)
    assert image[0, 0].nonzero().tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("net_class", "shape"),
    [
        (CNN1d, (1, 2, 6)),
        (CNN2d, (1, 12)),
        (CNN1d, None),
        (CNN1d, (1, 13)),
        (AttentionNet, (3, 5)),
        (ResNet, (1, 12)),
        (ResNet1d, None),
        (GRUNet, None),
        (GRUNet, (5, 13)),
        (LSTMNet, (12,)),
        (TransformerNet, (1, 13)),
        (TransformerNet, None),
        (MixerNet, (5, 12)),
        (TextCNN, (1, 12)),
        (TextCNN, (2, 6)),
        (TextCNN, None),
    ],
)
def test_shapes_that_do_not_fit(net_class, shape):
    with pytest.raises(ValueError, match="input_shape"):
        net_class(12, 2, input_shape=shape)
