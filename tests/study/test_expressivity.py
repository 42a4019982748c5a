"""Expressivity: measures whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata

from hessdiag.study import express

TEACHERS = {"a": 2, "b": 4, "c": 8, "d": 8}
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def make_students(seeds=(0, 1), **measures):
    """Students of four teachers; each measure is a function of (ratio, teacher's width, rng)."""
    rng = np.random.default_rng(0)
    rows = []
    for teacher, needed in TEACHERS.items():
        for ratio in RATIOS:
            if ratio * needed < 1:
                continue
            for seed in seeds:
                for place in ("last", "network"):
                    row = {"teacher": teacher, "ratio": ratio, "seed": seed, "place": place}
                    found = {name: f(ratio, needed, rng) for name, f in measures.items()}
                    rows.append(row | {"train_loss": rng.random()} | found)
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def one(measure, **options):
    table = express(make_students(trace=measure, **options))
    rows = table[(table["measure"] == "trace") & (table["place"] == "last")]
    assert len(rows) == 1
    return rows.iloc[0]


def test_what_rises_with_the_ratio_has_rho_1():
    # Its size depends on the teacher; its order within a teacher does not.
    row = one(lambda ratio, needed, _: 100.0**needed * (1 + ratio))
    assert (row["rho"], row["low"], row["high"]) == pytest.approx((1, 1, 1))
    assert row["p_adjusted"] < 1e-6
    assert (row["n_students"], row["n_teachers"]) == (2 * (5 + 6 + 6 + 6), 4)
    assert one(lambda ratio, *_: -ratio)["rho"] == pytest.approx(-1)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("saturated", [0.5, 1.0, 2.0, 4.0])
def test_where_a_measure_saturates_is_found(saturated, sign):
    row = one(lambda ratio, needed, _: needed + sign * min(ratio, saturated))
    assert row["saturation_ratio"] == saturated
    assert sign * row["rho"] > 0.3


def test_what_never_saturates():
    # 90 % of the way only at the end; and a way that leads back again.
    assert np.isnan(one(lambda ratio, *_: ratio)["saturation_ratio"])
    dips = {0.25: 0, 0.5: 1.0, 1.0: 1.0, 2.0: 0.2, 4.0: 0.95, 8.0: 1.0}
    assert one(lambda ratio, *_: dips[ratio])["saturation_ratio"] == 4.0


def test_saturation_is_that_of_most_teachers_and_of_the_mean_over_seeds():
    late = one(lambda ratio, needed, _: min(ratio, 2.0 if needed == 2 else 1.0))
    assert late["saturation_ratio"] == 1.0
    # Two of the four reach it at 4, two at 1: the median lies at 4.
    half = one(lambda ratio, needed, _: min(ratio, 4.0 if needed == 8 else 1.0))
    assert half["saturation_ratio"] == 4.0
    rest = iter(np.resize([0.4, -0.4], 999))
    noisy = make_students(trace=lambda ratio, *_: min(ratio, 2.0))
    noisy = noisy.sort_values(["teacher", "ratio", "place", "seed"])
    noisy["trace"] += [next(rest) for _ in range(len(noisy))]
    table = express(noisy).set_index(["measure", "place"])
    assert table.loc[("trace", "last"), "saturation_ratio"] == 2.0


def test_a_constant_measure_says_nothing():
    for constant in (lambda *_: 3.0, lambda *_: np.nan):
        row = one(constant)
        columns = ["rho", "low", "high", "p_value", "p_adjusted", "saturation_ratio"]
        assert row[columns].isna().all()


def test_numbers_of_a_noisy_measure():
    students = make_students(
        trace=lambda ratio, _, rng: np.log2(ratio) + 2 * rng.normal(),
        weight_norm=lambda *a: a[2].normal(),
    )
    students.loc[(students["teacher"] == "b") & (students["ratio"] == 8), "trace"] = np.nan
    table = express(students, random_state=4)
    row = table.set_index(["measure", "place"]).loc[("trace", "last")]
    mine = students[(students["place"] == "last") & students["trace"].notna()]
    assert row["n_students"] == len(mine) == 44
    parts = []
    for _, group in mine.groupby("teacher"):
        pair = [rankdata(group[name]) for name in ("trace", "ratio")]
        parts.append(np.array([rank - rank.mean() for rank in pair]))
    assert row["rho"] == pytest.approx(np.corrcoef(np.hstack(parts))[0, 1])
    drawn = []
    for counts in np.random.default_rng(4).multinomial(4, np.full(4, 0.25), size=2000):
        sample = np.hstack([part for part, k in zip(parts, counts) for _ in range(k)])
        drawn.append(np.corrcoef(sample)[0, 1])
    np.testing.assert_allclose([row["low"], row["high"]], np.percentile(drawn, [2.5, 97.5]))
    assert row["p_value"] == pytest.approx(2 * norm.sf(abs(row["rho"]) / np.std(drawn)))
    p_values = table["p_value"].to_numpy()
    n = len(p_values)
    assert n == 5
    expected = [
        min(1.0, *(n * q / (p_values <= q).sum() for q in p_values[p_values >= p]))
        for p in p_values
    ]
    np.testing.assert_allclose(table["p_adjusted"], expected)


def test_one_teacher_has_no_interval():
    students = make_students(trace=lambda ratio, *_: min(ratio, 2.0))
    table = express(students[students["teacher"] == "c"])
    assert table[["rho", "low", "high", "p_value", "p_adjusted"]].isna().all(axis=None)
    row = table.set_index(["measure", "place"]).loc[("trace", "last")]
    assert row["saturation_ratio"] == 2.0
