"""Policies for memory: what they say in advance, and the operators that they then hand out."""

import numpy as np
import pytest
import torch
from dense_oracle import dense_hessians, tabular_net
from skorch import NeuralNetClassifier
from torch import nn

from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.spectra import _together
from hessdiag.spectra._executor import choose_policy, compute_spectra
from hessdiag.spectra._one_by_one import OneByOne
from hessdiag.spectra._policy import RESERVE, check_factors
from hessdiag.spectra._settings import SpectrumSettings
from hessdiag.spectra._together import Together
from hessdiag.spectra._ways import DenseWay, FactorWay, LanczosWay
from hessdiag.testing import AllocatedBytes

N = 40
FEW = {"n_lanczos_steps": 8, "n_probes": 2}


def mlp(activation=nn.Tanh):
    layers = nn.Linear(4, 20), activation(), nn.Linear(20, 12), activation(), nn.Linear(12, 3)
    return nn.Sequential(*layers)


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 4)).astype("float32"), rng.integers(0, 3, N)


def net_of(activation=nn.Tanh):
    torch.manual_seed(0)
    return tabular_net(mlp(activation), NeuralNetClassifier, criterion=nn.CrossEntropyLoss)


def problem_of(activation=nn.Tanh, **settings):
    return prepare(net_of(activation), *data(), dtype="float64", **settings)


def layerwise(**settings):
    return problem_of(scalar={"*": lambda output, y: output.exp().mean()}, **settings)


def policy_of(activation=nn.Tanh, max_memory=None, **settings):
    problem = problem_of(activation, max_memory=max_memory)
    return choose_policy(problem, SpectrumSettings(max_memory=max_memory, **settings))


def one_by_one(activation=nn.Tanh, share=2.0, **settings):
    """Return the policy that keeps a bound, a share of what layers take together."""
    together = policy_of(activation, **settings)
    bound = SpectrumSettings(max_memory=share * together.peak, **settings)
    return OneByOne(problem_of(activation), bound, together.footprint, together.profiles)


def handed_out(policy):
    """Yield every batch of operators of a policy."""
    generator = torch.Generator().manual_seed(0)
    yield from policy.batches(generator)


def matrix_of(operator):
    """Multiply the identity."""
    return operator.products(torch.eye(operator.size, dtype=torch.float64)).detach().numpy()


@pytest.fixture(autouse=True)
def _surroundings():
    with untouched_surroundings():
        yield


@pytest.mark.parametrize("settings", [{}, {"method": "lanczos"}, {"n_probes": 1}], ids=str)
@pytest.mark.parametrize("make", [policy_of, one_by_one])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_every_layer_is_handed_out_once_as_its_hessian(activation, make, settings):
    policy, expected = make(activation, **settings), dense_hessians(net_of(activation), *data())
    names = [block.name for block in policy.problem.blocks]
    assert isinstance(policy, OneByOne if make is one_by_one else Together)
    seen = []
    for operators, sizes in handed_out(policy):
        for name, operator in operators.items():
            seen.append(name)
            assert operator.block.name == name
            size = np.abs(expected[name]).max()
            np.testing.assert_allclose(matrix_of(operator), expected[name], atol=1e-7 * size)
            # ReLU is piecewise linear, and behind the last layer there is only the loss.
            coincides = activation is nn.ReLU or name == "4"
            assert (sizes[name] < 1e-6) == coincides
    assert sorted(seen) == sorted(names)


@pytest.mark.parametrize("curvature", ["hessian", "ggn"])
@pytest.mark.parametrize("method", ["auto", "lanczos", "exact"])
@pytest.mark.parametrize("make", [policy_of, one_by_one])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_ways_are_gone_as_planned(activation, make, method, curvature):
    policy = make(activation, method=method, curvature=curvature)
    planned = dict(policy.ways)
    names = [block.name for block in policy.problem.blocks]
    assert list(planned) == names
    assert list(policy.bytes_of) == names
    assert all(policy.bytes_of[name] > 0 for name in names)
    for operators, _ in handed_out(policy):
        for name, operator in operators.items():
            way = policy.way_of(operator)
            assert type(way) is type(planned[name])
            assert (way.side, way.is_exact) == (planned[name].side, planned[name].is_exact)
    exact = [way.is_exact for way in planned.values()]
    assert all(exact) == (method != "lanczos")
    assert any(exact) == (method != "lanczos")


