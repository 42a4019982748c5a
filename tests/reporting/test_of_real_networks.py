"""From trained networks to every kind of report, with nothing made up."""

import io

import pytest

from hessdiag import FitDiagnoser
from hessdiag.reporting import print_reports, render_html, render_text, write_figures


@pytest.mark.slow
def test_reports_of_trained_networks(nine_cases, tmp_path):
    cases, y = nine_cases
    diagnoser = FitDiagnoser().fit(cases, y)
    reports = [diagnoser.explain(case) for case in cases[:3]]
    text = render_text(reports)
    html = render_html(reports)
    for report in reports:
        for shown in (text, html):
            assert report.diagnosis in shown
        for layer in report.examination.layers:
            assert f"Spectrum of layer {layer.name}: {layer.n_params:,} parameter" in html
    assert max(map(len, text.splitlines())) <= 100
    assert len(write_figures(reports, tmp_path)) == 3
    stream = io.StringIO()
    print_reports(reports, file=stream)
    assert stream.getvalue() == text
