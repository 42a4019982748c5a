"""Blocks between layers: against dense autograd, closed forms, laws, and the spread of probes."""

import itertools
import math

import numpy as np
import pytest
import torch
from dense_oracle import KINDS, make_net, normalize_by_hand, tabular_net
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from hessdiag.cases import NetworkCase
from hessdiag.spectra import LayerCoupling, _coupling_work, layer_coupling, layer_spectra
from hessdiag.testing import network_state, state_changes, surroundings_state

TABLES = ("resonance", "resonance_error", "coupling", "coupling_error")
seeds = st.integers(0, 2**16)
few = settings(max_examples=15, deadline=None)


def mlp(activation=nn.Tanh, widths=(4, 6, 6, 3), seed=0, bias=True):
    torch.manual_seed(seed)
    layers = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        layers += [activation()] * (i > 0) + [nn.Linear(n_in, n_out, bias=bias or i == 0)]
    return nn.Sequential(*layers)


def problem(module, n_samples=20, seed=0):
    rng = np.random.default_rng(seed)
    net = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    return net, rng.normal(size=(n_samples, 4)).astype("float32"), rng.integers(0, 3, n_samples)


def as_double(values):
    """Bring data to tensors, floats in double precision."""
    if isinstance(values, dict):
        return {key: as_double(value) for key, value in values.items()}
    tensor = torch.as_tensor(values)
    return tensor.double() if tensor.is_floating_point() else tensor


def dense_blocks(net, X, y, penalty=None):
    """All blocks of the dense float64 Hessian by owner: {(owner, owner): matrix}."""
    module, criterion = net.module_.double().eval(), net.criterion_.double()
    normalize_by_hand(module)
    named = {n: p for n, p in module.named_parameters() if p.requires_grad}
    inputs, targets = as_double(X), as_double(y)

    def value(*parameters):
        given = dict(zip(named, parameters))
        args, kwargs = ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})
        output = torch.func.functional_call(module, given, args, kwargs)
        return criterion(output, targets) + (0 if penalty is None else penalty(parameters))

    parameters = tuple(p.detach() for p in named.values())
    with torch.nn.attention.sdpa_kernel([torch.nn.attention.SDPBackend.MATH]):
        hessian = torch.autograd.functional.hessian(value, parameters)
    owners = {}
    for i, name in enumerate(named):
        owner = name.partition(".parametrizations.")[0]
        owner = owner if owner != name else name.rpartition(".")[0]
        owners.setdefault(owner or "module", []).append(i)
    sizes = [p.numel() for p in parameters]
    return {
        (one, other): torch.cat(
            [
                torch.cat([hessian[i][j].reshape(sizes[i], sizes[j]) for j in columns], dim=1)
                for i in rows
            ]
        ).numpy()
        for one, rows in owners.items()
        for other, columns in owners.items()
    }


def check_against(found, blocks):
    """Compare an exact result with dense blocks, by the definitions."""
    names = found.layer_names
    assert {(a, b) for a in names for b in names} == blocks.keys()
    norms = np.array([[np.linalg.norm(blocks[a, b]) for b in names] for a in names])
    own = np.diag(norms)
    np.testing.assert_allclose(found.resonance, norms, rtol=1e-9, atol=1e-12 * norms.max())
    expected = norms / np.sqrt(np.outer(own, own))
    np.testing.assert_allclose(found.coupling, expected, rtol=1e-8, atol=1e-12)
    whole = np.sum([(block**2).sum() for block in blocks.values()])
    assert found.phi == pytest.approx(1 - (own**2).sum() / whole, rel=1e-9, abs=1e-12)
    assert (found.method, found.n_probes, found.phi_error) == ("exact", 0, 0.0)
    assert not found.resonance_error.any()
    assert not found.coupling_error.any()


@pytest.mark.parametrize("kind", KINDS)
def test_all_blocks_agree_with_dense_autograd(kind):
    net, X, y = make_net(kind, "mse")
    found = layer_coupling(net, X, y)
    check_against(found, dense_blocks(net, X, y))


@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "huber"])
@pytest.mark.parametrize("kind", ["relu", "gelu", "conv2d_relu", "norms", "tied"])
def test_other_losses_agree_with_dense_autograd(kind, loss):
    net, X, y = make_net(kind, loss)
    if loss == "bce":
        y = y[:, None]
        net = tabular_net(net.module_, criterion=nn.BCEWithLogitsLoss)
    found = layer_coupling(net, X, y, batch_size=4)
    check_against(found, dense_blocks(net, X, y))