def test_layers_go_by_factors_where_these_are_known_to_give_the_hessian():
    kinds = {name: type(way) for name, way in policy_of(nn.ReLU).ways.items()}
    assert kinds == dict.fromkeys(("0", "2", "4"), FactorWay)
    kinds = {name: type(way) for name, way in policy_of(nn.Tanh).ways.items()}
    assert kinds == {"0": DenseWay, "2": DenseWay, "4": FactorWay}
    # The smaller side: 2 N rows, or the parameters.
    sides = {name: way.side for name, way in policy_of(nn.ReLU).ways.items()}
    assert sides == {"0": min(2 * N, 100), "2": min(2 * N, 252), "4": min(2 * N, 39)}


@pytest.mark.parametrize("settings", [{}, {"curvature": "ggn"}, {"method": "lanczos"}], ids=str)
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_the_peak_together_is_about_what_is_allocated(activation, settings):
    policy = policy_of(activation, **FEW, **settings)
    peak, held = policy.peak, policy.held
    with AllocatedBytes() as count:
        compute_spectra(policy)
    # The problem itself was made before.
    assert count.peak + held <= 1.1 * peak
    assert peak <= 4 * (count.peak + held)


@pytest.mark.parametrize("share", [0.7, 2.0])
@pytest.mark.parametrize("settings", [{}, {"curvature": "ggn"}, {"method": "lanczos"}], ids=str)
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_one_by_one_keeps_the_bound(activation, settings, share):
    policy = one_by_one(activation, share, **FEW, **settings)
    limit = policy.settings.max_memory
    assert policy.limit == pytest.approx((1 - RESERVE) * limit)
    assert policy.peak <= limit
    with AllocatedBytes() as count:
        compute_spectra(policy)
    assert count.peak + policy.held <= 1.1 * policy.peak
    assert policy.peak <= 4 * (count.peak + policy.held)


def test_together_until_that_takes_more_than_is_allowed():
    peak = policy_of(max_memory=1e9).peak
    assert isinstance(policy_of(), Together)
    assert isinstance(policy_of(max_memory=1.001 * peak), Together)
    assert isinstance(policy_of(max_memory=0.999 * peak), OneByOne)
    # With a bound, some of it is left to the C library.
    assert peak == pytest.approx(policy_of().peak / (1 - RESERVE))


def test_less_memory_takes_smaller_chunks_and_fewer_layers_at_once():
    settings = FEW | {"method": "lanczos"}
    chunks, groups = [], []
    for share in (0.3, 0.6, 1.2, 2.0):
        policy = one_by_one(share=share, **settings)
        chunks.append(policy.largest_chunk)
        groups.append(len(policy.groups))
        pending = [name for group in policy.groups for name in group]
        by_graph = [n for n, way in policy.ways.items() if not (way.by_factor or way.is_exact)]
        assert pending == by_graph == ["0", "2"]
        assert all(policy.ways[name].n_vectors <= policy.settings.n_probes for name in pending)
    assert chunks == sorted(chunks)
    assert groups == sorted(groups, reverse=True)
    assert chunks[0] < chunks[-1]
    assert groups[0] > groups[-1]


def test_late_layers_go_first_where_each_goes_alone():
    order = [list(operators) for operators, _ in handed_out(one_by_one(nn.ReLU))]
    assert order == [["4"], ["2"], ["0"]]


def test_clear_layers_go_alone_where_products_take_long(monkeypatch):
    monkeypatch.setattr(_together, "asks_few_first", lambda problem: True)
    order = [list(operators) for operators, _ in handed_out(policy_of(nn.ReLU))]
    assert order == [["4"], ["2"], ["0"]]
    order = [list(operators) for operators, _ in handed_out(policy_of(nn.Tanh))]
    assert order == [["4"], ["0", "2"]]


def test_what_is_held_throughout():
    problem = problem_of()
    policy, settings = Together(problem, SpectrumSettings()), SpectrumSettings()
    assert policy.held == problem.footprint.held
    assert policy.rank == 2
    assert policy.start >= problem.footprint.start
    assert policy.largest_chunk == N
    assert Together(problem.cut(7), settings).largest_chunk == 7
    # Layers' own functions: what each received is kept, for every sample.
    own = Together(layerwise(), settings)
    assert own.rank == 0
    assert own.held == own.footprint.held + N * own.footprint.first
    assert all(isinstance(way, DenseWay | LanczosWay) for way in own.ways.values())
    assert [list(operators) for operators, _ in handed_out(own)] == [["0", "2", "4"]]


def test_jacobians_that_do_not_fit_are_refused_by_name():
    problem = problem_of()
    factors = problem.factors(weighted=True)
    check_factors(problem, factors)
    check_factors(problem, {"0": factors["0"]})
    with pytest.raises(ValueError, match=r"Jacobian of layer '2' \(Linear\) .* 2e\+04 entries"):
        check_factors(problem, factors | {"2": None})
