"""Statements: where each holds, where it fails, and where it does not apply."""

import numpy as np
import pandas as pd
import pytest

from hessdiag.features import LAYER_MEASURES
from hessdiag.study import STATEMENTS
from hessdiag.study._runs import Runs, each_data_set, nearest_checkpoint
from hessdiag.study.tables import PLACES, REGIMES

STEPS = (0, 1, 10, 30, 60, 100)
RAW = (
    "train_loss",
    "trace",
    "max_eigenvalue",
    "min_eigenvalue",
    "stable_rank",
    "participation_ratio",
    "effective_rank",
    "rank_fraction",
    "n_outliers",
    "effective_dimension",
)
LAYERS = ("first", "middle", "last")
NAN = np.nan
BY_KEY = {statement.key: statement for statement in STATEMENTS}


def make_tables(curves=(), couplings=(), dataset="wine", fill=1.0, **experiment):
    """Tables of three runs whose measures are constant but for the curves that are given.

    Curves are {(regime, place, measure): value or values at STEPS}; couplings are
    {(regime, distance): value} or {(regime, "phi"): value}, at the end; before, they are another.
    """
    names = {*RAW, *LAYER_MEASURES, *(measure for _, _, measure in dict(curves))}
    rows, pairs = [], []
    for regime in REGIMES:
        head = {"experiment": f"{dataset}-{regime}", "dataset": dataset, "regime": regime}
        for place in PLACES:
            values = {name: np.full(len(STEPS), fill) for name in names}
            for (a, b, measure), value in dict(curves).items():
                if (a, b) == (regime, place):
                    values[measure] = np.broadcast_to(value, len(STEPS))
            for index, step in enumerate(STEPS):
                place_row = {"step": step, "share": step / STEPS[-1], "place": place}
                rows.append(head | place_row | {name: v[index] for name, v in values.items()})
        for a, first in enumerate(LAYERS):
            for b in range(a, 3):
                distance = b - a
                value = dict(couplings).get((regime, distance), 1.0)
                phi = dict(couplings).get((regime, "phi"), 0.5)
                for step, late in ((0, False), (100, True)):
                    pair = {"step": step, "place_a": first, "place_b": LAYERS[b]}
                    pair |= {"distance": distance, "coupling": value if late else 5.0 - value}
                    pairs.append(head | pair | {"phi": phi if late else 1 - phi})
    facts = {"kind": "classification", "n_outputs": 3, "activation": "tanh", "learning_rate": 0.1}
    experiments = [
        {"experiment": f"{dataset}-{r}", "dataset": dataset, "regime": r} | facts | experiment
        for r in REGIMES
    ]
    # Sorted by nothing: the order of rows says nothing.
    mixed = pd.DataFrame(rows).sample(frac=1, random_state=0)
    return pd.DataFrame(experiments), mixed, pd.DataFrame(pairs)


def ask(key, curves=(), couplings=(), **experiment):
    answer = BY_KEY[key].holds(Runs(*make_tables(curves, couplings, **experiment)))
    assert answer is None or type(answer) is bool, "an answer that no table should hold"
    return answer


def of_net(regime, measure):
    return lambda *values: {(regime, "network", measure): values}


def each_layer(regime, measure):
    """Curves from one value for each layer, or one curve for each."""
    return lambda *values: {(regime, p, measure): v for p, v in zip(LAYERS, values, strict=True)}


def in_regimes(place, measure):
    """Ends of the three regimes; what was before goes the other way."""
    return lambda *ends: {
        (regime, place, measure): (*[-end] * 5, end)
        for regime, end in zip(REGIMES, ends, strict=True)
    }


def ending(before, after):
    """A curve that is at its ends what is given, and far from both between them."""
    return (before, 50.0, -7.0, 40.0, 30.0, after)


sharp = of_net("sound", "max_eigenvalue")
edge = of_net("lavish", "max_eigenvalue")
ratio = each_layer("sound", "participation_ratio")
snr = each_layer("sound", "log_gradient_snr")
aligned = each_layer("sound", "centred_target_alignment")
sharpest = each_layer("sound", "max_eigenvalue")
trace = each_layer("sound", "trace")
few = in_regimes("middle", "participation_ratio_fraction")
top = in_regimes("network", "max_eigenvalue")
top_scaled = in_regimes("network", "log_max_eigenvalue_weight")
takeuchi = in_regimes("network", "takeuchi_1")
leave_out = in_regimes("network", "alo_median_gap_1")
dimension = in_regimes("network", "effective_dimension_per_sample_1")


def last_dimensions(lavish, sound):
    return {
        ("lavish", "last", "effective_dimension"): lavish,
        ("sound", "last", "effective_dimension"): sound,
    }


def ranks(starved, lavish):
    return each_layer("starved", "rank_fraction")(*starved) | each_layer("lavish", "rank_fraction")(
        *lavish
    )


