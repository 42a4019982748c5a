"""What nets say between their samples: by brute force, by laws, on nets of several kinds."""

from collections import deque

import numpy as np
import pytest
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from hessdiag.curvature import prepare
from hessdiag.examination import arc_cosine_kernel, examine
from hessdiag.examination._between_samples import (
    BETWEEN_STATISTICS,
    N_DRAWS,
    N_NEIGHBOURS,
    PLACES_BETWEEN,
    between_samples_statistics,
)
from hessdiag.examination._wide_forecasts import WideForecasts, compare_classes, entropy_of

RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 4)).astype("float32")
Y = (X[:, 0] + 0.5 * RNG.standard_normal(30) > 0).astype(int) + (X[:, 1] > 1)


def fit(kind, module, X, y, criterion):
    """A net after an epoch."""
    torch.manual_seed(0)
    return kind(module, criterion=criterion, train_split=None, verbose=0, max_epochs=1).fit(X, y)


def ask(net, X, y):
    """The statistics of one net."""
    return between_samples_statistics(prepare(net, X, y, dtype="float64"), 0)


class Noting(nn.Module):
    """A net that keeps what it receives."""

    def __init__(self, n_outputs=3):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, n_outputs))

    def forward(self, X):
        NOTED.append(X.detach().double().numpy())
        return self.body(X)


# No list: those that a net names are left as they were found.
NOTED = deque()


@pytest.fixture(scope="module")
def asked():
    net = fit(NeuralNetClassifier, Noting(), X, Y, nn.CrossEntropyLoss)
    NOTED.clear()
    found = ask(net, X, Y)
    # The last runs are those between samples, in order.
    runs = list(NOTED)[-N_DRAWS * len(PLACES_BETWEEN) :]
    places = {
        place: np.concatenate(runs[N_DRAWS * index : N_DRAWS * (index + 1)])
        for index, place in enumerate(PLACES_BETWEEN)
    }
    return net, found, places


def logits_of(net, rows):
    """Outputs of the net."""
    with torch.no_grad():
        return net.module_.double().body(torch.as_tensor(rows)).numpy()


def test_places_are_made_of_pairs(asked):
    _, _, places = asked
    rows = X.astype(float)
    distances = np.linalg.norm(rows[:, None] - rows, axis=2)
    near = np.argsort(distances, axis=1)[:, 1 : N_NEIGHBOURS + 1]
    first = np.tile(np.arange(30), N_DRAWS)
    for place in ("midpoint", "far_midpoint"):
        partners = 2 * places[place] - rows[first]
        gaps = np.linalg.norm(partners[:, None] - rows, axis=2)
        assert gaps.min(axis=1).max() < 1e-12
        found = gaps.argmin(axis=1)
        assert (found != first).all()
        is_near = np.array([f in near[i] for i, f in zip(first, found, strict=True)])
        assert is_near.all() == (place == "midpoint")
    for place in ("crossover", "far_crossover"):
        own = places[place] == rows[first]
        assert 0.4 < own.mean() < 0.6
        # Every number is some sample's.
        assert all(np.isin(column, rows[:, j]).all() for j, column in enumerate(places[place].T))
    moved = places["shift"] - rows[first]
    differences = 0.7 * (rows[near][:, :, None] - rows[near][:, None])
    gaps = np.linalg.norm(differences.reshape(30, -1, 4)[first] - moved[:, None], axis=2)
    assert gaps.min(axis=1).max() < 1e-12


