"""Factors against dense Jacobians, and closed rules used wherever there is one."""

from unittest import mock

import numpy as np
import pytest
import torch
from dense_oracle import KINDS, make_net
from hypothesis import given, settings
from hypothesis import strategies as st
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature import prepare
from hessdiag.curvature.factors import _capture as capture
from hessdiag.curvature.factors import _per_sample as per_sample
from hessdiag.curvature.factors._dense_factor import DenseFactor
from hessdiag.curvature.factors._embedding_factor import EmbeddingFactor
from hessdiag.curvature.factors._formed_gram import form_gram, gram_pays
from hessdiag.curvature.factors._join import add_factors, join_factors
from hessdiag.curvature.factors._outer_factor import OuterFactor
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.examination import examine
from hessdiag.spectra import layer_spectra

sizes = st.integers(1, 4)


@st.composite
def outer_factors(draw, n_samples=None):
    n, c, g, t, o, i = (draw(sizes) for _ in range(6))
    n = n if n_samples is None else n_samples
    pieces = draw(st.sampled_from([("weight", "bias"), ("bias", "weight"), ("weight",), ("bias",)]))
    transposed = draw(st.booleans())
    torch.manual_seed(draw(st.integers(0, 1000)))
    inputs, sweeps = torch.randn(n, g, t, i).double(), torch.randn(n, c, g, t, o).double()
    return OuterFactor(inputs, sweeps, pieces, transposed)


def brute_force(factor):
    """The Jacobian by its definition, entry by entry."""
    a, s = factor.inputs.numpy(), factor.sweeps.numpy()
    n, c, g, t, o = s.shape
    parts = []
    for piece in factor.pieces:
        if piece == "bias":
            parts.append(s.sum(axis=3).reshape(n, c, g * o))
            continue
        weights = np.zeros((n, c, g, o, a.shape[3]))
        for index in np.ndindex(weights.shape):
            for u in range(t):
                weights[index] += s[(*index[:3], u, index[3])] * a[index[0], index[2], u, index[4]]
        weights = np.swapaxes(weights, 3, 4) if factor.transposed else weights
        parts.append(weights.reshape(n, c, -1))
    return np.concatenate(parts, axis=2)


@settings(deadline=None, max_examples=60)
@given(outer_factors())
def test_outer_factors_equal_their_definition(factor):
    expected = brute_force(factor)
    n, c, p = expected.shape
    np.testing.assert_allclose(factor.dense().numpy(), expected, atol=1e-12)
    assert (factor.n_samples, factor.n_outputs, factor.n_params) == (n, c, p)
    rows = expected.reshape(n * c, p)
    by_positions = sum(factor.gram_of_group(g, torch.float64) for g in range(factor.groups))
    for gram in (factor.gram(), by_positions, factor._gram_by_jacobian()):
        np.testing.assert_allclose(gram.numpy(), rows @ rows.T, atol=1e-10)
    vectors, outputs = torch.randn(3, p).double(), torch.randn(2, n, c).double()
    np.testing.assert_allclose(
        factor.matvec(vectors).numpy(), np.einsum("ncp,kp->knc", expected, vectors), atol=1e-10
    )
    np.testing.assert_allclose(
        factor.rmatvec(outputs).numpy(), np.einsum("ncp,knc->kp", expected, outputs), atol=1e-10
    )
    weights = torch.randn(n, c, 2).double()
    np.testing.assert_allclose(
        factor.weighted(weights).dense().numpy(),
        np.einsum("ncp,ncr->nrp", expected, weights),
        atol=1e-10,
    )


@settings(deadline=None, max_examples=20)
@given(outer_factors())
def test_dense_factors_do_the_same(factor):
    dense = DenseFactor(factor.dense())
    vectors = torch.randn(2, factor.n_params).double()
    outputs = torch.randn(2, factor.n_samples, factor.n_outputs).double()
    weights = torch.randn(factor.n_samples, factor.n_outputs, 2).double()
    for first, second in (
        (dense.gram(), factor.gram()),
        (dense.matvec(vectors), factor.matvec(vectors)),
        (dense.rmatvec(outputs), factor.rmatvec(outputs)),
        (dense.weighted(weights).dense(), factor.weighted(weights).dense()),
    ):
        torch.testing.assert_close(first, second)


