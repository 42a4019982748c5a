"""Within a budget of time: what fits is as ever, what does not is less, and said."""

import time

import numpy as np
import pytest
import torch
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

import hessdiag as hd
from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.examination import _budget
from hessdiag.examination._budget import LEAST, LEAST_SAMPLES, Budget, evenly, plan_budget
from hessdiag.spectra import SpectrumSettings

RNG = np.random.default_rng(0)


class Pixels(nn.Module):
    """As many outputs as inputs, too many for their Hessians to be formed."""

    def __init__(self, side=40):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


def encoder():
    """A net whose Hessians are their own and take their time."""
    torch.manual_seed(0)
    X = RNG.normal(size=(160, 24, 3)).astype("float32")
    layer = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True)
    module = nn.Sequential(nn.Linear(3, 12), layer, nn.Flatten(), nn.Linear(24 * 12, 3))
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0)
    return net.initialize(), X, RNG.integers(0, 3, 160)


def problem_of(net, X, y):
    return prepare(net, X, y, dtype="float64")


SETTINGS = SpectrumSettings(method="lanczos")


@pytest.mark.parametrize(("n", "size"), [(10, 10), (300, 7), (5, 1)])
def test_some_are_spread_evenly(n, size):
    places = evenly(n, size)
    assert len(set(places.tolist())) == size
    assert 0 <= places.min() <= places.max() < n


def test_without_a_bound_nothing_is_left_out():
    with untouched_surroundings():
        budget = plan_budget(problem_of(*encoder()), SETTINGS, None)
    assert budget.left_out == ()
    assert (budget.n_samples, budget.n_hessian) == (160, 160)
    assert budget.settings(SETTINGS) == SETTINGS


def test_less_time_leaves_out_more():
    with untouched_surroundings():
        problem = problem_of(*encoder())
        much, little, none = (plan_budget(problem, SETTINGS, s) for s in (1e4, 0.5, 1e-6))
    assert much.left_out == ()
    assert little.n_hessian * little.n_probes < 160 * 3
    assert none.n_hessian == 0
    assert none.n_samples == LEAST_SAMPLES
    assert "stand in for the Hessians of" in "; ".join(none.left_out)
    assert f"{LEAST_SAMPLES} of 160 samples" in "; ".join(none.left_out)
    assert none.seconds < little.seconds < much.seconds or little.n_hessian == 0


@pytest.mark.slow
def test_a_case_over_budget_ends_in_time_and_says_what_is_less():
    net, X, y = encoder()
    start = time.perf_counter()
    whole = hd.examine(net, X, y, method="lanczos", max_time=None)
    unbounded = time.perf_counter() - start
    start = time.perf_counter()
    less = hd.examine(net, X, y, method="lanczos", max_time=unbounded / 8)
    assert time.perf_counter() - start < unbounded
    assert "left_out" not in whole.context
    said = less.context["left_out"]
    assert "Hessians of" in said or "stopped early" in said
    assert less.layer_names == whole.layer_names
    for name in whole.layer_names:
        expected = whole[name].ggn_spectrum.trace
        assert less[name].ggn_spectrum.trace == pytest.approx(expected, rel=0.5)


class Waves(NeuralNet):
    """A net whose loss is not convex in the outputs."""

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return torch.cos(y_pred - y_true).mean()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [NeuralNet, Waves])
def test_outputs_that_are_many(monkeypatch, kind):
    X = RNG.normal(size=(48, 1, 40, 40)).astype("float32")
    net = kind(Pixels(), criterion=nn.MSELoss, train_split=None, verbose=0).initialize()
    monkeypatch.setattr("hessdiag.curvature.network._outputs.MAX_HESSIAN_ENTRIES", 10_000)
    found = hd.examine(net, X, X, max_time=1e-3)
    if kind is Waves:
        samples, probes, steps = LEAST
        said = f"on {samples} of 48 samples by {probes} probe of {steps} steps"
        assert "too large" in found.context["statistics_missing"]
    else:
        said = "Hessians of"
        assert "alo_loss_1" in found["first"].statistics
        assert found.context["n_output_columns"] == 1000 // 48
    assert said in found.context["left_out"]
    assert np.isfinite(found["first"].spectrum.trace)


