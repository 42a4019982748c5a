"""Weights of layers and measures by a naive recomputation, and what a report holds."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

import hessdiag as hd
from hessdiag.diagnosis import TableClassifier
from hessdiag.features import (
    CONTEXT_MEASURES,
    LAYER_MEASURES,
    NETWORK_MEASURES,
    in_words,
    layer_table,
)
from hessdiag.labels import DIAGNOSES, label_gains
from hessdiag.reporting import render_text
from hessdiag.testing import make_case


@pytest.fixture(scope="module")
def diagnoser(nine_cases):
    cases, y = nine_cases
    features = hd.SpectralFeatures(pooling=("first", "max", "trend"))
    return hd.FitDiagnoser(TableClassifier(15, random_state=0), features=features).fit(cases, y)


@pytest.fixture(scope="module")
def medians(nine_cases):
    """Medians over the layers of well-fit, and of all other networks, by another way."""
    cases, y = nine_cases
    tables = [layer_table(x) for x in hd.LayerSpectra().transform(cases)]
    result = {}
    for well_fit in (True, False):
        labelled = zip(tables, y, strict=True)
        chosen = [t for t, label in labelled if (label == "well-fit") == well_fit]
        pools = {n: [v for t in chosen for v in t.measures[n]] for n in LAYER_MEASURES}
        pools |= {n: [t.network[n] for t in chosen] for n in NETWORK_MEASURES}
        pools |= {n: [t.context[n] for t in chosen] for n in CONTEXT_MEASURES}
        result[well_fit] = {}
        for name, values in pools.items():
            finite = [v for v in values if np.isfinite(v)]
            result[well_fit][name] = np.median(finite) if finite else np.nan
    return result


def probability(diagnoser, table, diagnosis):
    """Probability of a diagnosis for a table, through features and classifier."""
    row = np.asarray(diagnoser.features_.transform([table]))
    column = diagnoser.classes_.tolist().index(diagnosis)
    return diagnoser.estimator_.predict_proba(row)[0, column]


def log_odds(diagnoser, table, diagnosis):
    """Natural logarithm of the odds of a diagnosis, at most those of a million to one."""
    p = min(max(probability(diagnoser, table, diagnosis), 1e-6), 1 - 1e-6)
    return np.log(p) - np.log1p(-p)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_weights_by_naive_recomputation(index, diagnoser, medians, nine_cases):
    case = nine_cases[0][index]
    report = diagnoser.explain(case)
    table = layer_table(hd.LayerSpectra().transform([case])[0])
    assert report.confidence == pytest.approx(probability(diagnoser, table, report.diagnosis))
    base = log_odds(diagnoser, table, report.diagnosis)
    target = medians[report.diagnosis != "well-fit"]

    for position, finding in enumerate(report.layers):
        measures = {name: values.copy() for name, values in table.measures.items()}
        for name in measures:
            measures[name][position] = target[name]
        fall = base - log_odds(diagnoser, replace(table, measures=measures), report.diagnosis)
        assert finding.weight == pytest.approx(fall, abs=1e-12)
        falls = {}
        for name in table.measures:
            changed = table.measures[name].copy()
            changed[position] = target[name]
            one = replace(table, measures=table.measures | {name: changed})
            falls[name] = base - log_odds(diagnoser, one, report.diagnosis)
        check_evidence(
            report, finding.evidence, falls, lambda n, p=position: table.measures[n][p], diagnoser
        )

    falls = {}
    for name in table.measures:
        one = replace(
            table,
            measures=table.measures | {name: np.full(len(table.layers), target[name])},
            network=table.network | {name: target[name]},
        )
        falls[name] = base - log_odds(diagnoser, one, report.diagnosis)
    for name in NETWORK_MEASURES:
        one = replace(table, network=table.network | {name: target[name]})
        falls[name] = base - log_odds(diagnoser, one, report.diagnosis)
    for name in table.context:
        one = replace(table, context=table.context | {name: target[name]})
        falls[name] = base - log_odds(diagnoser, one, report.diagnosis)
    check_evidence(
        report, report.evidence, falls, lambda n: {**table.network, **table.context}[n], diagnoser
    )


def check_evidence(report, evidence, falls, value_of, diagnoser):
    """The pieces are the three largest falls of a tenth or more, on the diagnosis's side."""
    well_fit = diagnoser.reference_.well_fit

    def tells(name):
        low, _, high = well_fit[name]
        within = low <= value_of(name) <= high
        return np.isnan(low) or within == (report.diagnosis == "well-fit")

    told = {n: f for n, f in falls.items() if f >= 0.1 and np.isfinite(value_of(n)) and tells(n)}
    largest = sorted(told.values(), reverse=True)[:3]
    np.testing.assert_allclose([piece.weight for piece in evidence], largest)
    for piece in evidence:
        assert piece.weight == pytest.approx(falls[piece.measure])
        assert piece.value == value_of(piece.measure)
        assert piece.words == in_words(piece.measure)
        assert not piece.low > piece.high