def test_joined_factors_pad_positions_and_mix_kinds():
    long = OuterFactor(torch.randn(2, 1, 3, 4), torch.randn(2, 2, 1, 3, 5), ("weight", "bias"))
    short = OuterFactor(torch.randn(1, 1, 2, 4), torch.randn(1, 2, 1, 2, 5), ("weight", "bias"))
    expected = torch.cat([long.dense(), short.dense()])
    for pieces in ([long, short], [long, DenseFactor(short.dense())]):
        torch.testing.assert_close(join_factors(pieces).dense(), expected)
    assert isinstance(join_factors([long, short]), OuterFactor)


@settings(deadline=None, max_examples=30)
@given(sizes, sizes, sizes, sizes, st.integers(0, 1000))
def test_embedding_factors_equal_their_definition(n, c, t, e, seed):
    torch.manual_seed(seed)
    index, sweeps = torch.randint(5, (n, t)), torch.randn(n, c, t, e).double()
    expected = torch.zeros(n, c, 5, e).double()
    for i in range(n):
        for u in range(t):
            expected[i, :, index[i, u]] += sweeps[i, :, u]
    factor, dense = EmbeddingFactor(index, sweeps, 5), DenseFactor(expected.flatten(2))
    vectors, outputs = torch.randn(2, 5 * e).double(), torch.randn(2, n, c).double()
    weights = torch.randn(n, c, 2).double()
    for first, second in (
        (factor.dense(), dense.dense()),
        (factor.gram(), dense.gram()),
        (factor.matvec(vectors), dense.matvec(vectors)),
        (factor.rmatvec(outputs), dense.rmatvec(outputs)),
        (factor.weighted(weights).dense(), dense.weighted(weights).dense()),
        (add_factors([factor, factor]).dense(), 2 * dense.dense()),
        (join_factors([factor, factor]).dense(), torch.cat(2 * [dense.dense()])),
    ):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("copied_positions", [1, 64])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("pieces", [("weight",), ("weight", "bias"), ("bias", "weight")])
def test_positions_may_lie_last_in_memory(groups, pieces, copied_positions, monkeypatch):
    """Convolutions send (units, positions): all answers are those of the copy in logical order."""
    monkeypatch.setattr(
        "hessdiag.curvature.factors._outer_factor.COPIED_POSITIONS", copied_positions
    )
    torch.manual_seed(0)
    inputs, sweeps = torch.randn(3, groups, 4, 7).mT, torch.randn(3, 2, groups, 5, 7).mT
    lying = OuterFactor(inputs, sweeps, pieces)
    plain = OuterFactor(inputs.contiguous(), sweeps.contiguous(), pieces)
    vectors, outputs = torch.randn(2, lying.n_params), torch.randn(2, 3, 2)
    signs = torch.sign(torch.randn(3, 2))
    for found, expected in [
        (lying.dense(), plain.dense()),
        (lying.gram(), plain.gram()),
        (lying.matvec(vectors), plain.matvec(vectors)),
        (lying.rmatvec(outputs), plain.rmatvec(outputs)),
        (lying.gauss_newton(vectors, signs), plain.gauss_newton(vectors, signs)),
        (lying.condensed().dense(), plain.dense()),
        (lying.narrowed().gram(), plain.gram()),
    ]:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_dense_factors_multiply_block_by_block(monkeypatch):
    factor = DenseFactor(torch.randn(7, 3, 11, dtype=torch.float64))
    vectors, signs = torch.randn(2, 11, dtype=torch.float64), torch.sign(torch.randn(7, 3))
    rows = factor.jacobian.reshape(21, 11)
    monkeypatch.setattr("hessdiag.curvature.factors._dense_factor.CACHED_ENTRIES", 50)
    torch.testing.assert_close(factor.gauss_newton(vectors), vectors @ rows.T @ rows)
    matrix = rows.T @ (signs.reshape(-1, 1) * rows)
    torch.testing.assert_close(factor.gauss_newton(vectors, signs), vectors @ matrix)