def test_statistics_follow_from_places_and_forecasts(asked):
    net, found, places = asked
    rows, hot = X.astype(float), np.eye(3)[Y]
    wide = WideForecasts(rows @ rows.T, hot)
    attainable = found["forecast_loss"]
    likely = np.maximum(wide.left_out + wide.mean, 0.01)
    likely /= likely.sum(axis=1, keepdims=True)
    unit = entropy_of(wide.mean)
    assert attainable == pytest.approx(-np.log(likely[np.arange(30), Y]).mean() / unit)
    assert found["forecast_depth"] == wide.depth
    known = (wide.mean, wide.variance, attainable)
    expected = compare_classes(logits_of(net, rows), wide.left_out, *known)
    assert {k: found[f"sample_{k}"] for k in expected} == pytest.approx(expected, rel=1e-5)
    for place, inputs in places.items():
        # Pairs do not matter to forecasts by all samples, nor to what the net says alone.
        both = np.vstack([inputs, rows])
        products = both @ both.T / np.square(rows).sum() * len(rows) + 1.0
        kernel = arc_cosine_kernel(products, wide.depth)[: len(inputs), len(inputs) :]
        forecasts = kernel @ wide._coefficients
        logits = logits_of(net, inputs)
        expected = compare_classes(logits, forecasts, *known)
        by_all = {k: found[f"{place}_{k}_by_all"] for k in expected}
        assert by_all == pytest.approx(expected, rel=1e-5)
        P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        spread = np.square(P - wide.mean).sum() / wide.variance / len(P)
        assert found[f"{place}_spread"] == pytest.approx(spread, rel=1e-5)
        unsureness = -(P * np.log(P)).sum() / len(P) / unit
        assert found[f"{place}_unsureness"] == pytest.approx(unsureness, rel=1e-5)
    # Beside samples the sample alone is left out, and it is known which one that is.
    first = np.tile(np.arange(30), N_DRAWS)
    beside = places["shift"]
    own = np.repeat(first[:, None], 2, axis=1)
    _, without = wide.at(beside @ rows.T, np.square(beside).sum(axis=1), own)
    expected = compare_classes(logits_of(net, beside), without, *known)
    assert {k: found[f"shift_{k}"] for k in expected} == pytest.approx(expected, rel=1e-5)
    P, Q = (np.exp(logits_of(net, inputs)) for inputs in (beside, rows))
    P, Q = (p / p.sum(axis=1, keepdims=True) for p in (P, Q))
    bend = np.square(P - Q[first]).sum() / wide.variance / len(P)
    assert found["shift_bend"] == pytest.approx(bend, rel=1e-5)


def test_one_output_says_the_same_as_two():
    y = Y > 0
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    one = fit(NeuralNetBinaryClassifier, module, X, y.astype("float32"), nn.BCEWithLogitsLoss)

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = one.module_

        def forward(self, X):
            yes = self.body(X)
            return torch.cat([torch.zeros_like(yes), yes], dim=1)

    two = NeuralNetClassifier(
        Two, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0
    ).initialize()
    two.module_.body.load_state_dict(one.module_.state_dict())
    found = ask(one, X, y.astype("float32"))
    expected = ask(two, X, y.astype("int64"))
    assert found == pytest.approx(expected, rel=1e-6)


class Knowing(nn.Module):
    """The signal, or the labels of the nearest sample."""

    def __init__(self, memorizes):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.memorizes = memorizes

    def forward(self, X):
        if not self.memorizes:
            return self.scale * 3 * torch.stack([-X[:, 0], X[:, 0]], dim=1)
        nearest = torch.cdist(X, LEARNED[0].to(X.dtype)).argmin(dim=1)
        return self.scale * 6 * (nn.functional.one_hot(LEARNED[1][nearest], 2) - 0.5).to(X.dtype)


LEARNED = []


def test_memorizing_shows_between_samples_not_on_them():
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((200, 4)).astype("float32")
    noisy = ((inputs[:, 0] > 0) ^ (rng.random(200) < 0.2)).astype("int64")
    LEARNED[:] = [torch.as_tensor(inputs), torch.as_tensor(noisy)]
    knows, memorized = (
        NeuralNetClassifier(
            Knowing, module__memorizes=m, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0
        ).initialize()
        for m in (False, True)
    )
    losses = [examine(net, inputs, noisy).context["loss"] for net in (knows, memorized)]
    assert losses[1] < losses[0]
    left, right = (ask(net, inputs, noisy) for net in (knows, memorized))
    for place in ("crossover", "shift", "midpoint"):
        assert right[f"{place}_distance"] > 2 * left[f"{place}_distance"]
        assert right[f"{place}_loss"] > left[f"{place}_loss"]
        assert right[f"{place}_tempering_gain"] > left[f"{place}_tempering_gain"]
        assert right[f"{place}_agreement"] < left[f"{place}_agreement"]


