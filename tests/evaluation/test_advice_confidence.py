"""The confidence asked of advice, by brute force, from networks that were left out alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from hessdiag.diagnosis import choose_actions
from hessdiag.evaluation import _advice as advice
from hessdiag.evaluation._advice_confidence import (
    AIM_BY_DELTA,
    AIM_LOWERED,
    MIN_ADVISED,
    AdviceConfidence,
    confidence_for_advice,
)
from hessdiag.labels import DIAGNOSES, nearest_gains


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


def with_longer(model, seed=0):
    """The same model with expected gains of all three, and what training longer gained."""
    rng = np.random.default_rng(seed)
    gains = 0.4 * model.left_out_probabilities_[:, [1, 0]]
    expected = 0.3 * rng.normal(size=len(gains))
    longer = expected + 0.05 * rng.normal(size=len(gains))
    longer[rng.random(len(gains)) < 0.3] = np.nan
    own = dict(model.__dict__, gain_names_=("gain_widening", "gain_constraining", "gain_longer"))
    own["left_out_gains_"] = np.column_stack([gains, expected])
    return SimpleNamespace(**own), longer


def test_training_longer_is_advised_as_surely_as_it_helps():
    model, widening, constraints, groups = make_model()
    model, longer = with_longer(model)
    n = len(longer)
    ratios = np.where(np.arange(n) % 10 == 0, 2.0, 0.5)
    named = np.array(DIAGNOSES)[model.left_out_probabilities_.argmax(axis=1)]
    confidence = model.left_out_probabilities_.max(axis=1)
    gains = model.left_out_gains_.copy()
    gains[:, :2] = nearest_gains(gains[:, :2], named)
    sureness = AdviceConfidence(model, longer)
    actions, sure = sureness.advise(named, confidence, ratios, gains)
    np.testing.assert_array_equal(actions, choose_actions(named, ratios, gains))
    # Where advice follows from the diagnosis it is as sure as that; else calibrated.
    by_gain = (actions == "train") & (choose_actions(named, ratios) != "train")
    np.testing.assert_array_equal(sure[~by_gain], confidence[~by_gain])
    known = by_gain & np.isfinite(longer)
    assert abs(sure[known].mean() - (longer[known] >= 0.05).mean()) < 0.1
    assert (np.diff(sure[by_gain][np.argsort(gains[by_gain, 2])]) >= 0).all()
    # The floor, by brute force over all there are.
    found = confidence_for_advice(
        model, widening, constraints, groups, longer=longer, ratios=ratios
    )
    best = {}
    for floor in np.unique(sure):
        gained, met = [], set()
        for row in np.flatnonzero(sure >= floor):
            ways = [k for k in range(3) if np.isfinite(constraints[row, k])]
            best_way = max(ways, key=lambda k: model.left_out_constraints_[row, k], default=None)
            gain = {
                "widen": widening[row],
                "train": longer[row],
                "constrain": np.nan if best_way is None else constraints[row, best_way],
            }.get(actions[row], np.nan)
            if np.isfinite(gain):
                gained.append(gain)
                met.add(groups[row])
        if len(gained) >= MIN_ADVISED:
            missed = 0.0
            for least, aim in ((1e-300, AIM_LOWERED), (0.05, AIM_BY_DELTA)):
                share = np.mean(np.array(gained) >= least)
                error = np.sqrt(share * (1 - share) / len(met))
                missed += max(0.0, aim - (share - error))
            best[floor] = (missed, -len(gained))
    assert best[found] == min(best.values())


def test_training_longer_that_always_or_never_helped():
    model, *_ = make_model()
    model, longer = with_longer(model)
    for gained, share in ((1.0, 1.0), (-1.0, 0.0)):
        sureness = AdviceConfidence(model, np.where(np.isfinite(longer), gained, np.nan))
        _, sure = sureness.advise(
            np.array(["well-fit"]), np.array([0.4]), np.array([0.5]), np.array([[0.0, 0.0, 0.3]])
        )
        assert sure == [share]


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