def test_local_hessians_on_the_diagonal_are_those_of_layer_spectra():
    net, X, y = problem(mlp(nn.GELU))
    found = layer_coupling(net, X, y)
    spectra = layer_spectra(net, X, y, dtype="float64")
    assert found.layer_names == tuple(spectra)
    for own, spectrum in zip(np.diag(found.resonance), spectra.values()):
        assert own == pytest.approx(np.linalg.norm(spectrum.eigenvalues()), rel=1e-9)


def test_losses_that_are_no_sums_over_samples():
    def penalty(parameters):
        return 0.1 * sum((p**2).sum() for p in parameters) ** 2

    class Penalized(NeuralNetClassifier):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            loss = super().get_loss(y_pred, y_true, *args, **kwargs)
            return loss + penalty(list(self.module_.parameters()))

    _, X, y = problem(mlp())
    net = tabular_net(mlp(), Penalized, criterion=nn.CrossEntropyLoss)
    found = layer_coupling(net, X, y, batch_size=6)
    check_against(found, dense_blocks(net, X, y, penalty))


weights = st.floats(0.2, 2.0) | st.floats(-2.0, -0.2)


@few
@given(st.lists(weights, min_size=2, max_size=5), seeds)
def test_a_chain_of_scalars_in_closed_form(chain, seed):
    """f = w_1 ... w_L x: d2 (f - y)^2 / dw_i dw_j = (2 f^2 + 2 [i != j] (f - y) f) / (w_i w_j)."""
    module = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in chain)).double()
    for layer, weight in zip(module, chain):
        nn.init.constant_(layer.weight, weight)
    x, y = np.random.default_rng(seed).normal(size=(2, 7, 1))
    f, w = math.prod(chain) * x, np.array(chain)
    hessian = np.full((len(w), len(w)), np.mean(2 * f**2 + 2 * (f - y) * f))
    np.fill_diagonal(hessian, np.mean(2 * f**2))
    hessian /= np.outer(w, w)
    found = layer_coupling(tabular_net(module, NeuralNetRegressor), x, y)
    own = np.diag(hessian)
    close = {"rtol": 1e-8, "atol": 1e-10 * own.max()}
    np.testing.assert_allclose(found.resonance, np.abs(hessian), **close)
    np.testing.assert_allclose(found.coupling, np.abs(hessian) / np.sqrt(np.outer(own, own)), 1e-6)
    assert found.phi == pytest.approx(1 - (own**2).sum() / (hessian**2).sum(), abs=1e-9)


class Sum(nn.Module):
    """Linear layers side by side, on the first inputs each: the Hessian is semidefinite."""

    def __init__(self, *widths):
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(width, 3, bias=False) for width in widths)

    def forward(self, x):
        return sum(part(x[:, : part.in_features]) for part in self.parts)


def test_layers_that_do_the_same_are_coupled_by_one():
    found = layer_coupling(*problem(Sum(4, 4)))
    np.testing.assert_allclose(found.coupling, 1, rtol=1e-12)
    assert found.phi == pytest.approx(0.5)


@few
@given(seeds)
def test_coupling_is_at_most_one_where_the_hessian_is_semidefinite(seed):
    found = layer_coupling(*problem(Sum(1, 3, 4, 2), seed=seed))
    assert (found.coupling <= 1 + 1e-12).all()
    assert found.phi <= 1 - 1 / 4 + 1e-12


@few
@given(
    seeds,
    st.sampled_from([nn.ReLU, nn.GELU, nn.Tanh]),
    st.lists(st.integers(1, 6), min_size=0, max_size=3),
    st.sampled_from([None, 2, 5]),
)
def test_what_is_always_true(seed, activation, hidden, n_probes):
    net, X, y = problem(mlp(activation, (4, *hidden, 3), seed), seed=seed)
    found = layer_coupling(net, X, y, n_probes=n_probes, random_state=seed)
    assert len(found.layer_names) == len(hidden) + 1
    for name in TABLES:
        table = getattr(found, name)
        np.testing.assert_array_equal(table, table.T)
        assert (table[np.isfinite(table)] >= 0).all()
        assert not table.flags.writeable
    own = np.diag(found.coupling)
    np.testing.assert_allclose(own[np.diag(found.resonance) > 0], 1, rtol=1e-12)
    assert 0 <= found.phi <= 1
    if not hidden:
        assert (found.phi, found.phi_error) == (0, 0)