def test_a_linear_net_that_is_right_agrees_everywhere():
    weights = np.array([[1.0], [-2.0], [0.5], [0.0]], dtype="float32")
    net = fit(NeuralNetRegressor, nn.Linear(4, 1), X, X @ weights, nn.MSELoss)
    with torch.no_grad():
        net.module_.weight.copy_(torch.as_tensor(weights.T))
        net.module_.bias.zero_()
    found = ask(net, X, X @ weights)
    assert found["forecast_depth"] == 0
    for place in ("sample", *PLACES_BETWEEN):
        assert found[f"{place}_distance"] < 1e-3
        assert found[f"{place}_agreement"] > 0.999
    assert found["midpoint_bend"] < 1e-12
    assert np.isnan(found["midpoint_unsureness"])
    assert np.isnan(found["sample_other_class"])


class OfADict(nn.Module):
    """Numbers and tokens side by side."""

    def __init__(self):
        super().__init__()
        self.numbers, self.tokens = nn.Linear(4, 3), nn.Embedding(5, 3)

    def forward(self, numbers, tokens):
        TYPES.append((numbers.dtype, tokens.dtype))
        return self.numbers(numbers) + self.tokens(tokens)


TYPES = deque()


def test_inputs_of_several_kinds():
    data = {"numbers": X, "tokens": RNG.integers(5, size=30)}
    net = fit(NeuralNetClassifier, OfADict(), data, Y, nn.CrossEntropyLoss)
    TYPES.clear()
    found = ask(net, data, Y)
    assert set(found) == set(BETWEEN_STATISTICS)
    assert np.isfinite(list(found.values())).all()
    # The copy runs in float64; the original is run once, as it is, to compare.
    assert set(TYPES) == {(torch.float64, torch.int64), (torch.float32, torch.int64)}
    tokens = RNG.integers(4, size=(30, 2))
    module = nn.Sequential(nn.Embedding(4, 3), nn.Flatten(), nn.Linear(6, 1))
    net = fit(NeuralNetRegressor, module, tokens, X[:, :1], nn.MSELoss)
    found = ask(net, tokens, X[:, :1])
    assert np.isfinite(found["crossover_distance"])


def test_several_outputs_per_class_are_numbers():
    y = RNG.integers(3, size=(30, 2))
    module = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (3, 2)))
    net = fit(NeuralNetClassifier, module, X, y, nn.CrossEntropyLoss)
    found = ask(net, X, y)
    assert found["crossover_distance"] > 0
    assert np.isnan(found["crossover_other_class"])


def test_examinations_hold_them_and_settings_decide():
    net = fit(NeuralNetClassifier, nn.Linear(4, 3), X, Y, nn.CrossEntropyLoss)
    left, right, other = (
        examine(net, X, Y, random_state=seed).network.statistics for seed in (0, 0, 1)
    )
    assert {k: left[k] for k in BETWEEN_STATISTICS} == {k: right[k] for k in BETWEEN_STATISTICS}
    assert left["crossover_loss"] != other["crossover_loss"]
    assert left["forecast_loss"] == other["forecast_loss"]
    assert not set(BETWEEN_STATISTICS) & set(examine(net, X, Y).layers[0].statistics)


@pytest.mark.parametrize(
    ("inputs", "y"), [(X, np.zeros(30, dtype=int)), (X[:9], Y[:9])], ids=["constant", "few"]
)
def test_where_there_is_nothing_to_compare_with(inputs, y):
    net = fit(NeuralNetClassifier, nn.Linear(4, 3), inputs, y, nn.CrossEntropyLoss)
    assert ask(net, inputs, y) == {}


class Particular(nn.Module):
    """A net that takes nothing but whole numbers, or whose outputs overflow between them."""

    def __init__(self, refuses):
        super().__init__()
        self.body, self.refuses = nn.Linear(4, 3), refuses

    def forward(self, X):
        whole = bool((X.round() == X).all())
        if not whole and self.refuses:
            raise RuntimeError("Expected whole numbers")
        outputs = self.body(X)
        return outputs if whole else outputs * float("inf")


@pytest.mark.parametrize("refuses", [True, False])
def test_nets_that_cannot_be_asked_everywhere(refuses):
    whole = X.round()
    net = fit(NeuralNetClassifier, Particular(refuses), whole, Y, nn.CrossEntropyLoss)
    found = examine(net, whole, Y).network.statistics
    # Crossing over whole numbers gives whole numbers, averages do not.
    for name in ("sample_loss", "crossover_loss", "far_crossover_distance", "forecast_loss"):
        assert np.isfinite(found[name]), name
    for name in ("midpoint_loss", "shift_distance", "far_midpoint_excess"):
        assert np.isnan(found[name]), name