def mass(*values):
    return {("sound", "middle", "negative_mass"): values}


def gap(before, after):
    return {("lavish", "first", "gn_gap"): ending(before, after)}


def ends(*pairs):
    return [ending(*pair) for pair in pairs]


def lost(curves, at=-1):
    """The same curves with one number missing, at one checkpoint of each."""
    broken = {}
    for key, values in curves.items():
        values = np.array(np.broadcast_to(values, len(STEPS)), dtype=float)
        values[at] = NAN
        broken[key] = values
    return broken


# The edge of stability is at 2 (1 + 0.9) / 0.1 = 38: between 19 and 76. Early it may be anything.
AT_EDGE = edge(0.1, 900.0, 0.1, 75.9, 38.0, 19.1)
RISING = ends((2.0, 3.0), (1.0, 1.1), (0.0, 5.0))
FALLING = ends((3.0, 2.0), (1.1, 1.0), (5.0, 0.0))
ALMOST = ends((3.0, 2.0), (1.1, 1.1), (5.0, 0.0))
# The largest trace: last all along, though not in the beginning and between.
KEPT = trace((9, 9, 1, 9, 9, 1), (8, 8, 2, 9, 9, 2), (1, 1, 3, 1, 1, 3))
SWAPPED = trace((1, 1, 3, 1, 1, 2), (2, 2, 2, 2, 2, 2), (3, 3, 1, 3, 3, 3))

