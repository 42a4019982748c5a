"""Correlations: against SciPy, and against themselves under what must not change them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr, ttest_1samp

from hessdiag.study import correlate
from hessdiag.study._correlations import TIMES, _rank_correlations, measure_families
from hessdiag.study.tables import PLACES, REGIMES

# "gn_gap" and "trace" are measures of layers, the latter a rival for the whole net.
MEASURES = ("trace", "gn_gap", "weight_norm")
KEYS = ["measure", "place", "time", "target", "given", "scope"]


def make_experiments(n_sets=7, seed=0, per_set=3):
    """Experiments whose losses differ between data sets, and the measures that go with them."""
    rng = np.random.default_rng(seed)
    rows = [
        {"experiment": f"{name}-{regime}", "dataset": name, "regime": regime}
        for name in (f"set-{index}" for index in range(n_sets))
        for regime in (*REGIMES, "more", "most")[:per_set]
    ]
    level = np.repeat(rng.normal(0, 2, n_sets), per_set)
    losses = {name: level + rng.normal(size=len(rows)) for name in ("held_out_loss", "gap")}
    return pd.DataFrame(rows).assign(**losses).sample(frac=1, random_state=seed)


def make_evolution(experiments, places=("last", "network"), shares=(0.0, *TIMES), seed=1, digits=9):
    """Noisy measures; of few digits where there are to be ties."""
    rng = np.random.default_rng(seed)
    frames = []
    for place in places:
        for share in shares:
            frame = experiments[["experiment", "dataset", "regime"]].assign(
                place=place, share=share
            )
            for name in ("train_loss", *MEASURES):
                noise = rng.normal(size=len(frame))
                frame[name] = (experiments["held_out_loss"].to_numpy() + noise).round(digits)
            frames.append(frame)
    return pd.concat(frames).sample(frac=1, random_state=seed)


def at(evolution, experiments, place, time, name):
    """Values of one measure in the order of the experiments."""
    chosen = evolution[(evolution["place"] == place) & (evolution["share"] == time)]
    return chosen.set_index("experiment")[name].reindex(experiments["experiment"]).to_numpy()


def centred(values, sets):
    """Ranks within each data set, minus their mean; naively."""
    ranks = np.empty(len(values))
    for name in set(sets):
        mine = [index for index, other in enumerate(sets) if other == name]
        found = rankdata([values[index] for index in mine])
        for index, rank in zip(mine, found, strict=True):
            ranks[index] = rank - (len(mine) + 1) / 2
    return ranks


def residual(values, other):
    """What remains of the values after a straight line in the other ones."""
    design = np.column_stack([np.ones(len(other)), other])
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


@pytest.mark.parametrize("digits", [9, 0])
def test_every_number_of_the_table(digits):
    experiments = make_experiments(per_set=4)
    evolution = make_evolution(experiments, digits=digits)
    table = correlate(experiments, evolution)
    sets = experiments["dataset"].tolist()
    # Of the training loss given itself there is nothing to say.
    assert len(table) == 4 * 2 * 2 * (2 * 3 + 2 * 4 - 1)
    assert not table.duplicated(KEYS).any()
    assert (table["n_experiments"] == 28).all()
    assert (table["n_data_sets"] == 7).all()
    for row in table.to_dict("records"):
        x = at(evolution, experiments, row["place"], row["time"], row["measure"])
        z = at(evolution, experiments, row["place"], row["time"], "train_loss")
        y = experiments[row["target"]].to_numpy()
        if row["scope"] == "across":
            ranks = [rankdata(v) for v in (x, y, z)]
            if row["given"] == "nothing":
                assert row["rho"] == pytest.approx(spearmanr(x, y).statistic)
        else:
            ranks = [centred(v, sets) for v in (x, y, z)]
        a, b = ranks[:2]
        if row["given"] == "train_loss":
            a, b = residual(a, ranks[2]), residual(b, ranks[2])
        a, b = a - a.mean(), b - b.mean()
        assert row["rho"] == pytest.approx(pearsonr(a, b).statistic)
        scores = pd.Series(a * b).groupby(sets).sum()
        assert row["p_value"] == pytest.approx(ttest_1samp(scores, 0).pvalue, rel=1e-6)
        assert row["low"] <= row["rho"] <= row["high"]
        assert row["family"] == measure_families(row["place"])[row["measure"]]


def test_intervals_are_those_of_repeated_data_sets():
    experiments = make_experiments(n_sets=5)
    evolution = make_evolution(experiments, places=("last",), shares=(1.0,))
    table = correlate(experiments, evolution, random_state=3)
    rng = np.random.default_rng(3)
    counts = rng.multinomial(5, np.full(5, 0.2), size=2000)
    sets = experiments["dataset"].tolist()
    names = sorted(set(sets))
    x, y, z = (
        centred(v, sets)
        for v in (
            at(evolution, experiments, "last", 1.0, "gn_gap"),
            experiments["held_out_loss"].tolist(),
            at(evolution, experiments, "last", 1.0, "train_loss"),
        )
    )
    drawn = {"nothing": [], "train_loss": []}
    for count in counts:
        rows = [
            i for n, k in zip(names, count) for _ in range(k) for i, s in enumerate(sets) if s == n
        ]
        a, b, c = x[rows], y[rows], z[rows]
        drawn["nothing"].append(np.corrcoef(a, b)[0, 1])
        rest = [residual(values, c) for values in (a, b)]
        # Nothing is left where both orders are the same, up to rounding.
        if min(np.linalg.norm(values) for values in rest) > 1e-6:
            drawn["train_loss"].append(np.corrcoef(*rest)[0, 1])
    chosen = table[
        (table["measure"] == "gn_gap")
        & (table["target"] == "held_out_loss")
        & (table["scope"] == "within")
        & (table["time"] == 1.0)
    ].set_index("given")
    for given_, values in drawn.items():
        expected = np.percentile(values, [2.5, 97.5])
        np.testing.assert_allclose(chosen.loc[given_, ["low", "high"]].astype(float), expected)
        assert expected[0] < chosen.loc[given_, "rho"] < expected[1]


def test_within_two_equal_data_sets_is_spearman_of_one():
    one = make_experiments(n_sets=1, per_set=5)
    evolution = make_evolution(one, places=("last",), shares=(1.0,))
    twice = [t.replace("set-0", "set-1", regex=True) for t in (one, evolution)]
    table = correlate(pd.concat([one, twice[0]]), pd.concat([evolution, twice[1]]))
    rows = table[(table["scope"] == "within") & (table["given"] == "nothing")]
    for row in rows.to_dict("records"):
        x = at(evolution, one, "last", 1.0, row["measure"])
        assert row["rho"] == pytest.approx(spearmanr(x, one[row["target"]]).statistic)


def test_within_does_not_see_what_differs_between_data_sets():
    experiments = make_experiments()
    evolution = make_evolution(experiments)
    before = correlate(experiments, evolution)
    number = evolution["dataset"].str.removeprefix("set-").astype(int)
    moved = evolution.assign(trace=evolution["trace"] * 10.0**number + 1e3 * number)
    after = correlate(experiments, moved)
    mine = before["measure"] == "trace"
    within = before["scope"] == "within"
    pd.testing.assert_frame_equal(
        before[within].drop(columns="p_adjusted"), after[within].drop(columns="p_adjusted")
    )
    assert (before.loc[mine & ~within, "rho"] != after.loc[mine & ~within, "rho"]).all()


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from([np.exp, np.cbrt, lambda v: v**3, lambda v: np.arctan(v / 9), lambda v: 4 * v]),
    st.booleans(),
    st.integers(0, 99),
)
def test_only_the_order_counts(transform, reverse, seed):
    experiments = make_experiments(n_sets=3, seed=seed)
    evolution = make_evolution(experiments, places=("network",), shares=(1.0,), seed=seed, digits=1)
    before = correlate(experiments, evolution)
    sign = -1 if reverse else 1
    after = correlate(experiments, evolution.assign(trace=sign * transform(evolution["trace"])))
    mine = before["measure"] == "trace"
    same = ["n_experiments", "n_data_sets", "p_value"]
    pd.testing.assert_frame_equal(before.loc[~mine, same], after.loc[~mine, same])
    pd.testing.assert_frame_equal(before.loc[mine, same], after.loc[mine, same])
    np.testing.assert_allclose(before.loc[mine, "rho"], sign * after.loc[mine, "rho"], atol=1e-12)
    swapped = ["high", "low"] if reverse else ["low", "high"]
    np.testing.assert_allclose(
        before.loc[mine, ["low", "high"]], sign * after.loc[mine, swapped], atol=1e-9
    )


@pytest.mark.slow
def test_p_values_are_even_where_there_is_nothing_and_small_where_there_is():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(37), 3)
    order = rng.permutation(len(codes))
    level = rng.normal(0, 3, 37)[codes]
    y, z = level + rng.normal(size=111), level + rng.normal(size=111)
    noise = rng.normal(size=(111, 400))
    real = (y + rng.normal(size=111))[:, None]
    matrix = np.hstack([noise, real])
    found = _rank_correlations(
        matrix[order], y[order], z[order], codes[order], "within", random_state=0
    )
    for given_ in (0, 1):
        p_values = np.array([rows[given_]["p_value"] for rows in found])
        for level_, slack in ((0.05, 0.03), (0.2, 0.06), (0.5, 0.08), (0.8, 0.06)):
            assert abs((p_values[:-1] < level_).mean() - level_) < slack
        assert p_values[-1] < 0.001
        # Intervals too: they miss the truth, 0, about as often as they should.
        missed = np.mean([row[given_]["low"] * row[given_]["high"] > 0 for row in found[:-1]])
        assert 0.02 < missed < 0.1


def test_what_the_training_loss_explains_is_not_counted_twice():
    experiments = make_experiments(n_sets=30)
    evolution = make_evolution(experiments, places=("last",), shares=(1.0,))
    rng = np.random.default_rng(5)
    echo = evolution["train_loss"] + 0.3 * rng.normal(size=len(evolution))
    table = correlate(experiments, evolution.assign(trace=echo))
    rows = table[
        (table["measure"] == "trace")
        & (table["scope"] == "within")
        & (table["target"] == "held_out_loss")
        & (table["time"] == 1.0)
    ].set_index("given")
    assert rows.loc["nothing", "rho"] > 0.3
    assert rows.loc["nothing", "p_value"] < 0.01
    assert abs(rows.loc["train_loss", "rho"]) < 0.2
    # What is the training loss itself, but for its units, has nothing left to say.
    same = correlate(experiments, evolution.assign(trace=np.exp(evolution["train_loss"])))
    rows = same[(same["measure"] == "trace") & (same["given"] == "train_loss")]
    assert rows[["rho", "low", "high", "p_value", "p_adjusted"]].isna().all(axis=None)


def test_data_sets_with_a_missing_value_are_left_out():
    experiments = make_experiments(n_sets=6)
    evolution = make_evolution(experiments)
    holes = evolution.copy()
    hole = (holes["experiment"] == "set-2-sound") & (holes["share"] == 0.5)
    holes.loc[hole & (holes["place"] == "last"), "trace"] = np.nan
    holes.loc[hole & (holes["place"] == "network"), "trace"] = np.inf
    found = correlate(experiments, holes)
    without = [t[t["dataset"] != "set-2"] for t in (experiments, evolution)]
    everything, rest = correlate(experiments, evolution), correlate(*without)
    mine = (found["measure"] == "trace") & (found["time"] == 0.5)
    columns = [name for name in found if name != "p_adjusted"]
    assert mine.sum() == 16
    assert (found.loc[mine, "n_data_sets"] == 5).all()
    assert (found.loc[mine, "n_experiments"] == 15).all()
    pd.testing.assert_frame_equal(found.loc[mine, columns], rest.loc[mine, columns])
    pd.testing.assert_frame_equal(found.loc[~mine, columns], everything.loc[~mine, columns])
    # A run that blew up has no held-out loss: its data set counts nowhere.
    experiments.loc[experiments["experiment"] == "set-2-lavish", "held_out_loss"] = np.nan
    gone = correlate(experiments, evolution)
    mine = gone["target"] == "held_out_loss"
    pd.testing.assert_frame_equal(gone.loc[mine, columns], rest.loc[mine, columns])


def test_the_adjustment_is_that_of_benjamini_and_hochberg():
    experiments = make_experiments(n_sets=4)
    evolution = make_evolution(experiments).assign(weight_norm=1.0)
    table = correlate(experiments, evolution)
    # A measure that is the same everywhere correlates with nothing.
    constant = table["measure"] == "weight_norm"
    assert table.loc[constant, ["rho", "p_value", "p_adjusted"]].isna().all(axis=None)
    table = table[~constant & table["p_value"].notna()]
    p_values = table["p_value"].to_numpy()
    n = len(p_values)
    assert n > 120
    expected = [
        min(1.0, *(n * q / (p_values <= q).sum() for q in p_values[p_values >= p]))
        for p in p_values
    ]
    np.testing.assert_allclose(table["p_adjusted"], expected)
    assert (table["p_adjusted"] >= p_values).all()


def test_checkpoints_nearest_in_log_steps_and_means_over_the_layers_of_a_place():
    experiments = make_experiments()
    shares = (0.0, 0.08, 0.2, 0.9, 1.0)
    evolution = make_evolution(experiments, places=("middle",), shares=shares)
    other = make_evolution(experiments, places=("middle",), shares=shares, seed=8)
    table = correlate(experiments, pd.concat([evolution, other]))
    # 0.5 is nearer to 0.9 than to 0.2 by ratio.
    for time, share in ((0.1, 0.08), (0.25, 0.2), (0.5, 0.9), (1.0, 1.0)):
        x = sum(at(t, experiments, "middle", share, "gn_gap") for t in (evolution, other))
        rho = spearmanr(x, experiments["gap"]).statistic
        rows = table[(table["time"] == time) & (table["measure"] == "gn_gap")]
        rows = rows[(rows["target"] == "gap") & (rows["given"] == "nothing")]
        assert rows.set_index("scope").loc["across", "rho"] == pytest.approx(rho)


def test_rivals_are_of_the_whole_net():
    rivals = {
        place: {name for name, family in measure_families(place).items() if family == "rival"}
        for place in PLACES
    }
    assert rivals.pop("network") >= {
        *("train_loss", "gradient_norm", "weight_norm", "trace", "max_eigenvalue", "sharpness")
    }
    assert set().union(*rivals.values()) == set()
    assert "context" not in {f for place in PLACES for f in measure_families(place).values()}


def test_one_data_set_has_no_interval():
    experiments = make_experiments(n_sets=1)
    table = correlate(experiments, make_evolution(experiments))
    assert table[["rho", "low", "high", "p_value", "p_adjusted"]].isna().all(axis=None)
