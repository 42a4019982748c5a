"""What was not measured counts: in probabilities, distances, answers, reports and advice."""

from dataclasses import replace

import numpy as np
import pytest

import hessdiag as hd
from hessdiag.cli import main
from hessdiag.diagnosis import TableClassifier, TableDiagnoser
from hessdiag.diagnosis._evidence import explain_table
from hessdiag.diagnosis._gaps import ReferenceGaps, differences_beside, mean_by_owner
from hessdiag.diagnosis._missing import is_worth_a_note
from hessdiag.features import FAMILY_OF, layer_table
from hessdiag.reporting import render_text
from hessdiag.testing import make_case

NAN = np.nan
REFERENCE = np.array([[1.0, 2.0, 3.0], [2.0, NAN, 5.0], [7.0, 8.0, 9.0], [8.0, NAN, 9.0]])


def without(table, *families):
    """A table without measures of some families."""

    def gapped(values):
        return {
            name: np.full_like(value, NAN) if FAMILY_OF[name] in families else value
            for name, value in values.items()
        }

    return replace(
        table,
        measures=gapped(table.measures),
        network=gapped(table.network),
        context=gapped(table.context),
    )


@pytest.fixture(scope="module")
def diagnoser(reference_diagnoser):
    return reference_diagnoser


@pytest.fixture(scope="module")
def examination():
    return hd.LayerSpectra().fit_transform([make_case()])[0]


@pytest.fixture(scope="module")
def table(examination):
    return layer_table(examination)


def test_gaps_that_the_reference_has_too_do_not_count():
    gaps = ReferenceGaps(REFERENCE, np.arange(4))
    assert not gaps.of(REFERENCE).any()
    found = gaps.of(np.array([[NAN, NAN, 1.0], [1.0, 1.0, NAN], [1.0, 1.0, 1.0]]))
    assert found.tolist() == [[True, False, False], [False, False, True], [False, False, False]]


def test_gaps_are_filled_by_the_nearest_network_of_each_group():
    gaps = ReferenceGaps(REFERENCE, np.array([0, 1, 0, 1]))
    X = np.array([[1.0, 1.0, 1.0], [NAN, 2.0, 3.0]])
    squared = np.array([[0.0, 3.0, 1.0, 2.0]])
    rows, owners = gaps.fill(X, gaps.of(X), squared)
    assert owners.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(rows, [[1, 1, 1], [1, 2, 3], [8, 2, 3]])
    means = mean_by_owner(np.array([[1.0], [2.0], [4.0]]), owners, 2)
    assert means.tolist() == [[1.0], [3.0]]


def test_differences_are_those_of_what_is_known():
    rng = np.random.default_rng(0)
    U, reference = rng.normal(size=(7, 5)), rng.normal(size=(9, 5))
    gaps = np.zeros((7, 5), dtype=bool)
    gaps[[0, 3, 5], 1:3] = gaps[2, 4] = gaps[4] = True
    found = differences_beside(gaps, np.where(gaps, np.nan, U), reference)
    for row, missing, squared in zip(U, gaps, found, strict=True):
        due = np.square((row - reference)[:, ~missing]).sum(axis=1) / max(1, (~missing).sum())
        np.testing.assert_allclose(squared, due, atol=1e-12)


@pytest.mark.slow
def test_what_is_filled_gives_the_mean_of_the_answers(diagnoser, table):
    model = diagnoser.table_diagnoser_
    columns = np.asarray(diagnoser.features_.transform([without(table, "loo"), table]), dtype=float)
    rows, owners = model.filled(columns)
    assert (np.bincount(owners) > 1).tolist() == [True, False]
    due = mean_by_owner(model.predict_proba(rows), owners, 2)
    np.testing.assert_allclose(model.predict_proba(columns), due, rtol=1e-12)


def test_the_reference_keeps_its_answers(reference_zoo):
    zoo = reference_zoo
    model = TableDiagnoser().fit(zoo.data[:300], zoo.target[:300], groups=zoo.groups[:300])
    assert np.isnan(zoo.data[:300]).any()
    assert not model.missing_share(zoo.data[:300]).any()
    rows, owners = model.filled(zoo.data[:300])
    np.testing.assert_array_equal(rows, zoo.data[:300])
    np.testing.assert_array_equal(owners, np.arange(300))


