"""What rivals read from weights: against closed forms, brute force and known power laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from torch import nn

from hessdiag.zoo import MLP
from hessdiag.zoo._power_law import MIN_EIGENVALUES, fit_power_law
from hessdiag.zoo._weight_statistics import RIVAL_NAMES, weight_statistics


def by_name(module):
    return dict(zip(RIVAL_NAMES, weight_statistics(module), strict=True))


@pytest.mark.parametrize("alpha", [1.8, 2.5, 4.0])
def test_alpha_of_a_known_power_law(alpha):
    rng = np.random.default_rng(0)
    tail = (1 - rng.random(3000)) ** (-1 / (alpha - 1))  # inverse of the distribution function
    assert fit_power_law(tail).alpha == pytest.approx(alpha, rel=0.05)
    # A body below the tail must not move it: the start is found.
    body = rng.uniform(0.2, 1.0, 3000)
    found = fit_power_law(np.concatenate([body, tail]))
    assert found.alpha == pytest.approx(alpha, rel=0.1)
    assert 0.8 < found.start < 2.5


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n_values=st.integers(MIN_EIGENVALUES, 40))
def test_power_law_brute_force(seed, n_values):
    values = np.random.default_rng(seed).lognormal(size=n_values)
    best = None
    for start in np.sort(values)[:-2]:
        tail = values[values >= start]
        alpha = 1 + len(tail) / np.log(tail / start).sum()
        distance = kstest(tail, lambda x, a=alpha, s=start: 1 - (x / s) ** (1 - a)).statistic
        if best is None or distance < best[1]:
            best = (alpha, distance, start, len(tail))
    found = fit_power_law(values)
    np.testing.assert_allclose(
        (found.alpha, found.distance, found.start, found.n_tail), best, rtol=1e-9
    )


def test_alpha_is_blind_to_scale_and_to_zeros():
    values = np.random.default_rng(1).lognormal(size=30)
    found = fit_power_law(values)
    assert fit_power_law(1e-5 * values).alpha == pytest.approx(found.alpha)
    assert fit_power_law(np.append(values, [0.0, 0.0])).alpha == pytest.approx(found.alpha)


@pytest.mark.parametrize("values", [np.arange(1.0, 10.0), np.ones(30), np.zeros(30), []])
def test_no_tail_no_alpha(values):
    found = fit_power_law(values)
    assert np.isnan(found.alpha)
    assert found.n_tail == 0


def test_statistics_of_layers_with_numpy():
    torch.manual_seed(0)
    net = MLP(12, 3, width=20, depth=2)
    found = by_name(net)
    layers = [net.hidden_0, net.hidden_1, net.head]
    weights = [layer.weight.detach().double().numpy() for layer in layers]
    biases = [layer.bias.detach().double().numpy() for layer in layers]
    places = {"first": lambda v: v[0], "last": lambda v: v[-1], "mean": np.mean, "min": np.min}
    places["max"] = np.max
    for place, pool in places.items():
        for name, value in {
            "weights_mean": [w.mean() for w in weights],
            "weights_variance": [w.var() for w in weights],
            "weights_quantile_25": [np.quantile(w, 0.25) for w in weights],
            "biases_quantile_50": [np.median(b) for b in biases],
            "biases_quantile_100": [b.max() for b in biases],
            "log_frobenius_norm": [np.log10(np.linalg.norm(w)) for w in weights],
            "log_spectral_norm": [np.log10(np.linalg.norm(w, 2)) for w in weights],
            "log_nuclear_norm": [np.log10(np.linalg.norm(w, "nuc")) for w in weights],
            "singular_value_quantile_0": [1 / np.linalg.cond(w) for w in weights],
        }.items():
            assert found[f"weights__{place}__{name}"] == pytest.approx(pool(value), rel=1e-6)
        ranks = [np.linalg.norm(w) ** 2 / np.linalg.norm(w, 2) ** 2 for w in weights]
        assert found[f"weightwatcher__{place}__stable_rank"] == pytest.approx(pool(ranks))
    # The head has 3 eigenvalues, so that alpha is that of the hidden layers alone.
    eigenvalues = [np.linalg.eigvalsh(w.T @ w)[::-1][: min(w.shape)] for w in weights[:2]]
    alphas = [fit_power_law(values).alpha for values in eigenvalues]
    assert found["weightwatcher__last__alpha"] == pytest.approx(alphas[1], rel=1e-6)
    assert found["weightwatcher__mean__alpha"] == pytest.approx(np.mean(alphas), rel=1e-6)
    norms = [np.log10((v**a).sum()) for v, a in zip(eigenvalues, alphas, strict=True)]
    assert found["weightwatcher__max__log_alpha_norm"] == pytest.approx(max(norms), rel=1e-6)
    weighted = [a * np.log10(v[0]) for v, a in zip(eigenvalues, alphas, strict=True)]
    assert found["weightwatcher__min__alpha_weighted"] == pytest.approx(min(weighted), rel=1e-6)


def test_ranks_of_an_orthogonal_layer():
    layer = nn.Linear(8, 8)
    nn.init.orthogonal_(layer.weight)
    found = by_name(nn.Sequential(layer))
    assert found["weights__first__stable_rank_fraction"] == pytest.approx(1, abs=1e-5)
    assert found["weights__first__effective_rank_fraction"] == pytest.approx(1, abs=1e-5)
    assert np.isnan(found["weightwatcher__mean__alpha"])  # 8 eigenvalues have no tail


def test_kernels_normalizations_and_missing_biases():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, 2, bias=False)
    found = by_name(nn.Sequential(conv, nn.BatchNorm2d(5), nn.ReLU()))
    matrix = conv.weight.detach().double().numpy().reshape(5, 12)
    expected = np.log10(np.linalg.norm(matrix, 2))
    assert found["weights__mean__log_spectral_norm"] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(found["weights__mean__biases_mean"])
    assert np.isnan(weight_statistics(nn.BatchNorm1d(4))).all()


def test_network_is_left_alone():
    net = MLP(4, 3, width=6)
    before = [p.clone() for p in net.parameters()]
    weight_statistics(net)
    for old, new in zip(before, net.parameters(), strict=True):
        assert torch.equal(old, new)
        assert new.grad is None
        assert new.requires_grad
