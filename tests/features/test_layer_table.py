"""Tables of measures: JSON keeps them, and what does not apply is NaN."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hessdiag as hd
from hessdiag.features import (
    LAYER_FAMILIES,
    LAYER_MEASURES,
    NETWORK_MEASURES,
    LayerTable,
    layer_table,
)


@pytest.fixture(scope="module")
def tables(nine_cases):
    return [layer_table(x) for x in hd.LayerSpectra().transform(nine_cases[0])]


def test_round_trip_through_json(tables):
    for table in tables:
        again = LayerTable.from_json(table.to_json())
        assert (again.name, again.layers, again.kinds) == (table.name, table.layers, table.kinds)
        for name in LAYER_MEASURES:
            np.testing.assert_allclose(again.measures[name], table.measures[name], rtol=1e-7)
        for name in (*LAYER_MEASURES, *NETWORK_MEASURES):
            np.testing.assert_allclose(again.network[name], table.network[name], rtol=1e-7)
        assert again.to_json() == table.to_json()


@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=2, max_size=2))
def test_json_is_strict_and_keeps_eight_digits(values):
    table = LayerTable(None, ("a", "b"), ("L", "L"), {"m": np.array(values)}, {"m": values[0]}, {})
    text = table.to_json()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    again = LayerTable.from_json(text)
    finite = np.where(np.isfinite(values), values, np.nan)
    np.testing.assert_allclose(again.measures["m"], finite, rtol=1e-7)
    np.testing.assert_allclose(again.network["m"], finite[0], rtol=1e-7)


def test_most_measures_apply_to_a_plain_network(tables):
    for table in tables:
        gaps = [name for name in LAYER_MEASURES if np.isnan(table.measures[name]).all()]
        # Regression has no classes, hence no error and no coherence within classes.
        allowed = ("alo_error", "gradient_class_coherence", "n_outliers", "outlier_fraction")
        assert not [name for name in gaps if not name.startswith(allowed)]
        gaps = [name for name in NETWORK_MEASURES if np.isnan(table.network[name])]
        words = ("other_class", "unsureness")
        assert not [name for name in gaps if not any(word in name for word in words)]
        assert np.isfinite(list(table.context.values())).all()


def test_where_the_loss_couples_samples_what_needs_factors_is_nan():
    net, X, y = coupled_net()
    table = layer_table(hd.examine(net, X, y))
    assert np.isfinite(table.measures["log_trace"]).all()
    assert np.isfinite(table.measures["log_weight_rms"]).all()
    for name in ("log_gradient_norm_weight", "alo_loss_1", "attainable_r2"):
        assert np.isnan(table.measures[name]).all()
    row = hd.SpectralFeatures().fit_transform([table])
    assert np.isfinite(row).any()


def coupled_net():
    """A net whose loss is of the whole batch."""
    import torch
    from skorch import NeuralNetRegressor

    class Spread(torch.nn.Module):
        def forward(self, outputs, y):
            return (outputs - y).square().mean().sqrt()

    X = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    net = NeuralNetRegressor(
        torch.nn.Linear(3, 1), criterion=Spread, train_split=None, verbose=0, max_epochs=1
    )
    return net.fit(X, X[:, :1]), X, X[:, :1]


def test_network_is_not_a_layer(tables):
    for table in tables:
        assert "network" not in table.layers
        assert table.layers[-1] == "head"
        assert all(len(values) == len(table.layers) for values in table.measures.values())


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    scales=st.lists(st.floats(0.05, 20), min_size=2, max_size=2),
    seed=st.integers(0, 5),
)
def test_shape_is_blind_to_relu_rescaling(scales, seed):
    """hidden_k times c and the next layer's weights over c is the same function of the inputs.

    Weight and bias of the hidden layer scale together, so that its local Hessian scales as a whole;
    the next layer's bias keeps its scale, hence bias-free layers here.
    """
    import torch
    from skorch import NeuralNetClassifier

    def network(factors):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = BiasFree(4, 5, 3)
        with torch.no_grad():
            module.first.weight.mul_(factors[0])
            module.second.weight.mul_(factors[1] / factors[0])
            module.head.weight.div_(factors[1])
        net = NeuralNetClassifier(module, criterion=torch.nn.CrossEntropyLoss, train_split=None)
        return net.set_params(verbose=0).initialize()

    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, 4)).astype(np.float32)
    y = rng.integers(0, 3, 20)
    plain, rescaled = (
        layer_table(hd.examine(network(factors), X, y)) for factors in ([1.0, 1.0], scales)
    )
    for name in LAYER_FAMILIES["shape"]:
        np.testing.assert_allclose(
            rescaled.measures[name], plain.measures[name], rtol=1e-3, atol=1e-5, err_msg=name
        )
    for name in ("log_trace_weight", "log_max_eigenvalue_weight"):
        np.testing.assert_allclose(
            rescaled.measures[name], plain.measures[name], rtol=1e-3, atol=1e-4, err_msg=name
        )
    raw = np.abs(rescaled.measures["log_trace"] - plain.measures["log_trace"]).max()
    factors = np.array([scales[0], scales[1] / scales[0], 1 / scales[1]])
    np.testing.assert_allclose(raw, np.abs(2 * np.log10(factors)).max(), atol=1e-3)


def BiasFree(n_inputs, width, n_outputs):
    from collections import OrderedDict

    from torch import nn

    return nn.Sequential(
        OrderedDict(
            first=nn.Linear(n_inputs, width, bias=False),
            one=nn.ReLU(),
            second=nn.Linear(width, width, bias=False),
            two=nn.ReLU(),
            head=nn.Linear(width, n_outputs, bias=False),
        )
    )