@pytest.mark.slow
def test_the_less_is_measured_the_less_is_known(diagnoser, table):
    families = ["loo", "noise", "alignment", "attainable", "between", "scale"]
    tables = [without(table, *families[:n]) for n in range(len(families) + 1)]
    columns = np.asarray(diagnoser.features_.transform(tables), dtype=float)
    shares = diagnoser.table_diagnoser_.missing_share(columns)
    scores = diagnoser.domain_score(tables)
    assert shares[0] == 0
    assert (np.diff(shares) > 0).all()
    assert (np.diff(scores) > 0).all()
    probabilities = diagnoser.predict_proba(tables)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    # Without most of what tells, hardly more than at random.
    assert probabilities[-1].max() < 0.75
    answers = diagnoser.predict(tables)
    assert answers[0] in diagnoser.classes_
    assert (answers[shares > 0.5] == "undecided").all()
    gains, intervals = diagnoser.predict_gains(tables, return_interval=True)
    assert np.isnan(gains[shares > 0.5]).all()
    known = shares <= 0.5
    assert (intervals[known, :, 0] <= gains[known]).all()
    assert (gains[known] <= intervals[known, :, 1]).all()
    assert (np.ptp(intervals[1], axis=-1) >= 0).all()


@pytest.mark.slow
def test_a_report_says_what_is_missing_and_advises_nothing(diagnoser, table, examination):
    gapped = without(table, "between", "loo", "context")
    report = explain_table(diagnoser, gapped, examination)
    assert report.answer == "undecided"
    assert report.missing_share > 0.5
    assert {FAMILY_OF[name] for name in report.missing} == {"between", "loo", "context"}
    assert report.recommendation.action == "measure"
    assert report.recommendation.change == {}
    assert report.gain_widening is None
    assert report.gain_constraining is None
    text = " ".join(render_text([report]).split())
    assert "1 undecided" in text
    assert "Not measured: " in text
    assert "predictions between samples" in text
    assert "nan" not in text
    assert "nan" not in report._repr_html_().lower().replace("nance", "")
    shown = [e.measure for e in report.evidence] + [
        e.measure for layer in report.layers for e in layer.evidence
    ]
    assert not set(shown) & set(report.missing)


@pytest.mark.slow
def test_little_that_is_missing_is_said_beside_a_diagnosis(diagnoser, table, examination):
    report = explain_table(diagnoser, without(table, "noise"), examination)
    assert report.answer in diagnoser.classes_
    (note,) = [note for note in report.notes if note.startswith("Not measured: ")]
    assert "effective dimension" in note
    assert "directions" not in report.recommendation.text


def test_widening_is_advised_without_a_share_that_was_not_measured(table):
    from hessdiag.diagnosis._recommendation import recommend
    from hessdiag.diagnosis._report import LayerFinding

    findings = [LayerFinding(name, "Linear", 3, 0.1, ()) for name in ("a", "b", "c")]
    for share, said in ((0.8, "almost no"), (0.7, "some"), (0.3, "spare capacity, though less")):
        three = {name: np.array([0.1, share, 0.2]) for name in table.measures}
        known = recommend("underparameterized", replace(table, measures=three), findings)
        assert f"b has {said}" in known.text
    unknown = {name: np.full(3, NAN) for name in table.measures}
    advice = recommend("underparameterized", replace(table, measures=unknown), findings)
    assert advice.layers == ("a", "b")
    assert "capacity" not in advice.text


def test_other_classifiers_answer_for_what_may_be_there(table, nine_cases):
    cases, y = nine_cases
    diagnoser = hd.FitDiagnoser(TableClassifier(20, random_state=0)).fit(cases, y)
    gapped = without(table, "loo")
    columns = np.asarray(diagnoser.features_.transform([gapped]), dtype=float)
    filled, _ = diagnoser.table_diagnoser_.filled(columns)
    # A network is a group of its own here, so that all nine stand in.
    assert len(filled) == 9
    expected = diagnoser.estimator_.predict_proba(filled).mean(axis=0)
    np.testing.assert_allclose(diagnoser.predict_proba([gapped])[0], expected)
    assert diagnoser.predict([gapped])[0] == diagnoser.classes_[expected.argmax()]


def test_a_few_statistics_that_are_not_defined_are_no_news():
    assert not is_worth_a_note((), 0.0)
    assert not is_worth_a_note(("leverage_max",), 0.01)
    assert is_worth_a_note(("leverage_max",), 0.06)
    assert is_worth_a_note(("error",), 0.001)
    alignment = tuple(name for name, family in FAMILY_OF.items() if family == "alignment")
    assert is_worth_a_note(alignment, 0.01)


@pytest.mark.slow
def test_the_command_says_what_is_missing(diagnoser, tmp_path, capsys, monkeypatch):
    import json

    monkeypatch.setattr("hessdiag.zoo.load_reference_diagnoser", lambda: diagnoser)
    case = make_case(n_samples=6, name="few")
    hd.save_case(case, tmp_path / "few")
    found = tmp_path / "found.json"
    assert main(["diagnose", str(tmp_path / "few"), "--json", str(found)]) == 0
    (content,) = json.loads(found.read_text())
    assert content["diagnosis"] == "undecided"
    assert content["action"] == "measure"
    assert content["missing_share"] > 0.5
    assert "midpoint_loss" in content["missing"]
    assert "only 6 samples" in " ".join(capsys.readouterr().out.split())