# For each statement: settings where it holds, where it fails, and where it does not apply.
CASES = {
    "progressive-sharpening": (
        [{"curves": sharp(1.0, 1, 1, 2.0, 1, 0.5)}, {"curves": sharp(0.1, 1, 1, 1, 1, 1)}],
        [{"curves": sharp(1.0, 1, 1, 1.99, 1, 0.5)}, {"curves": sharp(4.0, 1, 1, 2, 1, 0.5)}],
        [{"curves": lost(sharp(1.0, 1, 1, 2.0, 1, 0.5), at=2)}],
    ),
    "edge-of-stability": (
        [{"curves": AT_EDGE}, {"curves": edge(*[760.0] * 6), "learning_rate": 0.005}],
        [
            {"curves": edge(38, 38, 38, 76.1, 38, 38)},
            {"curves": edge(38, 38, 38, 38, 18.9, 38)},
            {"curves": AT_EDGE, "learning_rate": 0.2},
        ],
        [{"curves": lost(AT_EDGE, at=0)}],
    ),
    "late-flattening": (
        [{"curves": edge(1.0, 1, 1, 4.0, 3, 1.99)}],
        [{"curves": edge(1.0, 1, 1, 4.0, 3, 2.0)}, {"curves": edge(1.0, 2, 3, 4, 5, 6)}],
        [
            {"curves": edge(1.0, 1, 1, 4.0, 3, 1.99), "kind": "regression"},
            {"curves": lost(edge(1.0, 1, 1, 4.0, 3, 1.99), at=1)},
        ],
    ),
    "outliers-are-classes": (
        [
            {"curves": of_net("sound", "n_outliers")(*ending(9, 3.0))},
            {"curves": of_net("sound", "n_outliers")(*ending(9, 5.0)), "n_outputs": 5},
        ],
        [{"curves": of_net("sound", "n_outliers")(*ending(1, 4.0))}],
        [
            {"curves": of_net("sound", "n_outliers")(*ending(9, 3.0)), "kind": "regression"},
            {"curves": lost(of_net("sound", "n_outliers")(*ending(9, 3.0)))},
        ],
    ),
    "curvature-concentrates": (
        [{"curves": ratio(*FALLING)}],
        [{"curves": ratio(*RISING)}, {"curves": ratio(*ALMOST)}],
        [{"curves": lost(ratio(*FALLING))}, {"curves": lost(ratio(*FALLING), at=0)}],
    ),
    "overfitting-in-few-directions": (
        [{"curves": few(0.0, 0.5, 0.4)}],
        [{"curves": few(0.9, 0.4, 0.5)}, {"curves": few(0.9, 0.5, 0.5)}],
        [{"curves": few(0.0, 0.5, NAN)}, {"curves": few(0.0, NAN, 0.4)}],
    ),
    "effective-dimension-falls": (
        [{"curves": last_dimensions((1, 1, 10, 1, 1, 8.9), (1, 10, 1, 1, 1, 9.0))}],
        [
            {"curves": last_dimensions((1, 1, 10, 1, 1, 9.0), (1, 10, 1, 1, 1, 9.0))},
            {"curves": last_dimensions((1, 1, 10, 1, 1, 8.9), (1, 10, 1, 1, 1, 8.9))},
        ],
        [{"curves": lost(last_dimensions((1, 1, 10, 1, 1, 8.9), (1, 10, 1, 1, 1, 9)), at=3)}],
    ),
    "starved-layers-have-full-rank": (
        [{"curves": ranks((0.9, 1.0, 1.0), (1.0, 0.89, 1.0))}],
        [
            {"curves": ranks((0.89, 1.0, 1.0), (0.5, 0.5, 0.5))},
            {"curves": ranks((1.0, 1.0, 1.0), (0.9, 0.9, 0.9))},
        ],
        [
            {"curves": ranks((0.9, NAN, 1.0), (1.0, 0.89, 1.0))},
            {"curves": ranks((0.9, 1.0, 1.0), (1.0, 0.89, NAN))},
        ],
    ),
    "sharper-is-worse": (
        [{"curves": top(9.0, 2.0, 2.1)}],
        [{"curves": top(0.0, 2.1, 2.0)}, {"curves": top(0.0, 2.0, 2.0)}],
        [{"curves": top(9.0, NAN, 2.1)}],
    ),
    "sharper-is-worse-scaled": (
        [{"curves": top_scaled(9.0, -2.1, -2.0) | top(9.0, 2.0, 1.0)}],
        [{"curves": top_scaled(0.0, -2.0, -2.1) | top(9.0, 1.0, 2.0)}],
        [{"curves": top_scaled(0.0, 1.0, np.inf)}],
    ),
    "last-layer-sharpest": (
        [
            {"curves": sharpest(ending(9, 2), ending(9, 3), ending(0, 4))},
            {"curves": sharpest(ending(9, 2), ending(9, 4), ending(0, 4))},
        ],
        [{"curves": sharpest(ending(1, 2), ending(1, 5), ending(9, 4))}],
        [{"curves": sharpest(ending(9, NAN), ending(9, 3), ending(0, 4))}],
    ),
    "order-of-layers-is-early": (
        [{"curves": KEPT}],
        [{"curves": SWAPPED}],
        [{"curves": lost(KEPT)}, {"curves": lost(KEPT, at=2)}],
    ),
    "negative-curvature-fades": (
        [{"curves": mass(0.1, 0.4, 0.2, 0.1, 0.1, 0.19)}],
        [{"curves": mass(0.1, 0.4, 0.2, 0.1, 0.1, 0.2)}],
        [
            {"curves": mass(0.1, 0.4, 0.2, 0.1, 0.1, 0.19), "activation": "relu"},
            {"curves": mass(*[0.0] * 6)},
            {"curves": mass(0.1, NAN, 0.2, 0.1, 0.1, 0.19)},
        ],
    ),
    "gauss-newton-takes-over": (
        [{"curves": gap(0.4, 0.39)}, {"curves": gap(0.4, 0.1), "activation": "gelu"}],
        [{"curves": gap(0.4, 0.4)}],
        [{"curves": gap(0.4, 0.1), "activation": "relu"}, {"curves": gap(NAN, 0.1)}],
    ),
    "gradient-noise-takes-over": (
        [{"curves": snr(*FALLING)}],
        [{"curves": snr(*RISING)}, {"curves": snr(*ALMOST)}],
        [{"curves": snr(*ends((3.0, 2.0), (1.1, NAN), (5.0, 0.0)))}],
    ),
    "kernels-align": (
        [{"curves": aligned(*RISING)}],
        [{"curves": aligned(*FALLING)}, {"curves": aligned(*ends((2, 3), (1, 1.1), (5, 5)))}],
        [{"curves": lost(aligned(*RISING), at=0)}],
    ),
    "takeuchi-tells-overfitting": (
        [{"curves": takeuchi(9.0, -2.0, -1.9)}],
        [{"curves": takeuchi(-9.0, 2.0, 1.9)}],
        [{"curves": takeuchi(9.0, 2.0, NAN)}],
    ),
    "leave-one-out-orders-regimes": (
        [{"curves": leave_out(0.01, 0.02, 0.03)}],
        [{"curves": leave_out(0.02, 0.02, 0.03)}, {"curves": leave_out(0.01, 0.03, 0.02)}],
        [{"curves": leave_out(NAN, 0.02, 0.03)}],
    ),
    "dimension-orders-regimes": (
        [{"curves": dimension(-3.0, -2.0, -1.0)}],
        [{"curves": dimension(-2.0, -3.0, -1.0)}, {"curves": dimension(-3.0, -1.0, -1.0)}],
        [{"curves": dimension(-3.0, -2.0, NAN)}],
    ),
    "layers-hold-most-curvature": (
        [{"couplings": {("sound", "phi"): 0.49}}],
        [{"couplings": {("sound", "phi"): 0.5}}, {"couplings": {("sound", "phi"): 0.9}}],
        [{"couplings": {("sound", "phi"): NAN}}],
    ),
    "neighbours-couple-most": (
        [{"couplings": {("sound", 1): 0.3, ("sound", 2): 0.29, ("lavish", 2): 0.9}}],
        [{"couplings": {("sound", 1): 0.3, ("sound", 2): 0.3, ("lavish", 1): 0.9}}],
        [
            {"couplings": {("sound", 1): 0.3, ("sound", 2): NAN}},
            {"couplings": {("sound", 1): NAN, ("sound", 2): 0.1}},
        ],
    ),
}