@pytest.mark.slow
@pytest.mark.parametrize("max_time", [None, 60])
def test_many_classes_take_what_was_forecast(monkeypatch, max_time):
    # Of this process, as others may be at work.
    for clock in ("perf_counter", "monotonic"):
        monkeypatch.setattr(time, clock, time.process_time)
    timed = [_budget._decomposition_seconds, _budget._seconds_per_operation]
    for function in [*timed, _budget._seconds_per_logarithm]:
        function.cache_clear()
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(20, 50), nn.ReLU(), nn.Linear(50, 1000))
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0)
    X, y = RNG.normal(size=(700, 20)).astype("float32"), RNG.integers(0, 1000, 700)
    start = time.monotonic()
    found = hd.examine(net.initialize(), X, y, curvature="auto", dtype=None, max_time=max_time)
    taken = time.monotonic() - start
    assert taken > _budget.LONG
    assert taken / 3 < found.context["seconds_forecast"] < 3 * taken


class Covariance(nn.Module):
    """Couples samples, so that none has a loss of its own."""

    def forward(self, output, target):
        apart = output - output.mean(dim=0)
        return (apart.T @ apart / len(output) - torch.eye(output.shape[1])).square().sum()


@pytest.mark.slow
@pytest.mark.parametrize("n_samples", [60, 9])
def test_what_is_measured_whole_takes_what_was_forecast(monkeypatch, n_samples):
    for clock in ("perf_counter", "monotonic"):
        monkeypatch.setattr(time, clock, time.process_time)
    monkeypatch.setattr(_budget, "LONG", 0.0)
    monkeypatch.setattr("hessdiag.examination._examine.LONG", 0.0)
    torch.manual_seed(0)
    layers = [layer for _ in range(6) for layer in (nn.Linear(20, 20), nn.GELU())]
    net = NeuralNet(
        nn.Sequential(*layers),
        criterion=Covariance if n_samples == 60 else nn.MSELoss,
        train_split=None,
        verbose=0,
    )
    X = RNG.normal(size=(n_samples, 20)).astype("float32")
    hd.examine(net.initialize(), X, X)  # what is measured once is
    start = time.monotonic()
    found = hd.examine(net, X, X)
    taken = time.monotonic() - start
    assert taken / 3 < found.context["seconds_forecast"] < 3 * taken


@pytest.mark.parametrize("max_time", [0.5, 0.01])
def test_parts_of_a_second_are_taken_as_they_are(monkeypatch, max_time):
    given = []

    def plan(problem, settings, seconds, *others):
        given.append(seconds)
        return plan_budget(problem, settings, seconds, *others)

    monkeypatch.setattr("hessdiag.examination._examine.plan_budget", plan)
    case = hd.testing.make_case(n_samples=100, activation="tanh")
    start = time.monotonic()
    context = hd.examine(case.net, case.X, case.y, max_time=max_time).context
    taken = time.monotonic() - start
    assert 0 < given[0] < max_time
    assert ("seconds_taken" in context) <= (taken > max_time)
    if taken > 2 * max_time:
        assert max_time < context["seconds_taken"] <= taken


def test_small_nets_are_as_ever():
    case = hd.testing.make_case(n_samples=30)
    bounded = hd.examine(case.net, case.X, case.y, max_time=60)
    free = hd.examine(case.net, case.X, case.y, max_time=None)
    for name in free.layer_names:
        np.testing.assert_array_equal(bounded[name].spectrum.nodes, free[name].spectrum.nodes)


@pytest.mark.parametrize("max_time", [0, -1.0, "60", True, [1]])
def test_what_is_no_time_is_refused(max_time):
    case = hd.testing.make_case(n_samples=12)
    with pytest.raises(ValueError, match="max_time"):
        hd.examine(case.net, case.X, case.y, max_time=max_time)


@pytest.mark.slow
def test_a_report_says_what_is_less(reference_diagnoser):
    case = hd.NetworkCase(*encoder(), name="slow")
    spectra = hd.LayerSpectra(method="lanczos", max_time=1e-3)
    (examination,) = spectra.fit_transform([case])
    report = reference_diagnoser.explain(examination)
    (note,) = [note for note in report.notes if "max_time" in note]
    left_out = examination.context["left_out"]
    assert note.startswith(f"To keep within the time of 0.001 seconds: {left_out}. ")
    taken = examination.context["seconds_taken"]
    assert any(f"took {taken:.1f} seconds, longer" in note for note in report.notes)


def test_a_budget_is_frozen():
    with pytest.raises(AttributeError):
        Budget(1, 1, 1, 2, 0.0).n_samples = 2
