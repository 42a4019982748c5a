import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

from hessdiag.diagnosis import Evidence
from hessdiag.reporting import render_html, write_html

VOID = {"meta", "br", "img", "hr", "input", "link", "circle", "path", "rect", "use"}
HOSTILE = "<script>alert('x')</script>\"&'>"


class Page(HTMLParser):
    """Elements of a page; complains about tags that do not balance."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def html(reports):
    return render_html(reports, title="Three networks")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_is_a_document_with_landmarks(page):
    assert page.all("html")[0]["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("title", "h1", "header", "main", "nav", "footer")] == [
        *(1, 1, 1, 1, 1, 1)
    ]
    assert len(page.all("article")) == 3
    assert "Three networks 3 networks: 1 underparameterized, 1 well-fit, 1 overfitting" in (
        page.words
    )


def test_needs_nothing_but_itself(html, page):
    assert "http:" not in html
    assert "https:" not in html
    assert not re.search(r"@import|src=|xlink|xmlns", html)
    assert not page.all("script")
    assert not page.all("link")
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))


def test_every_reference_has_its_one_target(html, page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = re.findall(r"url\(#([^)]*)\)", html) + re.findall(r'href="#([^"]*)"', html)
    targets += [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(targets) <= set(ids)
    links = [a["href"] for a in page.all("a")]
    assert links == [f"#{article['id']}" for article in page.all("article")]


def test_says_all_that_the_reports_say(page, reports):
    for report in reports:
        assert report.recommendation.text in page.words
        for layer in report.layers:
            assert f"{layer.name} Linear, {layer.n_params:,} parameters" in page.words
            for item in layer.evidence:
                row = f"{item.words} {item.value:.3g} {item.low:.3g} to {item.high:.3g}"
                assert row in page.words
        for note in report.notes:
            assert note in page.words
    assert "Loss CrossEntropyLoss" in page.words
    assert "Error on the given data 1.31 % of samples" in page.words
    assert "Max samples default" in page.words


def test_finding_comes_before_evidence_and_spectra(html):
    article = html[html.index("<article") :]
    order = ["What to try next", "Evidence, layer by layer", "as a whole", "Spectra of", "What was"]
    places = [article.index(words) for words in order]
    assert places == sorted(places)


def test_tables_and_graphics_are_accessible(page):
    assert all("scope" in attributes for attributes in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    for graphic in page.all("svg"):
        described = graphic.get("role") == "img" and graphic["aria-label"].startswith("Spectrum of")
        assert described or graphic.get("aria-hidden") == "true"
    assert sum("aria-label" in graphic for graphic in page.all("svg")) == 2 + 3 + 5


def test_hostile_text_stays_text(report_factory):
    report = report_factory(n_layers=2)
    evidence = (Evidence(HOSTILE, HOSTILE, 1.0, 0.0, 2.0, 0.1),)
    finding = replace(report.layers[0], name=HOSTILE, kind=HOSTILE, evidence=evidence)
    layer = replace(report.examination.layers[0], name=HOSTILE, kind=HOSTILE)
    context = {"criterion": HOSTILE, HOSTILE: HOSTILE}
    report = replace(
        report,
        name=HOSTILE,
        layers=(finding, report.layers[1]),
        evidence=evidence,
        recommendation=replace(report.recommendation, text=HOSTILE, layers=(HOSTILE,)),
        notes=(HOSTILE,),
        examination=replace(
            report.examination,
            layers=(layer, report.examination.layers[1]),
            context=context,
            settings={HOSTILE: HOSTILE},
        ),
    )
    html = render_html([report, report], title=HOSTILE)
    assert "<script" not in html
    page = Page(html)
    assert page.words.count("alert('x')") >= 20
    assert {tag for tag, _ in page.elements} <= {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "div",
            "header",
            "main",
            "nav",
            "footer",
        ),
        *("p", "h1", "h2", "h3", "a", "span", "b", "strong", "br", "ul", "li", "dl", "dt", "dd"),
        *("section", "article", "table", "caption", "thead", "tbody", "tr", "th", "td"),
        *("details", "summary", "figure", "figcaption"),
        *("svg", "g", "defs", "path", "use", "rect", "circle", "pattern", "text"),
        *("clippath",),
    }


def test_fragment_goes_into_another_page(reports):
    html = render_html(reports[:1], fragment=True)
    assert html.startswith('<div class="hd">')
    page = Page(html)
    for tag in ("html", "head", "body", "main", "h1", "nav", "footer", "header"):
        assert not page.all(tag)
    rules = html[html.index("<style>") + 7 : html.index("</style>")]
    rules = re.sub(r"@media[^{]*\{", "", rules)
    for selectors in re.findall(r"([^{}]+)\{", rules):
        assert all(s.strip().startswith(".hd") for s in selectors.split(",")), selectors
    assert reports[0]._repr_html_() == html


def test_fragments_of_different_reports_share_no_ids(reports):
    pages = [Page(render_html([report], fragment=True)) for report in reports]
    ids = [{a["id"] for _, a in page.elements if "id" in a} for page in pages]
    assert not ids[0] & ids[1]
    assert not ids[1] & ids[2]


def test_equal_reports_give_equal_pages(reports, html):
    assert render_html(reports, title="Three networks") == html


def test_deep_networks_are_folded(report_factory):
    report = report_factory(n_layers=30)
    page = Page(render_html([report]))
    assert sum(a.get("role") == "img" for a in page.all("svg")) == 12
    assert "12 of 30 layers are drawn" in page.words
    assert "18 more layers, of smaller weight" in page.words
    for layer in report.layers:
        assert f"{layer.name} Linear, {layer.n_params:,} parameters" in page.words


def test_report_without_spectra_has_no_figure(report_factory):
    report = report_factory(n_layers=2)
    table = SimpleNamespace(name="net", layers=("a", "b"), context={"n_layers": 2.0})
    page = Page(render_html([replace(report, examination=table)]))
    assert "Spectra of the layers" not in page.words
    assert not page.all("figure")


def test_what_is_not_known_is_said(report_factory):
    nan = float("nan")
    report = report_factory(n_layers=2)
    evidence = (Evidence("m", "words", nan, nan, nan, nan),)
    layers = (replace(report.layers[0], weight=nan, n_params=0, evidence=()), report.layers[1])
    page = Page(render_html([replace(report, layers=layers, evidence=evidence, name=None)]))
    assert "words not known not known not comparable not known" in page.words
    assert "None of this layer's measures speaks for the diagnosis" in page.words
    assert "network 1" in page.words


def test_a_value_equal_to_both_quartiles_has_a_place(report_factory):
    report = report_factory(n_layers=2)
    evidence = (Evidence("m", "words", 0.0, 0.0, 0.0, 0.1),)
    html = render_html([replace(report, evidence=evidence)])
    assert "left:50.0%" in html


def test_user_settings_of_matplotlib_are_left_alone(reports):
    with matplotlib.rc_context({"svg.fonttype": "path", "lines.linewidth": 7.0, "font.size": 3.0}):
        html = render_html(reports[:1], title="t")
        assert matplotlib.rcParams["lines.linewidth"] == 7.0
        assert matplotlib.rcParams["svg.fonttype"] == "path"
    assert html == render_html(reports[:1], title="t")


@pytest.mark.slow
def test_writes_the_page(reports, tmp_path):
    path = write_html(reports, tmp_path / "new" / "report.html", title="caf\xe9")
    assert path == tmp_path / "new" / "report.html"
    assert path.read_text(encoding="utf-8") == render_html(reports, title="caf\xe9")
    assert path.stat().st_size < 1_000_000


def test_without_jinja2_the_pip_line_is_named(reports, monkeypatch):
    from hessdiag.reporting._html import _environment

    _environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r'pip install "hessdiag\[reports\]"'):
        render_html(reports[:1])
    _environment.cache_clear()


def test_strips_put_values_where_they_lie():
    from hessdiag.reporting._view import _strip

    for value, low, high in [(5.0, 0.0, 1.0), (-3.0, 0.0, 1.0), (0.5, 0.0, 1.0)]:
        strip = {k: float(v) for k, v in _strip(Evidence("m", "w", value, low, high, 0)).items()}
        scale = strip["width"] / (high - low)
        np.testing.assert_allclose(strip["value"] - strip["left"], scale * (value - low), atol=0.2)
        assert 0 < strip["value"] < 100
        assert 0 < strip["left"] < strip["left"] + strip["width"] < 100


def test_gains_on_the_page(reports, report_with_gains):
    html = render_html(reports)
    assert html.count('<table class="hd-gains">') == 1
    table = html.split('<table class="hd-gains">')[1].split("</table>")[0]
    for words in ("Widening", "-0.12", "-0.40 to 0.02", "0.31", "0.00 to 2.50"):
        assert words in table
    shares = [float(share) for share in re.findall(r"(?:left|width):(-?[\d.]+)%", table)]
    assert len(shares) == 8
    assert all(0 <= share <= 100 for share in shares)
    # Zero lies right of a loss and left of a gain.
    zero, _, _, loss, _, _, _, gain = shares
    assert loss < zero < gain
    assert "90 % of measured gains" in html


def test_undecided_on_the_page(reports, report_with_gains):
    html = render_html([report_with_gains(reports[1], undecided=True)])
    assert "<span>undecided</span>" in html
    assert "most probable: well-fit, <strong>42 %</strong>" in html
