import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdiag.diagnosis import Evidence
from hessdiag.reporting import print_reports, render_text
from hessdiag.reporting._words import log_odds, number, percent, position


def test_table_has_a_line_per_network(reports):
    lines = render_text(reports).splitlines()
    assert lines[0] == "3 networks: 1 underparameterized, 1 well-fit, 1 overfitting"
    assert lines[2].split() == [
        *("Network", "Diagnosis", "underparameterized", "well-fit", "overfitting")
    ]
    assert lines[4].split() == ["too", "small", "underparameterized", "91", "%", "7", "%", "2", "%"]
    assert lines[6].endswith("<1 %      11 %         88 %")


def test_fits_the_width(reports):
    assert max(map(len, render_text(reports).splitlines())) <= 100


def test_says_what_to_try_and_why(reports):
    text = " ".join(render_text(reports).split())
    for report in reports:
        assert report.recommendation.text in text
        for item in report.evidence:
            assert f"{item.words}: {item.value:.3g}, {position(item)} the well-fit" in text
    assert reports[2].notes[0] in text
    assert "A close call: underparameterized has 37 %." in text


def test_driving_layers_are_the_three_strongest_that_speak_for_it(report_factory):
    report = report_factory(n_layers=5)
    weights = [1.0, -4.0, 3.0, 2.0, 0.05]
    layers = tuple(replace(la, weight=w) for la, w in zip(report.layers, weights))
    text = render_text([replace(report, layers=layers)])
    places = [text.index(f"{name} (Linear") for name in ("hidden_2", "hidden_3", "hidden_0")]
    assert places == sorted(places)
    assert "hidden_2 (Linear, " in text
    assert "weight +3.0" in text
    assert "hidden_1 (Linear" not in text
    assert "head (Linear" not in text
    against = replace(report, layers=tuple(replace(la, weight=0.09) for la in report.layers))
    assert "none stands out" in render_text([against])


def test_says_gains_and_what_they_are(reports):
    text = " ".join(render_text(reports).split())
    said = "widening -0.12 (-0.40 to 0.02), constraining 0.31 (0.00 to 2.50)"
    assert text.count("Expected gains ") == 1
    assert f"Expected gains {said} of the loss of a constant guess" in text
    assert "90 % of measured gains lie in such ranges" in text
    assert "Expected gain" not in render_text(reports[:1])


def test_undecided(report_factory, report_with_gains):
    report = report_with_gains(report_factory("net", "well-fit"), undecided=True)
    text = render_text([report])
    assert text.startswith("1 network: 1 undecided")
    assert "net: undecided (most probable: well-fit, 42 %)" in text


def test_names_cannot_break_the_table(report_factory):
    names = ["a\nb\x1b[31m\tc", "x" * 300, None, "", "日本語 " * 40]
    text = render_text([replace(report_factory(), name=name) for name in names])
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert "a b [31m c" in text
    assert "network 3" in text
    assert "network 4" in text


@settings(max_examples=25, deadline=None)
@given(st.text(), st.text(), st.floats(), st.floats(), st.floats(-1, 1))
def test_fits_whatever_is_said(report_factory, name, words, value, low, weight):
    evidence = (Evidence("m", words, value, low, 1.0, weight),)
    report = replace(report_factory(n_layers=2), name=name, evidence=evidence, notes=(words,))
    text = render_text([report])
    assert max(map(len, text.splitlines())) <= 100
    assert all(line.isprintable() for line in text.split("\n"))


def test_str_of_a_report_is_its_text(reports):
    assert str(reports[0]) == render_text(reports[:1])


def test_prints_plain_text_to_what_is_no_terminal(reports):
    stream = io.StringIO()
    print_reports(reports, file=stream)
    assert stream.getvalue() == render_text(reports)


def test_prints_to_a_stream_that_knows_ascii_only(report_factory):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_reports([report_factory(name="caf\N{LATIN SMALL LETTER E WITH ACUTE}")], file=stream)
    stream.flush()
    assert b"caf?" in raw.getvalue()


def test_prints_in_colour_to_a_terminal(reports, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    print_reports(reports, file=stream)
    assert "\x1b[" in stream.getvalue()
    assert "underparameterized" in stream.getvalue()
    assert "Widen the hidden layers" in stream.getvalue()


def test_prints_plain_text_without_rich(reports, monkeypatch):
    monkeypatch.setattr("hessdiag.reporting._text.find_spec", lambda name: None)
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    print_reports(reports, file=stream)
    assert stream.getvalue() == render_text(reports)


def test_bad_input_is_told(reports):
    with pytest.raises(TypeError, match=r"found a single one. Put it in a list: \[report\]"):
        render_text(reports[0])
    with pytest.raises(ValueError, match="at least one DiagnosisReport"):
        render_text([])
    with pytest.raises(TypeError, match="found str at index 1"):
        render_text([reports[0], "report"])
    with pytest.raises(TypeError, match="found int"):
        render_text(3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (1234567.0, "1,234,567"),
        (0.04116, "0.0412"),
        (2.5e-7, "2.50e-07"),
        (3456.7, "3,457"),
        (float("nan"), "not known"),
        (float("-inf"), "not known"),
    ],
)
def test_numbers(value, words):
    assert number(value) == words


def test_shares_and_weights():
    assert [percent(p) for p in (0.0, 0.001, 0.5, 0.999, 1.0)] == [
        *("0 %", "<1 %", "50 %", ">99 %", "100 %")
    ]
    assert [log_odds(w) for w in (3.12, -0.21, 0.0, float("nan"))] == [
        *("+3.1", "-0.2", "0.0", "not known")
    ]
