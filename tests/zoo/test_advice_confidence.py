"""The confidence asked of advice, by brute force, from networks that were left out alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from hessdiag.diagnosis import DIAGNOSES
from hessdiag.zoo import _advice as advice
from hessdiag.zoo._advice_confidence import (
    AIM_BY_DELTA,
    AIM_LOWERED,
    MIN_ADVISED,
    confidence_for_advice,
)


def make_model(seed=0, n_networks=300, noise=0.15):
    """Probabilities of left-out networks, and gains that follow them up to noise."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(3, 0.6), n_networks)
    gains = 0.4 * probabilities[:, [1, 0]] + noise * rng.normal(size=(n_networks, 2))
    model = SimpleNamespace(classes_=np.array(DIAGNOSES), left_out_probabilities_=probabilities)
    return model, gains


def shares_above(model, gains, floor):
    """Number of networks advised above a confidence, and shares that gain anything, and delta."""
    gained = []
    for row, (widening, constraining) in zip(model.left_out_probabilities_, gains, strict=True):
        name = DIAGNOSES[int(np.argmax(row))]
        if name != "well-fit" and max(row) >= floor:
            gained.append(widening if name == "underparameterized" else constraining)
    gained = np.array(gained)
    return len(gained), np.mean(gained > 0), np.mean(gained >= 0.05)


def misses(model, gains, floor, groups=None):
    """How far the aims are missed above a confidence, by shares less their standard errors."""
    n, *shares = shares_above(model, gains, floor)
    if groups is not None:
        probabilities = model.left_out_probabilities_
        called = probabilities.argmax(axis=1) != DIAGNOSES.index("well-fit")
        n = len(set(groups[called & (probabilities.max(axis=1) >= floor)]))
    lowered, by_delta = (share - np.sqrt(share * (1 - share) / n) for share in shares)
    return max(0, AIM_LOWERED - lowered) + max(0, AIM_BY_DELTA - by_delta)


@pytest.mark.parametrize("n_datasets", [None, 12])
@pytest.mark.parametrize("noise", [0.02, 0.15, 0.5])
def test_most_networks_that_reach_the_aims(noise, n_datasets):
    model, gains = make_model(noise=noise)
    groups = n_datasets and np.random.default_rng(3).integers(n_datasets, size=len(gains))
    found = confidence_for_advice(model, gains, groups=groups)
    floors = np.unique(model.left_out_probabilities_.max(axis=1))
    allowed = [f for f in floors if shares_above(model, gains, f)[0] >= MIN_ADVISED]
    least = min(misses(model, gains, floor, groups) for floor in allowed)
    assert misses(model, gains, found, groups) == pytest.approx(least)
    # No lower confidence does as well.
    lower = [floor for floor in allowed if floor < found]
    counted = [
        floor
        for floor in lower
        if shares_above(model, gains, floor)[0] > shares_above(model, gains, found)[0]
    ]
    assert all(misses(model, gains, floor, groups) > least for floor in counted)


def test_gains_count_as_far_as_they_are_certain():
    model, gains = make_model()
    errors = 0.05 * np.random.default_rng(1).random(gains.shape)
    found = confidence_for_advice(model, gains, errors)
    assert found == confidence_for_advice(model, gains - 2 * errors)
    assert found > confidence_for_advice(model, gains)
    unknown = np.full_like(errors, np.nan)
    assert confidence_for_advice(model, gains, unknown) == confidence_for_advice(model, gains)


def test_what_would_have_been_advised_counts_not_the_best():
    model, gains = make_model()
    rng = np.random.default_rng(2)
    ways = gains[:, [1]] - 0.2 * rng.random((len(gains), 3))
    ways[np.arange(len(ways)), rng.integers(3, size=len(ways))] = gains[:, 1]
    ways[:20, 0] = np.nan
    ways[7] = np.nan
    model.left_out_constraints_ = ways + 0.1 * rng.normal(size=ways.shape)
    counted = gains.copy()
    for row, (expected, measured) in enumerate(zip(model.left_out_constraints_, ways)):
        order = [way for way in np.argsort(-expected) if np.isfinite(measured[way])]
        if order:
            counted[row, 1] = measured[order[0]]
    assert (counted[:, 1] < gains[:, 1]).any()
    found = confidence_for_advice(model, gains, constraints=ways)
    assert found == confidence_for_advice(model, counted)
    # Of several interventions the best reads high, of one it does not.
    errors = 0.05 * rng.random(gains.shape)
    errors[7, 1] = 0.0
    found = confidence_for_advice(model, gains, errors, constraints=ways)
    assert found == confidence_for_advice(model, counted - 2 * errors * [1, 0])
    model.left_out_constraints_ = None
    assert confidence_for_advice(model, gains, constraints=ways) == confidence_for_advice(
        model, gains
    )


def test_few_networks_are_all_advised():
    model, gains = make_model(n_networks=12)
    confidence = model.left_out_probabilities_.max(axis=1)
    called = model.left_out_probabilities_.argmax(axis=1) != 2
    assert confidence_for_advice(model, gains) == confidence[called].min()
    model.left_out_probabilities_ = np.tile([0.1, 0.2, 0.7], (12, 1))
    assert confidence_for_advice(model, gains) == 0.0


def test_each_fold_chooses_on_what_it_learned_from(small_zoo, monkeypatch):
    from hessdiag.zoo import load_reference_zoo

    zoo = load_reference_zoo(path=small_zoo.table)
    met = []

    def choose(model, gains, errors, constraints, groups):
        assert len(set(groups)) < len(set(zoo.groups))
        assert errors.shape == gains.shape
        assert constraints.shape == model.left_out_constraints_.shape == (len(gains), 3)
        met.append(len(gains))
        assert len(model.left_out_probabilities_) == len(gains) < len(zoo.target)
        return 0.4

    monkeypatch.setattr(advice, "confidence_for_advice", choose)
    chosen, _ = advice.choose_advised(zoo, n_networks=12)
    assert sum(len(zoo.target) - n for n in met) == len(zoo.target)
    assert all(network.confidence >= network.floor == 0.4 for network in chosen)