@few
@given(seeds, st.sampled_from([0.01, 0.5, 3.0, 100.0]), st.booleans())
def test_rescaled_relu_layers(seed, factor, bias):
    """Layer 0 times a, layer 2 over a: blocks of whole layers that scale by one number keep all."""
    module = mlp(nn.ReLU, (4, 5, 4, 3), seed, bias).double()
    net, X, y = problem(module, seed=seed)
    before = layer_coupling(net, X.astype("float64"), y)
    with torch.no_grad():
        for parameter in module[0].parameters():
            parameter.mul_(factor)
        module[2].weight.div_(factor)
    after = layer_coupling(net, X.astype("float64"), y)
    scale = np.array([1 / factor, factor, 1.0])
    expected = before.resonance * np.outer(scale, scale)
    # The bias of the layer in the middle stays as it is, so its block is not rescaled as one.
    same = np.ones((3, 3), dtype=bool)
    same[1] = same[:, 1] = not bias
    close = {"rtol": 1e-7, "atol": 1e-10}
    np.testing.assert_allclose(after.coupling[same], before.coupling[same], **close)
    np.testing.assert_allclose(after.resonance[same], expected[same], rtol=1e-7)


def test_phi_depends_on_units_and_coupling_does_not():
    module = mlp(nn.ReLU, bias=False)
    before = layer_coupling(*problem(module))
    with torch.no_grad():
        for parameter in module[0].parameters():
            parameter.mul_(10)
        module[2].weight.div_(10)
    after = layer_coupling(*problem(module))
    assert abs(after.phi - before.phi) > 0.1
    np.testing.assert_allclose(after.coupling, before.coupling, rtol=1e-5)


@pytest.mark.parametrize("n_probes", [None, 3])
def test_chunks_change_nothing(n_probes):
    net, X, y = problem(mlp(nn.GELU), 50)
    whole, chunked = (
        layer_coupling(net, X, y, n_probes=n_probes, batch_size=size) for size in (None, 7)
    )
    for name in TABLES:
        np.testing.assert_allclose(
            getattr(chunked, name), getattr(whole, name), rtol=1e-6, atol=1e-12
        )
    assert chunked.phi == pytest.approx(whole.phi, rel=1e-9)


@pytest.mark.parametrize("n_probes", [None, 20])
def test_vectors_at_once_change_nothing(n_probes, monkeypatch):
    net, X, y = problem(mlp())
    expected = layer_coupling(net, X, y, n_probes=n_probes)
    monkeypatch.setattr(_coupling_work, "MOST_ENTRIES", 300)
    found = layer_coupling(net, X, y, n_probes=n_probes)
    np.testing.assert_allclose(found.resonance, expected.resonance, rtol=1e-12)
    np.testing.assert_allclose(found.coupling_error, expected.coupling_error, rtol=1e-9, atol=1e-15)


def numbers_of(found):
    """What is estimated off and on the diagonal, as one row, and its standard errors."""
    upper = np.triu_indices(len(found.layer_names))
    beside = np.triu_indices(len(found.layer_names), 1)
    values = [*found.resonance[upper], *found.coupling[beside], found.phi]
    errors = [*found.resonance_error[upper], *found.coupling_error[beside], found.phi_error]
    return np.array(values), np.array(errors)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU])
def test_probes_are_near_and_nearer_with_more(activation):
    net, X, y = problem(mlp(activation, (4, 33, 20, 10)))
    exact, _ = numbers_of(layer_coupling(net, X, y))
    values, errors = {}, {}
    for n_probes in (40, 160):
        found = layer_coupling(net, X, y, n_probes=n_probes)
        values[n_probes], errors[n_probes] = numbers_of(found)
        assert (found.method, found.n_probes) == ("probes", n_probes)
        assert (errors[n_probes] > 0).all()
        assert (np.abs(values[n_probes] - exact) < 4 * errors[n_probes]).all()
    ratios = errors[160] / errors[40]
    assert np.median(ratios) == pytest.approx(0.5, rel=0.3)