@pytest.mark.parametrize("index", range(9))
def test_report_fields(index, diagnoser, nine_cases):
    case = nine_cases[0][index]
    report = diagnoser.explain(case)
    assert report.name == case.name
    assert report.diagnosis == diagnoser.predict([case])[0]
    assert list(report.probabilities) == list(DIAGNOSES)
    np.testing.assert_allclose(
        list(report.probabilities.values()), diagnoser.predict_proba([case])[0]
    )
    assert report.confidence == max(report.probabilities.values())
    children = dict(case.net.module_.named_children())
    assert [layer.name for layer in report.layers] == [n for n in children if "act" not in n]
    for layer in report.layers:
        module = children[layer.name]
        assert layer.kind == type(module).__name__
        assert layer.n_params == sum(p.numel() for p in module.parameters())
    assert report.examination.digest == case.digest()
    context = report.examination.context
    # What is worse than a constant is to be trained before it is widened.
    larger = "train" if context["loss"] >= context["null_loss"] else "widen"
    actions = {"underparameterized": larger, "overfitting": "constrain", "well-fit": "keep"}
    advice = report.recommendation
    assert advice.action == actions[report.diagnosis]
    if advice.action == "widen":
        assert "head" not in advice.layers
        assert set(advice.layers) == {layer.name for layer in report.layers[:-1]}
    elif advice.action == "constrain":
        weights = {layer.name: layer.weight for layer in report.layers}
        assert max(weights, key=weights.get) == advice.layers[0]
    else:
        assert advice.layers == ()
    assert report.diagnosis in str(report)
    assert report.diagnosis in report._repr_html_()
    with pytest.raises(FrozenInstanceError):
        report.diagnosis = "well-fit"


def test_explain_takes_an_examination(diagnoser, nine_cases):
    case = nine_cases[0][0]
    examination = hd.LayerSpectra().transform([case])[0]
    left, right = diagnoser.explain(case), diagnoser.explain(examination)
    assert left.layers == right.layers
    assert left.recommendation == right.recommendation


@pytest.mark.slow
def test_a_network_unlike_the_reference_is_called_out(diagnoser, nine_cases):
    report = diagnoser.explain(nine_cases[0][0])
    assert report.notes == ()
    assert report.domain_score < 1e-6
    strange = make_case(n_samples=200, n_features=30, width=40, depth=5)
    report = diagnoser.explain(strange)
    assert report.domain_score == pytest.approx(diagnoser.domain_score([strange])[0])
    assert report.domain_score > 1
    outside, missing = report.notes
    assert "outside" in outside
    assert "measures are unusual, most of all: " in outside
    # It fits its samples to the last digit.
    assert "second derivatives in the outputs are rounding" in missing


def test_no_gains_no_estimates(diagnoser, nine_cases):
    report = diagnoser.explain(nine_cases[0][0])
    assert report.gain_widening is None
    assert report.gain_constraining is None
    assert report.constraints == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("best", "change"),
    [
        ("narrowing", {"width_factor": 0.25}),
        ("decay", {"weight_decay": "increase"}),
        ("stopping", {"stop_earlier": True}),
    ],
)
def test_gains_choose_the_advice(best, change, nine_cases):
    cases, y = nine_cases
    gains = {
        "gain_widening": np.where(y == "underparameterized", 0.4, -0.1),
        "gain_constraining": np.where(y == "overfitting", 0.5, -0.1),
    }
    gains |= {f"gain_{way}": np.full(9, 0.1) for way in ("narrowing", "decay", "stopping")}
    gains[f"gain_{best}"] = np.full(9, 0.5)
    floor = 0.0
    diagnoser = hd.FitDiagnoser(min_confidence=floor).fit(cases, y, gains=gains)
    reports = [diagnoser.explain(case) for case in cases]
    assert {report.diagnosis for report in reports} >= {"overfitting", "underparameterized"}
    for report in reports:
        widening, constraining = report.gain_widening, report.gain_constraining
        assert label_gains(widening.value, constraining.value) == report.diagnosis
        assert widening.low <= widening.value <= widening.high
        assert constraining.coverage == 0.9
        assert max(report.constraints, key=report.constraints.get) == best
        advice = report.recommendation
        if report.diagnosis == "overfitting":
            assert advice.change == change
            assert "50 % of the loss of a constant guess" in advice.text
        elif report.diagnosis == "underparameterized":
            context = report.examination.context
            worse = context["loss"] >= context["null_loss"]
            assert advice.change == ({"train_longer": 4} if worse else {"width_factor": 4})
        else:
            assert advice.change == {}


