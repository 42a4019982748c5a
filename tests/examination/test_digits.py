"""What of an examination is rounding is left out by name; what is not, is right in float32 too."""

import numpy as np
import pytest
import torch
from situations import classifier
from skorch import NeuralNetRegressor
from torch import nn

import hessdiag as hd
from hessdiag.curvature import measure_resolution, prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.examination import examine, gram_statistics, wide_kernel_statistics
from hessdiag.testing import make_cases

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype("float32")
Y, NUMBERS = X[:, :3].argmax(axis=1), np.sin(X[:, :1]).astype("float32")


def module_of(n_outputs, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, n_outputs)
    )


def fitted(margin=None):
    """A net that is right for all samples; by so much at the least, where that is given."""
    net = classifier(
        module_of(3), optimizer=torch.optim.Adam, lr=0.02, batch_size=-1, max_epochs=150
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net.partial_fit(X, Y)
    assert (net.predict(X) == Y).all()
    with torch.no_grad():
        largest = net.forward(X).topk(2, dim=1).values
        own = float((largest[:, 0] - largest[:, 1]).min())
        for p in net.module_[-1].parameters():
            p *= 1.0 if margin is None else margin / own
    return net


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ordinary_nets_have_nothing_left_out(dtype):
    cases, _ = make_cases(6)
    for case in cases:
        found = examine(case.net, case.X, case.y, dtype=dtype)
        assert not {"rounding", "statistics_missing"} & set(found.context)
        with untouched_surroundings():
            found = measure_resolution(prepare(case.net, case.X, case.y, dtype=dtype))
        assert not found.of_residuals
        assert not found.of_curvature


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_loss_without_derivatives_but_rounding_has_no_statistics(dtype):
    found = examine(fitted(60.0), X, Y, dtype=dtype)
    assert (
        "second derivatives in the outputs are rounding in float64"
        in (found.context["statistics_missing"])
    )
    for layer in (*found.layers, found.network):
        assert np.isnan(layer.ggn_spectrum.trace)
        assert not [name for name in layer.statistics if name.startswith(("alo", "gradient"))]
        assert np.isfinite(layer.statistics["attainable_r2"])
    assert "statistics_missing" not in examine(fitted(), X, Y, dtype=dtype).context


def test_numbers_that_are_fitted_to_the_last_digit_of_float32():
    net = classifier(module_of(1), NeuralNetRegressor, nn.MSELoss)
    y = net.predict(X) * (1 + 1e-7 * RNG.normal(size=(60, 1)))
    found = examine(net, X, y, dtype="float32")
    assert (
        "first derivatives in the outputs are rounding in float32"
        in (found.context["statistics_missing"])
    )
    assert "takeuchi_1" not in found["0"].statistics
    exact = examine(net, X, y, dtype="float64")
    assert "statistics_missing" not in exact.context
    # Curvature does not depend on what is left to fit.
    assert found["0"].spectrum.trace == pytest.approx(exact["0"].spectrum.trace, rel=1e-4)
    report = hd.load_reference_diagnoser().explain(hd.NetworkCase(net, X, y))
    assert any("rounding in float32" in note for note in report.notes)


class MeanPinball(nn.Module):
    """Piecewise linear, and none of torch's own."""

    def forward(self, output, target):
        rest = target - output
        return torch.maximum(0.9 * rest, -0.1 * rest).mean()


@pytest.mark.parametrize("n_output_columns", [None, 2])
@pytest.mark.parametrize("loss", [nn.L1Loss, MeanPinball])
def test_a_loss_without_second_derivatives_is_named(loss, n_output_columns):
    net, y = classifier(module_of(3), NeuralNetRegressor, loss), np.repeat(NUMBERS, 3, axis=1)
    found = examine(net, X, y, n_output_columns=n_output_columns)
    assert "no second derivatives in the outputs" in found.context["statistics_missing"]
    for layer in (*found.layers, found.network):
        assert layer.spectrum.trace == layer.ggn_spectrum.trace == 0.0
        assert not [name for name in layer.statistics if name.startswith(("alo", "gradient"))]
        assert np.isfinite(layer.statistics["attainable_r2"])


def test_a_loss_with_second_derivatives_for_a_few_samples_is_none_of_these():
    net = classifier(module_of(1), NeuralNetRegressor, nn.HuberLoss, criterion__delta=1e-3)
    net.module_.double()
    near = 5
    y = NUMBERS + 10
    with torch.no_grad():
        y[:near] = net.module_(torch.as_tensor(X[:near]).double()).numpy() + 1e-4
    found = examine(net, X, y)
    assert "statistics_missing" not in found.context
    assert found.network.ggn_spectrum.trace > 0


#: Nets of which float32 leaves little: what is answered in it is what float64 answers.
HARD = {
    "weights of next to no size": 1e-6,
    "small weights": 1e-3,
    "large weights": 1e3,
}


@pytest.mark.parametrize("hard", HARD)
def test_what_float32_answers_is_right(hard):
    net = classifier(module_of(1), NeuralNetRegressor, nn.MSELoss)
    with torch.no_grad():
        for layer in net.module_[::2]:
            layer.weight *= HARD[hard]
    found, exact = (examine(net, X, NUMBERS, dtype=dtype) for dtype in ("float32", "float64"))
    n_left = 0
    for layer in (*found.layers, found.network):
        expected = exact[layer.name].statistics
        for name, value in layer.statistics.items():
            # That predictions that are constant to the last digit cannot be predicted.
            if name == "prediction_predictability" and value == 0:
                continue
            n_left += np.isnan(value) and not np.isnan(expected[name])
            if np.isfinite(value):
                error = abs(value - expected[name])
                assert error <= 0.01 * abs(expected[name]) + 1e-3, (layer.name, name)
    assert n_left or hard != "weights of next to no size"


def statistics_of(gram, resolution=1e-13, residuals=None):
    n = len(gram)
    residuals = np.ones((n, 1)) if residuals is None else residuals
    targets = np.linspace(-1.0, 1.0, n)[:, None]
    z = residuals + targets

    def loss(z):
        return 0.5 * (z - targets)[:, 0] ** 2, (z - targets)[:, 0] ** 2

    return gram_statistics(
        gram, np.ones((n, 1, 1)), residuals, z, targets, loss, 1.0, resolution=resolution
    )


def test_a_kernel_that_is_the_same_for_all_samples_has_no_centred_alignment():
    base, noise = np.ones((8, 8)), RNG.normal(size=(8, 8))
    gram = base + 1e-6 * (noise @ noise.T)
    known, unknown = statistics_of(gram, 1e-12), statistics_of(gram, 1e-5)
    for name in ("centred_target_alignment", "leverage_loss_correlation", "gradient_noise"):
        assert np.isnan(unknown[name]), name
        if name != "leverage_loss_correlation":
            assert np.isfinite(known[name]), name
    assert unknown["target_alignment"] == known["target_alignment"]


def test_gradients_that_cancel_have_no_mean():
    residuals = np.array([[1.0], [-1.0]] * 4) + 1e-7
    # All samples have the same derivatives: the sum of their gradients is that of residuals.
    found = statistics_of(np.ones((8, 8)), 1e-12, residuals)
    assert found["gradient_norm"] == pytest.approx(1e-7, rel=1e-3)
    assert np.isnan(statistics_of(np.ones((8, 8)), 1e-6, residuals)["gradient_norm"])
    assert statistics_of(np.zeros((8, 8)), 1e-6)["gradient_norm"] == 0


def test_predictions_that_vary_by_rounding_are_constant():
    x = np.linspace(-1.0, 1.0, 20)[:, None]
    noise = 1e-9 * RNG.normal(size=(20, 1))
    found = wide_kernel_statistics(x @ x.T, x, 0.1 + noise, rounding=1e-8)
    assert found["prediction_predictability"] == 0
    assert wide_kernel_statistics(x @ x.T, x, 0.1 + noise)["prediction_predictability"] != 0
    assert found["residual_predictability"] > 0.9