@pytest.mark.slow
def test_standard_errors_are_the_spread_over_seeds():
    """Also where numbers share their probes: in coupling and phi."""
    net, X, y = problem(mlp(nn.GELU, (4, 10, 8, 3)), 10)
    runs = [numbers_of(layer_coupling(net, X, y, n_probes=20, random_state=i)) for i in range(150)]
    values, errors = (np.array(table) for table in zip(*runs))
    exact, _ = numbers_of(layer_coupling(net, X, y))
    expected = np.sqrt((errors**2).mean(axis=0))
    np.testing.assert_allclose(values.std(axis=0), expected, rtol=0.25)
    # A root of what is right on average is low on average, by about this.
    n = len(exact[:-4])
    bias = np.r_[-(expected[:n] ** 2) / (2 * exact[:n])]
    off = values.mean(axis=0)[:n] - exact[:n] - bias
    assert (np.abs(off) < 4 * expected[:n] / np.sqrt(len(runs))).all()
    squares = (values[:, :n] ** 2).mean(axis=0)
    spread = (values[:, :n] ** 2).std(axis=0) / np.sqrt(len(runs))
    assert (np.abs(squares - exact[:n] ** 2) < 4 * spread).all()


def test_layers_of_few_parameters_are_exact_among_probes():
    net, X, y = problem(mlp(nn.Tanh, (4, 20, 1, 3)))
    exact = layer_coupling(net, X, y)
    found = layer_coupling(net, X, y, n_probes=25)
    estimated = found.resonance_error > 0
    np.testing.assert_array_equal(estimated, np.outer([1, 0, 0], [1, 0, 0]))
    np.testing.assert_allclose(found.resonance[~estimated], exact.resonance[~estimated], rtol=1e-12)
    everything = layer_coupling(net, X, y, n_probes=500)
    assert everything.method == "exact"
    np.testing.assert_allclose(everything.resonance, exact.resonance, rtol=1e-12)


def test_large_nets_are_probed_unless_told_otherwise():
    net, X, y = problem(mlp(nn.ReLU, (4, 50, 20, 3)))
    n_params = 250 + 1020 + 63
    assert layer_coupling(net, X, y, max_params=n_params).method == "exact"
    found = layer_coupling(net, X, y, max_params=n_params - 1)
    assert (found.method, found.n_probes) == ("probes", 100)


def test_seeds():
    net, X, y = problem(mlp())
    first, again, other = (
        layer_coupling(net, X, y, n_probes=5, random_state=seed).phi for seed in (None, 0, 1)
    )
    assert first == again != other
    drawn = layer_coupling(net, X, y, n_probes=5, random_state=np.random.RandomState(0)).phi
    assert drawn == layer_coupling(net, X, y, n_probes=5, random_state=np.random.RandomState(0)).phi


def test_single_precision_is_near():
    net, X, y = problem(mlp())
    exact, single = (layer_coupling(net, X, y, dtype=dtype) for dtype in ("float64", None))
    np.testing.assert_allclose(single.resonance, exact.resonance, rtol=1e-4)
    assert single.phi != exact.phi


def test_some_layers_and_blocks_of_several():
    net, X, y = problem(mlp())
    whole = layer_coupling(net, X, y)
    some = layer_coupling(net, X, y, layers=["0", "4"])
    np.testing.assert_allclose(some.resonance, whole.resonance[::2, ::2], rtol=1e-12)
    blocks = {"later": ["2.*", "4.*"], "first": ["0.*"]}
    joined = layer_coupling(net, X, y, layers=blocks)
    assert joined.layer_names == ("later", "first")
    squares = whole.resonance**2
    expected = [
        [squares[1:, 1:].sum(), squares[1:, 0].sum()],
        [squares[1:, 0].sum(), squares[0, 0]],
    ]
    np.testing.assert_allclose(joined.resonance**2, expected, rtol=1e-12)


@pytest.mark.parametrize("n_probes", [None, 4])
def test_zero_hessians(n_probes):
    net, X, y = problem(mlp(nn.Identity, (4, 6, 3)))

    def nothing(output, y):
        return output.sum() * 0

    found = layer_coupling(net, X, y, scalar=nothing, n_probes=n_probes)
    np.testing.assert_array_equal(found.resonance, 0)
    np.testing.assert_array_equal(found.resonance_error, 0)
    assert np.isnan([*found.coupling.flat, *found.coupling_error.flat]).all()
    assert np.isnan([found.phi, found.phi_error]).all()
    # Linear in each layer, but not in both: everything lies between them.
    between = layer_coupling(net, X, y, scalar=lambda output, y: output.sum(), n_probes=n_probes)
    assert between.phi == 1
    assert between.resonance[0, 1] > 0
    assert np.isnan(between.coupling).all()