@pytest.mark.parametrize("longer", [None, -0.2, 0.6])
def test_cause_tells_too_small_from_not_trained_to_the_end(longer, nine_cases):
    cases, y = nine_cases
    gains = {
        "gain_widening": np.where(y == "underparameterized", 0.4, -0.1),
        "gain_constraining": np.where(y == "overfitting", 0.5, -0.1),
    }
    if longer is not None:
        gains["gain_longer"] = longer + 0.001 * np.arange(9)
    diagnoser = hd.FitDiagnoser().fit(cases, y, gains=gains, groups=np.arange(9) // 2)
    assert len(diagnoser.gain_names_) == (2 if longer is None else 3)
    found, intervals = diagnoser.predict_gains(cases, return_interval=True)
    for index, case in enumerate(cases):
        report = diagnoser.explain(case)
        action, text = report.recommendation.action, " ".join(render_text([report]).split())
        context = report.examination.context
        worse = context["loss"] >= context["null_loss"]
        if longer is None:
            assert report.gain_longer is None
            assert report.cause == ("not trained to the end" if action == "train" else "")
            assert "training longer" not in text
            continue
        gain = report.gain_longer
        assert gain.value == pytest.approx(found[index, 2])
        assert [gain.low, gain.high] == pytest.approx(intervals[index, 2].tolist())
        assert f"training longer {gain.value:.2f} (" in text
        assert "widening, constraining or training longer should" in text
        if longer > 0:
            assert action == "train"
            assert report.cause == "not trained to the end"
        elif report.diagnosis == "underparameterized" and not worse:
            assert action == "widen"
            assert report.cause == "too small"
        elif report.diagnosis != "underparameterized":
            assert report.cause == ""
        html = report._repr_html_()
        assert "Training longer" in html


def test_undecided_reports_say_so(nine_cases):
    diagnoser = hd.FitDiagnoser(min_confidence=1.0).fit(*nine_cases)
    report = diagnoser.explain(nine_cases[0][0])
    assert report.undecided
    assert report.answer == "undecided"
    assert report.diagnosis in DIAGNOSES
    assert "100%" in report.notes[0]
    assert "undecided (most probable: " in str(report)


def test_reference_ranges(diagnoser, nine_cases, medians):
    for well_fit in (True, False):
        ranges = diagnoser.reference_.well_fit if well_fit else diagnoser.reference_.others
        assert set(ranges) == {*LAYER_MEASURES, *NETWORK_MEASURES, *CONTEXT_MEASURES}
        for name, (low, median, high) in ranges.items():
            np.testing.assert_allclose(median, medians[well_fit][name])
            assert not low > median
            assert not median > high


@pytest.mark.slow
@pytest.mark.parametrize("left_out", ["well-fit", "overfitting"])
def test_reference_without_one_of_the_diagnoses(left_out, nine_cases):
    cases, y = nine_cases
    kept = [index for index, name in enumerate(y) if name != left_out]
    some, names = [cases[index] for index in kept], [y[index] for index in kept]
    diagnoser = hd.FitDiagnoser(TableClassifier(15, random_state=0)).fit(some, names)
    reports = [diagnoser.explain(case) for case in cases]
    assert {report.diagnosis for report in reports} == set(names)
    for report in reports:
        weights = [piece.weight for piece in report.evidence]
        weights += [layer.weight for layer in report.layers]
        assert np.isfinite(weights).all()
        assert any(weights)
        known = [np.isfinite([piece.low, piece.high]).all() for piece in report.evidence]
        assert all(known) == (left_out != "well-fit")
        assert report.diagnosis in render_text([report])