def test_condensed_factors_are_the_same_matrix():
    factor = OuterFactor(torch.randn(3, 1, 40, 2), torch.randn(3, 2, 1, 40, 2), ("weight",))
    assert isinstance(factor.condensed(), DenseFactor)
    torch.testing.assert_close(factor.condensed().dense(), factor.dense())
    plain = OuterFactor(torch.randn(3, 1, 1, 2), torch.randn(3, 2, 1, 1, 2), ("weight",))
    assert plain.condensed() is plain


@settings(deadline=None, max_examples=60)
@given(outer_factors().filter(lambda factor: factor.groups == 1), st.sampled_from([1, 10**6]))
def test_formed_gram_matrices_are_those_of_the_definition(factor, entries):
    rows = brute_force(factor).reshape(-1, factor.n_params)
    with mock.patch("hessdiag.curvature.factors._gram_by_positions.MAX_BLOCK_ENTRIES", entries):
        formed = form_gram(factor)
    np.testing.assert_allclose(formed.gram().numpy(), rows @ rows.T, atol=1e-10)
    outputs = torch.randn(2, factor.n_samples, factor.n_outputs).double()
    torch.testing.assert_close(formed.gram_products(outputs), factor.gram_products(outputs))
    assert formed.is_finite
    assert formed.n_params == factor.n_params


def test_gram_matrices_are_formed_where_that_takes_less_time():
    def pays(n_products, n, t, width, fan_in, groups=1):
        inputs, sweeps = torch.empty(n, groups, t, fan_in), torch.empty(n, 9, groups, t, width)
        return gram_pays(OuterFactor(inputs, sweeps, ("weight",)), n_products)

    assert pays(10, 32, 16, 512, 4608)
    assert not pays(2, 32, 16, 512, 4608)
    assert not pays(10, 32, 16, 512, 4608, groups=2)
    assert not pays(10, 32, 64, 256, 2304)
    assert not pays(90, 512, 1, 256, 256)
    assert not pays(1000, 1024, 1, 256, 256)  # too large to be held
    assert not gram_pays(DenseFactor(torch.empty(2, 3, 4)), 1000)


def test_lanczos_with_a_formed_gram_matrix_gives_the_same(monkeypatch):
    """A deep convolution on few positions: spectra as without, and as they are exactly."""
    formed = []
    monkeypatch.setattr(
        "hessdiag.spectra._operators.form_gram",
        lambda factor: formed.append(factor) or form_gram(factor),
    )
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(48, 6, 2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 7))
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0
    ).initialize()
    X = np.random.default_rng(0).standard_normal((6, 48, 3, 3)).astype(np.float32)
    y = np.arange(6)
    found = layer_spectra(net, X, y, method="lanczos", n_lanczos_steps=40)
    assert [factor.positions for factor in formed] == [4]
    formed.clear()
    monkeypatch.setattr("hessdiag.spectra._operators.gram_pays", lambda *_: False)
    without = layer_spectra(net, X, y, method="lanczos", n_lanczos_steps=40)
    exact = layer_spectra(net, X, y, method="exact")
    assert not formed
    for name in exact:
        np.testing.assert_allclose(found[name].trace, without[name].trace, rtol=1e-4)
        np.testing.assert_allclose(found[name].nodes.max(), exact[name].nodes.max(), rtol=1e-4)


@settings(deadline=None, max_examples=60)
@given(outer_factors(), st.booleans(), st.integers(0, 2))
def test_narrowed_factors_keep_the_gram_matrix(factor, wide, silent):
    if wide:
        factor.inputs = factor.inputs.repeat(1, 1, 1, 5)
        factor = OuterFactor(factor.inputs, factor.sweeps, factor.pieces, factor.transposed)
    factor.inputs[..., :silent] = 0
    factor.sweeps[..., :silent] = 0
    narrow = factor.narrowed()
    torch.testing.assert_close(narrow.gram(), factor.gram(), rtol=1e-9, atol=1e-12)
    assert narrow.n_params <= factor.n_params
    outputs = torch.randn(2, factor.n_samples, factor.n_outputs).double()
    torch.testing.assert_close(
        narrow.matvec(narrow.rmatvec(outputs)),
        factor.matvec(factor.rmatvec(outputs)),
        rtol=1e-9,
        atol=1e-12,
    )


