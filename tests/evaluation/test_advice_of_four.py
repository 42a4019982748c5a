"""Advice of four is scored by what was measured: counted one by one, refused where nothing was."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from hessdiag.diagnosis import CONSTRAINTS, choose_actions
from hessdiag.evaluation._advice_of_four import (
    ACTIONS,
    SIMPLE_TITLES,
    advice_in_words,
    best_of_four,
    score_advice_of_four,
)
from hessdiag.evaluation._left_out import (
    THREE_GAINS,
    LeftOut,
    gains_as_advised,
    predict_left_out,
)
from hessdiag.labels import label_gains

DELTA = 0.05


def make_zoo(n_networks=240, seed=0):
    """Networks whose gains are known, but for some that were not tried."""
    rng = np.random.default_rng(seed)
    gains = 0.1 * rng.normal(size=(n_networks, 3))
    columns = dict(zip(THREE_GAINS, gains.T, strict=True))
    columns["gain_fourfold"] = gains[:, 0] - 0.02 * rng.random(n_networks)
    for name in CONSTRAINTS:
        columns[name] = gains[:, 1] - 0.05 * rng.random(n_networks)
        columns[name][rng.random(n_networks) < 0.2] = np.nan
    columns["gain_fourfold"][rng.random(n_networks) < 0.1] = np.nan
    columns["gain_longer"][::5] = np.nan
    columns["family"] = rng.choice(["mlp", "gru"], n_networks)
    columns |= {
        f"{part}_{name}": rng.random(n_networks)
        for part in ("train", "valid")
        for name in ("loss", "error")
    }
    columns["kind"] = np.full(n_networks, "classification")
    columns["null_loss"] = np.ones(n_networks)
    groups = np.array([f"set-{k}" for k in rng.integers(0, 12, n_networks)])
    ratios = rng.choice([0.5, 1.5], n_networks, p=[0.9, 0.1])
    tables = [SimpleNamespace(context={"loss_over_null_loss": ratio}) for ratio in ratios]
    index = np.unique(groups, return_inverse=True)[1]
    splits = [(np.flatnonzero(index % 3 != k), np.flatnonzero(index % 3 == k)) for k in range(3)]
    return SimpleNamespace(columns=columns, groups=groups, tables=tables), splits


def make_left_out(zoo, noise, seed=1):
    """Expected gains: what was measured, with noise."""
    rng = np.random.default_rng(seed)
    n = len(zoo.groups)
    gains = np.nan_to_num(np.column_stack([zoo.columns[name] for name in THREE_GAINS]))
    gains = gains + noise * rng.normal(size=gains.shape)
    ways = rng.normal(size=(n, 3))
    named = label_gains(*gains[:, :2].T)
    return LeftOut(named, np.ones(n), gains, np.zeros((n, 3, 2)), ways, np.ones(n))


def naive_best(gains):
    """The largest of three that counts."""
    name = max(zip(gains, ACTIONS), key=lambda pair: pair[0])[1]
    return name if max(gains) >= DELTA else "keep"


def naive_gain(columns, row, action, ways):
    """What was measured of one change."""
    if action == "constrain":
        tried = [k for k in range(3) if np.isfinite(columns[CONSTRAINTS[k]][row])]
        best = max(tried, key=lambda k: ways[row][k], default=None)
        return np.nan if best is None else columns[CONSTRAINTS[best]][row]
    if action == "keep":
        return 0.0
    return columns["gain_fourfold" if action == "widen" else "gain_longer"][row]


@pytest.mark.parametrize("noise", [0.0, 0.05, 1.0])
def test_figures_are_those_of_counting(noise):
    zoo, splits = make_zoo()
    left_out = make_left_out(zoo, noise)
    scored = score_advice_of_four(zoo, {"hessdiag": left_out}, splits)
    json.dumps(scored, allow_nan=False)
    own, columns = scored["rows"]["hessdiag"], zoo.columns
    asked = [i for i in range(len(zoo.groups)) if np.isfinite(columns["gain_longer"][i])]
    assert scored["n_networks"] == len(asked)
    best, advised, gained, expected = {}, {}, {}, {}
    for row in asked:
        best[row] = naive_best([columns[name][row] for name in THREE_GAINS])
        ratio = zoo.tables[row].context["loss_over_null_loss"]
        advised[row] = str(
            choose_actions([left_out.diagnoses[row]], [ratio], left_out.gains[[row]])[0]
        )
        gained[row] = naive_gain(columns, row, advised[row], left_out.constraints)
        expected[row] = (*left_out.gains[row], 0.0)[ACTIONS.index(advised[row])]
    right = [best[row] == advised[row] for row in asked]
    assert own["named"] == pytest.approx(np.mean(right))
    assert scored["best"] == {
        name: sum(value == name for value in best.values()) for name in ACTIONS
    }
    for k, name in enumerate(ACTIONS):
        of = [row for row in asked if best[row] == name]
        assert own["recall"][name] == pytest.approx(np.mean([advised[row] == name for row in of]))
        assert own["confusion"][k] == [
            sum(advised[row] == other for row in of) for other in ACTIONS
        ]
    assert own["balanced"] == pytest.approx(np.mean(list(own["recall"].values())))
    followed = [row for row in asked if advised[row] != "keep" and np.isfinite(gained[row])]
    assert own["n_followed"] == len(followed)
    assert own["changed"] == pytest.approx(np.mean([advised[row] != "keep" for row in asked]))
    assert own["lowered"] == pytest.approx(np.mean([gained[row] > 0 for row in followed]))
    assert own["lowered_by_delta"] == pytest.approx(
        np.mean([gained[row] >= DELTA for row in followed])
    )
    assert own["mean_gain"] == pytest.approx(np.mean([np.nan_to_num(gained[r]) for r in asked]))
    median = np.median([expected[row] for row in followed])
    surer = [row for row in followed if expected[row] >= median]
    assert own["surer_half"]["lowered"] == pytest.approx(
        np.mean([gained[row] > 0 for row in surer])
    )
    dense = [best[row] == advised[row] for row in asked if columns["family"][row] == "mlp"]
    assert own["parts"]["MLPs"] == pytest.approx(np.mean(dense))
    low, high = own["interval"]
    assert low <= own["named"] <= high
    possible = [
        max(0, *(np.nan_to_num(columns[name][row]) for name in ("gain_fourfold", *CONSTRAINTS)),
            columns["gain_longer"][row])
        for row in asked
    ]  # fmt: skip
    assert scored["possible"] == pytest.approx(np.mean(possible))
    assert own["mean_gain"] <= scored["possible"]


def test_who_knows_the_gains_is_right_and_chance_is_a_quarter():
    zoo, splits = make_zoo()
    for table in zoo.tables:
        table.context["loss_over_null_loss"] = 0.5
    rows = score_advice_of_four(zoo, {"hessdiag": make_left_out(zoo, 0.0)}, splits)["rows"]
    assert rows["hessdiag"]["named"] == rows["hessdiag"]["balanced"] == 1
    assert rows["hessdiag"]["interval"] == [1, 1]
    chance = rows["chance"]
    assert chance["named"] == pytest.approx(0.25)
    assert chance["changed"] == pytest.approx(0.75)
    # A change at random: each as often as it was tried.
    columns, tried = zoo.columns, np.isfinite(zoo.columns["gain_longer"])
    each = [
        [naive_gain(columns, row, name, np.zeros((240, 3))) for row in np.flatnonzero(tried)]
        for name in ACTIONS[:3]
    ]
    gained = np.concatenate(each)
    gained = gained[np.isfinite(gained)]
    assert chance["lowered"] == pytest.approx((gained > 0).mean())
    assert chance["lowered_by_delta"] == pytest.approx((gained >= DELTA).mean())
    mean = np.mean([np.nan_to_num(own).mean() for own in (*each, np.zeros(1))])
    assert chance["mean_gain"] == pytest.approx(mean)


def test_most_common_is_learned_elsewhere():
    zoo, splits = make_zoo(seed=3)
    measured = np.column_stack([zoo.columns[name] for name in THREE_GAINS])
    # One fold's networks are all helped by training longer; no other fold learns it from itself.
    own = splits[0][1]
    zoo.columns["gain_longer"][own] = 2.0
    known = np.isfinite(measured).all(axis=1)
    row = score_advice_of_four(zoo, {"hessdiag": make_left_out(zoo, 0.0)}, splits)["rows"]
    best = best_of_four(np.nan_to_num(np.column_stack([zoo.columns[n] for n in THREE_GAINS])))
    elsewhere = [best[i] for i in splits[0][0] if known[i]]
    most = max(ACTIONS, key=elsewhere.count)
    assert most != "train"
    column = np.array(row["most_common"]["confusion"])[:, ACTIONS.index(most)]
    assert column.sum() >= len(own)


def test_without_training_longer_nothing_is_scored():
    zoo, splits = make_zoo()
    left_out = {"hessdiag": make_left_out(zoo, 0.0)}
    zoo.columns["gain_longer"][19:] = np.nan
    scored = score_advice_of_four(zoo, left_out, splits)
    assert scored["rows"] is None
    assert "fewer than 20" in scored["reason"]
    assert "fewer than 20" in "\n".join(advice_in_words(scored, SIMPLE_TITLES))
    del zoo.columns["gain_longer"]
    assert "measured of 0 networks" in score_advice_of_four(zoo, left_out, splits)["reason"]


def test_figures_are_printed():
    zoo, splits = make_zoo()
    scored = score_advice_of_four(zoo, {"hessdiag": make_left_out(zoo, 0.05)}, splits)
    lines = advice_in_words(scored, SIMPLE_TITLES | {"hessdiag": "hessdiag"})
    own = next(line for line in lines if line.startswith("  hessdiag"))
    assert f"{scored['rows']['hessdiag']['named']:.3f}" in own
    assert any("chance" in line and "0.250" in line for line in lines)


def test_learned_where_the_data_set_is_left_out():
    rng = np.random.default_rng(0)
    zoo, splits = make_zoo(600)
    columns = zoo.columns
    gains = np.column_stack([columns[name] for name in THREE_GAINS])
    target = label_gains(*gains[:, :2].T)
    noise = 0.02 * rng.normal(size=gains.shape)
    table = np.nan_to_num(gains + noise)
    left_out = predict_left_out(table, columns, target, zoo.groups, splits)
    assert left_out.asked.all()
    assert np.isfinite(left_out.gains).all()
    known = np.isfinite(gains[:, 2])
    assert np.corrcoef(left_out.gains[known, 2], gains[known, 2])[0, 1] > 0.9
    named = score_advice_of_four(zoo, {"hessdiag": left_out}, splits)["rows"]["hessdiag"]["named"]
    assert named > 0.65
    # Where one fold has nothing to learn of it, it is not advised there.
    train, test = splits[0]
    columns["gain_longer"][train] = np.nan
    left_out = predict_left_out(table, columns, target, zoo.groups, splits)
    assert np.isnan(left_out.gains[test, 2]).all()
    actions = left_out.actions(np.full(600, 0.5))
    assert "train" not in actions[test]
    gained = gains_as_advised(columns, actions, left_out.constraints)
    assert (gained[actions == "keep"] == 0).all()