def test_every_statement_is_tested_here():
    assert list(CASES) == list(BY_KEY)
    assert len(STATEMENTS) == len(BY_KEY) == 21


@pytest.mark.parametrize("key", CASES)
def test_statement(key):
    for expected, settings in zip((True, False, None), CASES[key], strict=True):
        for number, setting in enumerate(settings):
            assert ask(key, **setting) is expected, f"setting {number} for {expected}"


@pytest.mark.parametrize("key", BY_KEY)
def test_what_is_missing_is_no_answer(key):
    experiments, evolution, coupling = make_tables(fill=NAN)
    assert BY_KEY[key].holds(Runs(experiments, evolution, coupling.iloc[:0])) is None
    # Runs that blew up: the last checkpoints are missing, and what there was before is no end.
    experiments, evolution, coupling = make_tables(fill=0.5)
    measured = [name for name in evolution if name in (*RAW, *LAYER_MEASURES)]
    evolution.loc[evolution["step"] >= 60, measured] = NAN
    early = coupling[coupling["step"] < 60]
    assert BY_KEY[key].holds(Runs(experiments, evolution, early)) is None


@pytest.mark.parametrize("seed", range(2))
def test_answers_are_plain_and_do_not_depend_on_the_order_of_rows(seed):
    rng = np.random.default_rng(seed)
    curves = {
        (regime, place, measure): rng.uniform(0, 2, len(STEPS))
        for regime in REGIMES
        for place in PLACES
        for measure in (*RAW, *LAYER_MEASURES)
    }
    tables = make_tables(curves, {("sound", 1): rng.random(), ("sound", "phi"): rng.random()})
    answers = [statement.holds(Runs(*tables)) for statement in STATEMENTS]
    assert {type(answer) for answer in answers} <= {bool, type(None)}
    again = Runs(*(table.sample(frac=1, random_state=seed) for table in tables))
    assert [statement.holds(again) for statement in STATEMENTS] == answers


def test_statements_say_what_they_speak_for():
    claims = {"overfitting", "underparameterization", "evolution", "generalization", "layers"}
    assert {statement.claim for statement in STATEMENTS} == claims
    for statement in STATEMENTS:
        assert statement.text.endswith(".")
        assert statement.reference


def test_runs_read_the_checkpoint_that_is_nearest_in_log_steps():
    values = np.array([7.0, 6, 5, 4, 3, 2])
    runs = Runs(*make_tables({("lavish", "first", "trace"): values}))
    shares = [step / 100 for step in STEPS]
    np.testing.assert_array_equal(runs.shares("lavish"), shares)
    np.testing.assert_array_equal(runs.curve("lavish", "first", "trace"), values)
    # Halfway between 10 and 30 in log-steps lies 17.3; between 30 and 60, 42.4.
    for share, value in [(0, 7), (0.01, 6), (0.1, 5), (0.17, 5), (0.18, 4), (0.42, 4), (0.43, 3)]:
        assert runs.value("lavish", "first", "trace", share) == value
    assert runs.value("lavish", "first", "trace") == 2
    assert runs.ends("lavish", "first", "trace") == (7, 2)
    # Of two as near, the earlier.
    assert nearest_checkpoint(np.array([0.0, 0.25, 1.0]), 0.5) == 1
    assert runs.value("lavish", "elsewhere", "trace") is None
    assert runs.curve("lavish", "elsewhere", "trace") is None


def test_runs_read_couplings_at_the_end():
    runs = Runs(*make_tables((), {("sound", 1): 0.25, ("sound", "phi"): 0.125}))
    assert (runs.coupling("sound", 1), runs.coupling("sound", 0)) == (0.25, 1.0)
    assert (runs.phi("sound"), runs.phi("lavish")) == (0.125, 0.5)
    assert runs.coupling("sound", 7) is None


def test_data_sets_without_all_regimes_are_left_out():
    parts = [make_tables(dataset=name) for name in ("wine", "iris", "crx")]
    experiments, evolution, coupling = (pd.concat(tables) for tables in zip(*parts, strict=True))
    experiments = experiments[experiments["experiment"] != "iris-sound"]
    coupling = coupling[coupling["dataset"] != "crx"]
    found = list(each_data_set(experiments, evolution, coupling))
    assert [runs.dataset for runs in found] == ["wine", "crx"]
    assert found[0].phi("sound") == 0.5
    assert found[1].phi("sound") is None