def test_narrowing_finds_the_rank_and_leaves_what_is_not_finite():
    torch.manual_seed(0)
    inputs = torch.randn(50, 3) @ torch.randn(3, 20)
    sweeps = torch.randn(100, 2) @ torch.randn(2, 30)
    factor = OuterFactor(inputs.view(50, 1, 1, 20), sweeps.view(50, 2, 1, 1, 30), ("weight",))
    narrow = factor.narrowed()
    assert (narrow.fan_in, narrow.width) == (3, 2)
    torch.testing.assert_close(narrow.gram(), factor.gram(), rtol=1e-4, atol=1e-3)
    factor.inputs[0] = torch.nan
    assert factor.narrowed() is factor
    nothing = OuterFactor(torch.zeros(4, 1, 3, 2), torch.zeros(4, 1, 1, 3, 2), ("weight",))
    assert not nothing.narrowed().gram().any()


# Layers without a closed rule, or whose use breaks it.
WITHOUT_RULE = {
    "bilinear": {"0.bilinear"},
    "sequence_first": {"inner"},
    "conv_transpose": {"0"},
    "bare_parameters": {"module"},
    "called_past_forward": {"inner"},
    "tied": {"embed"},
    "weight_norm": {"0"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_closed_rules_are_used_where_there_is_one(kind, monkeypatch):
    fallen_back = set()

    def spy(working_copy, chunk, block, *args):
        fallen_back.add(block.name)
        return per_sample.per_sample_factor(working_copy, chunk, block, *args)

    monkeypatch.setattr(capture, "per_sample_factor", spy)
    net, X, y = make_net(kind, "mse")
    with untouched_surroundings():
        prepare(net, X, y).factors()
    assert fallen_back == WITHOUT_RULE.get(kind, set())


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("linear", "dict_input")])
def test_per_sample_jacobians_equal_closed_rules(kind, monkeypatch):
    net, X, y = make_net(kind, "mse", n_samples=4)
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float64")
        expected = {name: factor.dense() for name, factor in problem.factors().items()}
        for loop in (False, True):
            if loop:
                monkeypatch.setattr(per_sample, "_vectorized", lambda *args: None)
            for block in problem.blocks:
                found = per_sample.per_sample_factor(
                    problem.working_copy, problem.chunks[0], block, problem.outputs_of
                )
                torch.testing.assert_close(found.dense(), expected[block.name])


def test_a_rule_that_is_wrong_is_found_out(monkeypatch):
    """The plain backward pass guards against rules that do not fit."""
    net, X, y = make_net("relu", "mse")
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float64")
        expected = problem.factors()
        right = capture._Sweeps.factor

        def wrong(*args):
            factor = right(*args)
            factor.inputs = 1.01 * factor.inputs
            return factor

        monkeypatch.setattr(capture._Sweeps, "factor", wrong)
        for name, factor in problem.factors().items():
            assert isinstance(factor, DenseFactor)
            torch.testing.assert_close(factor.dense(), expected[name].dense())


def test_jacobians_that_do_not_fit_leave_their_layer_to_lanczos(monkeypatch):
    net, X, y = make_net("weight_norm", "mse")
    exact = layer_spectra(net, X, y, dtype="float64")
    monkeypatch.setattr(capture, "available_memory", lambda device: 100)
    found = layer_spectra(net, X, y, dtype="float64")
    np.testing.assert_allclose(found["0"].nodes, exact["0"].nodes, atol=1e-10)
    assert found["0"].gn_gap == pytest.approx(exact["0"].gn_gap, rel=1e-9)
    for refuse in (examine, lambda *args: layer_spectra(*args, curvature="ggn")):
        with pytest.raises(ValueError, match=r"Jacobian of layer '0'.*max_samples"):
            refuse(net, X, y)