@pytest.mark.parametrize(("weight", "expected"), [(1e-5, 4e5), (1e-8, math.nan)])
def test_a_block_of_mere_rounding_is_no_unit_of_coupling(weight, expected):
    # The loss (w1 w2 - 4)^2 at w1 = 1 has second derivatives 2 w2^2, 2 and 4 w2 - 8.
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    module[0].weight.data.fill_(1.0)
    module[1].weight.data.fill_(weight)
    net = NeuralNetRegressor(module, verbose=0, train_split=None).initialize()
    found = layer_coupling(net, np.ones((1, 1)), np.full((1, 1), 4.0))
    np.testing.assert_allclose(found.resonance[0, 1], 8.0, rtol=1e-4)
    np.testing.assert_allclose(found.coupling[0, 1], expected, rtol=1e-4)


def test_nan_stays_with_its_layers():
    class Root(nn.Module):
        """Infinite second derivative at zero."""

        def __init__(self):
            super().__init__()
            self.inner, self.head, self.aside = nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(4, 3)
            nn.init.zeros_(self.inner.weight)
            nn.init.zeros_(self.inner.bias)

        def forward(self, x):
            return self.head(self.inner(x).abs().sqrt()) + self.aside(x)

    net, X, y = problem(Root())
    for n_probes in (None, 3):
        found = layer_coupling(net, X, y, n_probes=n_probes)
        at = [found.layer_names.index(name) for name in ("inner", "aside")]
        assert np.isnan(found.resonance[at[0], at[0]])
        assert np.isnan(found.phi)
        assert found.resonance[at[1], at[1]] > 0


def trace_of(net, X, y):
    return network_state(NetworkCase(net, X, y)) | surroundings_state()


@pytest.mark.parametrize("n_probes", [None, 2])
def test_nothing_changes(n_probes):
    module = mlp()
    module.insert(1, nn.BatchNorm1d(6)).insert(2, nn.Dropout(0.5)).train()
    module[-1].bias.requires_grad_(False)
    net, X, y = problem(module)
    nn.functional.cross_entropy(module(torch.as_tensor(X)), torch.as_tensor(y)).backward()
    before = trace_of(net, X, y)
    layer_coupling(net, X, y, n_probes=n_probes)
    assert state_changes(before, trace_of(net, X, y)) == []


def test_nothing_changes_after_an_error(monkeypatch):
    def broken(*args):
        raise KeyboardInterrupt

    net, X, y = problem(mlp())
    net.module_.train()
    before = trace_of(net, X, y)
    monkeypatch.setattr(_coupling_work.CrossProducts, "columns", broken)
    with pytest.raises(KeyboardInterrupt):
        layer_coupling(net, X, y)
    assert state_changes(before, trace_of(net, X, y)) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_probes": 1}, "integer from 2 on, as one probe has no standard error, found 1"),
        ({"n_probes": 2.5}, "found 2.5"),
        ({"max_params": -1}, "max_params to be an integer from 0 on, found -1"),
        ({"max_params": None}, "found None"),
        ({"scalar": {"*": lambda output, y: output.sum()}}, "no blocks between layers"),
        ({"scalar": "trace"}, "Expected scalar='loss'"),
        ({"layers": "7"}, "matches none of the layers"),
        ({"layers": {"a": "0.*", "b": "0.weight"}}, "at most one block"),
        ({"dtype": "int8"}, "dtype"),
        ({"max_samples": 0}, "sample"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_is_wrong_is_said(given, message):
    with pytest.raises(ValueError, match=message):
        layer_coupling(*problem(mlp()), **given)


def test_nets_that_cannot_be_looked_at():
    net, X, y = problem(mlp())
    with pytest.raises(TypeError, match="skorch"):
        layer_coupling(net.module_, X, y)
    with pytest.raises(NotFittedError):
        layer_coupling(NeuralNetClassifier(mlp()), X, y)


def test_tables_of_a_wrong_shape():
    square = np.zeros((2, 2))
    with pytest.raises(ValueError, match=r"coupling of shape \(2, 2\)"):
        LayerCoupling(("a", "b"), square, square, np.zeros((2, 3)), square, 0, 0, "exact", 0)
