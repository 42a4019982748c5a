"""Closed rules one by one: what a layer received and any sweeps, against `jacrev` in float64."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hessdiag.curvature.factors import DenseFactor, OuterFactor, find_rule

N, D = 3, 2


def randomized(layer):
    """Give a layer parameters and statistics that are nowhere 0 or 1."""
    layer = layer.double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
        for name, buffer in layer.named_buffers():
            if name.startswith("running"):
                buffer.uniform_(0.5, 2.0)
    return layer


def expected_jacobian(layer, pieces, received, sweeps):
    """Sum the sweeps times the layer's own Jacobian, which `jacrev` takes in every parameter."""
    values = tuple(getattr(layer, piece).detach() for piece in pieces)

    def sent(values):
        return torch.func.functional_call(layer, dict(zip(pieces, values)), (received,))

    parts = []
    for jacobian, value in zip(torch.func.jacrev(sent)(values), values):
        # (n, ..., *p): each sample's entries are weighted by its own sweeps.
        jacobian = jacobian.reshape(N, -1, value.numel())
        parts.append(torch.einsum("ncs,nsp->ncp", sweeps.flatten(2), jacobian))
    return torch.cat(parts, dim=2)


def check(layer, received, pieces=None):
    layer = randomized(layer)
    if pieces is None:
        pieces = [name for name, p in layer.named_parameters(recurse=False)]
    sweeps = torch.randn(N, D, *layer(received).shape[1:], dtype=torch.float64)
    factor = find_rule(layer, pieces)(layer, pieces, received, sweeps)
    expected = expected_jacobian(layer, pieces, received, sweeps)
    assert (factor.n_samples, factor.n_outputs, factor.n_params) == expected.shape
    torch.testing.assert_close(factor.dense(), expected, rtol=1e-9, atol=1e-11)
    return factor


def numbers(*shape):
    return torch.randn(N, *shape, dtype=torch.float64)


@pytest.mark.parametrize("between", [(), (4,), (2, 3)])
@pytest.mark.parametrize("pieces", [["weight", "bias"], ["bias", "weight"], ["weight"], ["bias"]])
def test_linear(between, pieces):
    factor = check(nn.Linear(5, 4), numbers(*between, 5), pieces)
    assert isinstance(factor, OuterFactor)
    assert factor.is_plain == (between == ())
    check(nn.Linear(5, 1, bias=False), numbers(*between, 5))


KINDS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@st.composite
def convolutions(draw):
    """A convolution of any settings, and the size of images that it takes."""
    n_axes = draw(st.sampled_from([1, 1, 2, 2, 3]))
    groups = draw(st.integers(1, 2))

    def of_each_axis(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(n_axes))

    kernel, stride, dilation = of_each_axis(1, 3), of_each_axis(1, 2), of_each_axis(1, 2)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    padding = draw(st.sampled_from(["numbers", "numbers", "same", "valid"]))
    if padding == "numbers":
        padding = of_each_axis(0, 2)
    elif padding == "same":
        stride = n_axes * (1,)
    size = tuple(draw(st.integers(max(3, span), 6)) for span in spans)
    layer = KINDS[n_axes](
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 2)),
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"])),
    )
    return layer, size


@settings(deadline=None, max_examples=80)
@given(convolutions(), st.integers(0, 1000))
def test_convolutions(drawn, seed):
    layer, size = drawn
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        # Padding by kernels of even length copies the input, and torch says so.
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel")
        factor = check(layer, numbers(layer.in_channels, *size))
    assert isinstance(factor, OuterFactor)
    assert factor.groups == layer.groups


@pytest.mark.parametrize("between", [(), (4,), (2, 3)])
@pytest.mark.parametrize("padding_idx", [None, 0, -1])
def test_embeddings(between, padding_idx):
    layer = nn.Embedding(5, 3, padding_idx=padding_idx)
    tokens = torch.randint(5, (N, *between))
    if between:
        tokens[0] = 0  # one token many times
        tokens[1, ..., :1] = 4
    factor = check(layer, tokens)
    if padding_idx is not None:
        rows = factor.dense().view(N, D, 5, 3)
        assert not rows[:, :, padding_idx].any()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(4), (4,)),
        (nn.BatchNorm1d(4, eps=0.1), (4, 5)),
        (nn.BatchNorm2d(2), (2, 3, 4)),
        (nn.BatchNorm3d(2), (2, 2, 3, 2)),
        (nn.LayerNorm(4), (4,)),
        (nn.LayerNorm(4, bias=False, eps=0.1), (3, 4)),
        (nn.LayerNorm((3, 4)), (2, 3, 4)),
        (nn.GroupNorm(2, 4), (4,)),
        (nn.GroupNorm(1, 4, eps=0.1), (4, 5)),
        (nn.GroupNorm(4, 4), (4, 2, 3)),
        (nn.RMSNorm(4), (4,)),
        (nn.RMSNorm((3, 4), eps=0.1), (2, 3, 4)),
        (nn.PReLU(), (4,)),
        (nn.PReLU(), (4, 3, 2)),
        (nn.PReLU(4), (4,)),
        (nn.PReLU(4), (4, 3, 2)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
def test_layers_that_scale_and_shift(layer, shape):
    assert isinstance(check(layer, numbers(*shape)), DenseFactor)
    names = [name for name, _ in layer.named_parameters()]
    for name in names:
        check(layer, numbers(*shape), [name])
    check(layer, numbers(*shape), names[::-1])


class Own(nn.Linear):
    """A linear layer that does something else."""

    def forward(self, x):
        return 2 * super().forward(x)


class Named(nn.Linear):
    """A linear layer by another name."""


@pytest.mark.parametrize(
    ("layer", "pieces", "has_one"),
    [
        (nn.Linear(2, 2), ["weight", "bias"], True),
        (Named(2, 2), ["weight"], True),
        (Own(2, 2), ["weight"], True),  # that it does not fit shows where it is applied
        (nn.Linear(2, 2), ["weight", "scale"], False),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), ["original0", "original1"], False),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), ["bias"], True),
        (nn.Bilinear(2, 2, 2), ["weight"], False),
        (nn.ConvTranspose1d(2, 2, 2), ["weight"], False),
        (nn.EmbeddingBag(2, 2), ["weight"], False),
        (nn.InstanceNorm1d(2, affine=True), ["weight"], False),
        (nn.GRUCell(2, 2), ["weight_ih"], False),
    ],
    ids=range(11),
)
def test_which_layers_have_rules(layer, pieces, has_one):
    assert (find_rule(layer, pieces) is not None) == has_one


def test_factors_are_linear_in_the_sweeps_and_separate_by_sample():
    layer = randomized(nn.Conv1d(2, 4, 3, padding=1, groups=2))
    received, pieces = numbers(2, 5), ["weight", "bias"]
    one, other = numbers(D, 4, 5), numbers(D, 4, 5)
    rule = find_rule(layer, pieces)

    def dense(received, sweeps):
        return rule(layer, pieces, received, sweeps).dense()

    torch.testing.assert_close(
        dense(received, one - 3 * other), dense(received, one) - 3 * dense(received, other)
    )
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(dense(received[order], one[order]), dense(received, one)[order])
