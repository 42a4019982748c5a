"""The confidence asked of advice, by brute force, from networks that were left out alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from hessdiag.evaluation import _advice as advice
from hessdiag.evaluation._advice_confidence import (
    AIM_BY_DELTA,
    AIM_LOWERED,
    MIN_ADVISED,
    confidence_for_advice,
)
from hessdiag.labels import DIAGNOSES


def make_model(seed=0, n_networks=300, noise=0.15):
    """Left-out predictions, and what was measured: as predicted but for noise, some not at all."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(3, 0.6), n_networks)
    widening = 0.4 * probabilities[:, 1] + noise * rng.normal(size=n_networks)
    expected = 0.4 * probabilities[:, [0]] + 0.1 * rng.normal(size=(n_networks, 3))
    constraints = expected + noise * rng.normal(size=expected.shape)
    widening[rng.random(n_networks) < 0.1] = np.nan
    constraints[rng.random(expected.shape) < 0.2] = np.nan
    model = SimpleNamespace(
        classes_=np.array(DIAGNOSES),
        left_out_probabilities_=probabilities,
        left_out_constraints_=expected,
    )
    return model, widening, constraints, rng.integers(40, size=n_networks)


def figures_above(model, widening, constraints, groups, floor):
    """How many are advised above a confidence, and how far the aims are missed."""
    gained, met = [], set()
    for row, probability in enumerate(model.left_out_probabilities_):
        name = DIAGNOSES[int(np.argmax(probability))]
        if name == "well-fit" or max(probability) < floor:
            continue
        gain = widening[row]
        if name == "overfitting":
            tried = [way for way in range(3) if np.isfinite(constraints[row, way])]
            best = max(tried, key=lambda way: model.left_out_constraints_[row, way], default=None)
            gain = np.nan if best is None else constraints[row, best]
        if np.isfinite(gain):
            gained.append(gain)
            met.add(groups[row])
    missed = 0.0
    for least, aim in ((1e-300, AIM_LOWERED), (0.05, AIM_BY_DELTA)):
        share = np.mean(np.array(gained) >= least)
        missed += max(0.0, aim - (share - np.sqrt(share * (1 - share) / len(met))))
    return len(gained), missed


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("noise", [0.02, 0.15, 0.5])
def test_most_networks_that_reach_the_aims(noise, seed):
    known = make_model(seed, noise=noise)
    found = confidence_for_advice(*known)
    floors = np.unique(known[0].left_out_probabilities_.max(axis=1))
    figures = {floor: figures_above(*known, floor) for floor in floors}
    allowed = {floor: own for floor, own in figures.items() if own[0] >= MIN_ADVISED}
    n_found, missed = figures_above(*known, found)
    assert missed == pytest.approx(min(own[1] for own in allowed.values()))
    # No lower confidence, which advises more, does as well.
    assert all(own[1] > missed for own in allowed.values() if own[0] > n_found)


def test_networks_of_one_data_set_count_as_one_stranger():
    model, widening, constraints, groups = make_model()
    loose = confidence_for_advice(model, widening, constraints, np.arange(len(groups)))
    assert confidence_for_advice(model, widening, constraints, groups % 4) > loose


def test_gentlest_way_counts_where_nothing_is_known_of_them():
    model, widening, constraints, groups = make_model()
    model.left_out_constraints_ = np.tile([0.0, 2.0, 1.0], (len(groups), 1))
    expected = confidence_for_advice(model, widening, constraints, groups)
    model.left_out_constraints_ = None
    assert confidence_for_advice(model, widening, constraints, groups) == expected


def test_few_networks_are_all_advised():
    model, widening, constraints, groups = make_model(n_networks=12)
    widening, constraints = np.zeros_like(widening), np.zeros_like(constraints)
    confidence = model.left_out_probabilities_.max(axis=1)
    called = model.left_out_probabilities_.argmax(axis=1) != 2
    assert confidence_for_advice(model, widening, constraints, groups) == confidence[called].min()
    model.left_out_probabilities_ = np.tile([0.1, 0.2, 0.7], (12, 1))
    assert confidence_for_advice(model, widening, constraints, groups) == 0.0


def test_each_fold_chooses_on_what_it_learned_from(small_zoo, monkeypatch):
    from hessdiag.zoo import load_reference_zoo

    zoo = load_reference_zoo(path=small_zoo.table)
    met = []

    def choose(model, widening, constraints, groups):
        assert len(set(groups)) < len(set(zoo.groups))
        assert widening.shape == groups.shape == (len(model.left_out_probabilities_),)
        assert constraints.shape == model.left_out_constraints_.shape == (len(groups), 3)
        assert len(groups) < len(zoo.target)
        met.append(len(groups))
        return 0.4

    monkeypatch.setattr(advice, "confidence_for_advice", choose)
    chosen, _ = advice.choose_advised(zoo, n_networks=12)
    assert sum(len(zoo.target) - n for n in met) == len(zoo.target)
    assert all(network.confidence >= network.floor == 0.4 for network in chosen)
