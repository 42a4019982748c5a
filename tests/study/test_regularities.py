"""Regularities: shares, exact intervals and corrections, by brute force."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.study import Statement, tally_statements
from hessdiag.study.statistics import holm, share_interval


def tail(n, p, counts):
    """Probability that a binomial count is one of these."""
    return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in counts)


def bisect(function, low=0.0, high=1.0):
    """Where an increasing function crosses 0."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return low


def naive_interval(k, n):
    """Shares that neither tail rejects at 2.5 %."""
    low = 0.0 if k == 0 else bisect(lambda p: tail(n, p, range(k, n + 1)) - 0.025)
    high = 1.0 if k == n else bisect(lambda p: 0.025 - tail(n, p, range(k + 1)))
    return low, high


@pytest.mark.parametrize(
    ("k", "n"), [(0, 1), (1, 1), (0, 37), (37, 37), (18, 37), (30, 36), (3, 9)]
)
def test_share_interval(k, n):
    share, low, high = share_interval(k, n)
    assert share == k / n
    assert (low, high) == pytest.approx(naive_interval(k, n), abs=1e-9)


def test_nothing_out_of_nothing():
    assert np.isnan(share_interval(0, 0)).all()


P_VALUES = st.lists(
    st.one_of(st.floats(0, 1), st.sampled_from([0.01, 0.5])), min_size=1, max_size=6
)


@settings(deadline=None)
@given(P_VALUES)
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    n = len(p_values)
    subsets = [s for size in range(1, n + 1) for s in combinations(range(n), size)]
    expected = [
        max(min(1.0, len(s) * min(p_values[j] for j in s)) for s in subsets if i in s)
        for i in range(n)
    ]
    np.testing.assert_allclose(holm(p_values), expected, rtol=1e-12)


@settings(deadline=None)
@given(P_VALUES, st.integers(0, 6))
def test_holm_without_what_was_not_tested(p_values, position):
    position = min(position, len(p_values))
    found = holm([*p_values[:position], np.nan, *p_values[position:]])
    assert np.isnan(found[position])
    np.testing.assert_array_equal(np.delete(found, position), holm(p_values))


# Statements by what they answer on each of twelve data sets: yes, no, or does not apply.
ANSWERS = {
    "always": "++++++++++++",
    "mostly": "+++++-++++++",
    "evenly": "+-+-+-+-+-+-",
    "never": "------------",
    "seldom applies": "..+.........",
    "sometimes applies": "..++++++++-.",
    "never applies": "............",
    "rarely": "-+----------",
}
NAMES = [f"set-{index}" for index in range(12)]


def make_tables():
    regimes = ("starved", "sound", "lavish")
    facts = {"kind": "regression", "n_outputs": 1, "activation": "relu", "learning_rate": 0.1}
    heads = [{"dataset": name, "regime": regime} for name in NAMES for regime in regimes]
    experiments = pd.DataFrame([head | facts for head in heads])
    rows = [head | {"place": "network", "step": 0, "share": 0.0} for head in heads]
    coupling = pd.DataFrame(columns=["dataset", "regime", "step", "distance", "coupling", "phi"])
    return experiments, pd.DataFrame(rows), coupling


def test_the_tally_by_brute_force():
    words = {"+": np.True_, "-": False, ".": None}
    statements = [
        Statement(key, f"It is {key} so.", "Nobody (1999)", "layers", answer)
        for key, answers in ANSWERS.items()
        for answer in [lambda runs, a=answers: words[a[NAMES.index(runs.dataset)]]]
    ]
    table = tally_statements(*make_tables(), statements=statements)
    assert table["key"].tolist() == list(ANSWERS)
    tested = [key for key, answers in ANSWERS.items() if set(answers) != {"."}]
    expected_p = {}
    for row in table.to_dict("records"):
        answers = ANSWERS[row["key"]]
        n_held, n = answers.count("+"), 12 - answers.count(".")
        assert (row["n_held"], row["n_data_sets"]) == (n_held, n)
        exceptions = [name for name, answer in zip(NAMES, answers) if answer == "-"]
        assert row["exceptions"] == "; ".join(exceptions)
        assert row["statement"] == f"It is {row['key']} so."
        if n == 0:
            assert np.isnan([row[k] for k in ("share", "low", "high", "p_value")]).all()
            assert np.isnan(row["p_adjusted"])
            assert row["verdict"] == "open"
            continue
        low, high = naive_interval(n_held, n)
        assert (row["share"], row["low"], row["high"]) == pytest.approx((n_held / n, low, high))
        assert row["verdict"] == ("holds" if low > 0.5 else "fails" if high < 0.5 else "open")
        as_rare = [k for k in range(n + 1) if comb(n, k) <= comb(n, n_held)]
        expected_p[row["key"]] = tail(n, 0.5, as_rare)
        assert row["p_value"] == pytest.approx(expected_p[row["key"]])
    found = dict(zip(table["key"], table["p_adjusted"], strict=True))
    for key in tested:
        subsets = (s for size in range(1, 8) for s in combinations(tested, size) if key in s)
        expected = max(min(1.0, len(s) * min(expected_p[j] for j in s)) for s in subsets)
        assert found[key] == pytest.approx(expected)
    verdicts = dict(zip(table["key"], table["verdict"], strict=True))
    assert verdicts == {
        "always": "holds",
        "mostly": "holds",
        "evenly": "open",
        "never": "fails",
        "seldom applies": "open",
        "sometimes applies": "holds",
        "never applies": "open",
        "rarely": "fails",
    }


def test_the_study_s_own_statements_on_empty_tables():
    experiments, evolution, coupling = make_tables()
    table = tally_statements(experiments.iloc[:0], evolution.iloc[:0], coupling)
    assert len(table) == 21
    assert (table["n_data_sets"] == 0).all()
    assert table["p_adjusted"].isna().all()
