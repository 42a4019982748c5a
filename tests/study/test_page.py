"""The study's page: a valid document whose every number follows from the tables."""

import re
import shutil
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest

from hessdiag.study.page._findings import find
from hessdiag.study.page._sentences import agreement_interval
from hessdiag.study.page._write import _duration, write_page
from hessdiag.study.wording import (
    PLACE_WORDS,
    measure_unit,
    measure_words,
    number,
    p_words,
    signed,
    wrapped,
)

HOSTILE = "<script>alert('x')</script>\"&'>"


@pytest.fixture(scope="module")
def page(page_parser, study_html):
    return page_parser(study_html)


@pytest.fixture(scope="module")
def findings(study_tables):
    return {name: " ".join(sentences) for name, sentences in find(study_tables).items()}


def share(held):
    """A share of data sets as the page writes it, by another road than the page's."""
    low, high = binomtest(sum(held), len(held)).proportion_ci(0.95, method="exact")
    return (
        (
            f"{sum(held)} of {len(held)} data sets ({sum(held) / len(held):.0%}, 95 % interval "
            f"{100 * low:.0f} to {high:.0%})"
        )
        .replace("%,", " %,")
        .replace("%)", " %)")
    )


def quartiles(values, unit=""):
    found = np.percentile(values, [25, 50, 75])
    low, middle, high = (f"{x:.2g}" if x < 99.5 else f"{x:,.0f}" for x in found)
    return f"{middle}{unit} (quartiles {low} and {high})"


def rho(row):
    words = f"ρ = {row['rho']:+.2f} (95 % interval {row['low']:+.2f} to {row['high']:+.2f})"
    return words.replace("-", "−")


def strongest(table, **wanted):
    """The row of largest correlation among those that have the wanted values."""
    rows = [
        row
        for row in table.to_dict("records")
        if all(row[name] == value for name, value in wanted.items()) and np.isfinite(row["rho"])
    ]
    measures = [row for row in rows if row["family"] != "rival"]
    rivals = [row for row in rows if row["family"] == "rival"]
    return [max(part, key=lambda row: abs(row["rho"]), default=None) for part in (measures, rivals)]


def test_is_a_document_with_landmarks(page):
    assert page.all("html")[0]["lang"] == "en"
    tags = ("title", "h1", "header", "main", "nav", "footer")
    assert [len(page.all(tag)) for tag in tags] == [1] * 6
    assert page.all("a")[0] == {"class": "hd-skip", "href": "#findings"}


def test_headings_are_in_order(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    body = [level for level in levels if level > 1]
    assert all(after - before <= 1 for before, after in pairwise(body))


def test_needs_nothing_but_itself(study_html, page):
    assert "http:" not in study_html
    assert "https:" not in study_html
    assert not re.search(r"@import|src=|xlink|xmlns", study_html)
    assert not page.all("script")
    assert not page.all("link")
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", study_html))


def test_every_reference_has_its_one_target(study_html, page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = re.findall(r"url\(#([^)]*)\)", study_html) + re.findall(
        r'href="#([^"]*)"', study_html
    )
    targets += [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(targets) <= set(ids)


def test_tables_and_graphics_are_accessible(page, study_figures):
    assert all("scope" in attributes for attributes in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) >= 10
    described = [svg["aria-label"] for svg in page.all("svg") if svg.get("role") == "img"]
    assert described == [figure.alt for figure in study_figures]
    assert all(
        svg.get("role") == "img" or svg.get("aria-hidden") == "true" for svg in page.all("svg")
    )


def test_findings_come_first_each_with_its_figure(study_html, page, study_figures, study_tables):
    order = ["findings", *(figure.name for figure in study_figures)]
    order += ["claims", "all-regularities", "strongest-correlations", "method", "tables", "repeat"]
    places = [study_html.index(f'<section id="{name}"') for name in order]
    assert places == sorted(places)
    for sentences in find(study_tables).values():
        assert all(" ".join(sentence.split()) in page.words for sentence in sentences)
    for figure in study_figures:
        assert figure.caption in page.words


def test_regimes_in_numbers(study_tables, findings):
    frame = study_tables.experiments
    losses = {
        (row["dataset"], row["regime"]): (row["train_loss"], row["held_out_loss"])
        for row in frame.to_dict("records")
    }
    names = list(dict.fromkeys(frame["dataset"]))
    held_out = [[losses[name, r][1] for r in ("starved", "sound", "lavish")] for name in names]
    assert share([bool(np.argmin(row) == 1) for row in held_out]) in findings["regimes"]
    for regime in ("starved", "sound", "lavish"):
        train, held_out = (
            quartiles([losses[name, regime][which] for name in names]) for which in (0, 1)
        )
        words = f"training loss of {train} and a held-out loss of {held_out}, in null losses"
        assert f"{regime.capitalize()} networks end with a {words}" in findings["regimes"]
    sure = [row["regime_sure"] for row in frame.to_dict("records")]
    assert f"{sum(sure)} of the {len(sure)} experiments" in findings["regimes"]
    right = {
        ("starved", "underparameterized"),
        ("sound", "well-fit"),
        ("lavish", "overfitting"),
    } & set(zip(frame["regime"], frame["diagnosis_unseen"]))
    hits = sum(pair in right for pair in zip(frame["regime"], frame["diagnosis_unseen"]))
    assert f"names the regime of {hits / len(frame):.0%}".replace("%", " %") in findings["regimes"]


def test_networks_that_weight_decay_has_made_constant_are_told(study_tables):
    assert "a layer has shrunk" not in " ".join(find(study_tables)["regimes"])
    frame = study_tables.evolution
    rows = (frame["place"] == "middle") & (frame["regime"] == "sound")
    rows &= frame["dataset"].isin(["iris", "wine"])
    frame = frame.assign(weight_norm=frame["weight_norm"].where(~rows, 1e-9))
    words = " ".join(find(replace(study_tables, evolution=frame))["regimes"])
    assert "In 2 experiments a layer has shrunk" in words
    assert "to every input: iris-sound and wine-sound." in words


def test_agreement_is_resampled_by_data_set():
    agrees = [True, True, True, False, False, False]
    share, low, high = agreement_interval(agrees, list("aaabbb"))
    assert (share, low, high) == (0.5, 0.0, 1.0)
    assert agreement_interval([True, False] * 3, list("aabbcc")) == (0.5, 0.5, 0.5)


def test_evolution_in_numbers(study_tables, findings):
    values = {
        (row["dataset"], row["regime"], row["place"], row["step"]): row
        for row in study_tables.evolution.to_dict("records")
    }
    names = list(dict.fromkeys(study_tables.experiments["dataset"]))
    ends = {}
    for regime in ("starved", "sound", "lavish"):
        curve = [
            [values[name, regime, "network", step]["max_eigenvalue"] for step in (0, 1024)]
            for name in names
        ]
        ends[regime] = [end for _, end in curve]
        assert f"{quartiles([b / a for a, b in curve])} in {regime} runs" in findings["evolution"]
        kept = []
        for name in names:
            line = [
                row["effective_dimension"]
                for key, row in values.items()
                if key[:3] == (name, regime, "last")
            ]
            kept.append(100 * line[-1] / max(line))
        assert f"{quartiles(kept, ' %')} in {regime} runs" in findings["evolution"]
    sharper = [lavish > sound for lavish, sound in zip(ends["lavish"], ends["sound"])]
    assert f"in the sound run in {share(sharper)}" in findings["evolution"]
    drawn = ["effective_dimension", "max_eigenvalue", "trace", "participation_ratio"]
    drawn += ["gn_gap", "attainable_gap"]
    best = {}
    for measure in drawn:
        for place in ("first", "middle", "last", "network"):
            pairs = [
                [values[name, regime, place, 1024][measure] for regime in ("lavish", "sound")]
                for name in names
            ]
            best[measure, place, "higher"] = [a > b for a, b in pairs]
            best[measure, place, "lower"] = [a < b for a, b in pairs]
    measure, place, word = max(best, key=lambda key: sum(best[key]))
    held = best[measure, place, word]
    assert (
        f"“{measure_words(measure)}” of the {PLACE_WORDS[place]}: it ends {word} in the lavish run "
        f"in {share(held)}, the best of 24 comparisons" in findings["evolution"]
    )
    lower = [
        values[name, "lavish", "network", 1024]["train_loss"]
        < values[name, "sound", "network", 1024]["train_loss"]
        for name in names
    ]
    assert f"the plainest rival, ends lower there in {share(lower)}" in findings["evolution"]


def test_regularities_in_numbers(study_tables, findings, page):
    rows = [r for r in study_tables.regularities.to_dict("records") if r["n_data_sets"]]
    count = {v: sum(r["verdict"] == v for r in rows) for v in ("holds", "fails", "open")}
    assert (
        f"Of {len(rows)} statements made before looking, {count['holds']} hold on most data sets, "
        f"{count['fails']} fail and {count['open']} stay open" in findings["regularities"]
    )
    clear = [row["verdict"] for row in rows if row["p_adjusted"] < 0.05]
    assert (
        f"{clear.count('holds')} of those that hold and {clear.count('fails')} of those that fail "
        "differ from chance" in findings["regularities"]
    )
    for row in rows:
        words = f"{row['n_held']} of {row['n_data_sets']} {row['share']:.0%}".replace("%", " %")
        assert f"{row['reference']}" in page.words
        assert words in page.words
        if row["exceptions"]:
            assert f"Not in {row['exceptions'].replace(';', ',')}" in page.words
    assert "0 of 0 not tested" in page.words


def test_most_and_least_regular_statements_are_told(study_factory):
    tables = study_factory.tables(0, tuple(f"set {place}" for place in range(12)))
    rows = [r for r in tables.regularities.to_dict("records") if r["n_data_sets"]]
    words = " ".join(find(tables)["regularities"])
    best = max(row["share"] for row in rows if row["verdict"] == "holds")
    worst = min(row["share"] for row in rows if row["verdict"] == "fails")
    for row in rows:
        quoted = f"“{row['statement'].rstrip('.')}”" in words
        assert not quoted or row["share"] in (best, worst)
    assert words.count("“") == 2


def test_correlations_in_numbers(study_tables, findings, page):
    table = study_tables.correlations
    wanted = {"time": 1.0, "target": "held_out_loss"}
    for given in ("nothing", "train_loss"):
        best, rival = strongest(table, given=given, **wanted)
        assert rho(best) in findings["correlations"]
        assert given == "train_loss" or rho(rival) in findings["correlations"]
        rows = table[
            (table["given"] == given)
            & (table["time"] == 1.0)
            & (table["target"] == "held_out_loss")
            & (table["family"] != "rival")
        ]
        words = f"{sum(p < 0.05 for p in rows['p_adjusted'])} of {len(rows)}"
        assert words in findings["correlations"]
    spectral = [
        strongest(table, given="nothing", family=family, **wanted)[0]
        for family in ("shape", "scale")
    ]
    best = max(spectral, key=lambda row: abs(row["rho"]))
    assert (
        f"their shape or size, the strongest is “{measure_words(best['measure'])}”"
        in (findings["correlations"])
    )
    assert rho(best) in findings["correlations"]
    best, rival = strongest(table, given="nothing", time=0.1, target="held_out_loss")
    assert rho(best) in findings["early"]
    assert rho(rival) in findings["early"]
    best, _ = strongest(table, given="train_loss", time=0.1, target="held_out_loss")
    assert rho(best) in findings["early"]


def test_ten_strongest_and_all_rivals_are_tabled_at_each_time(study_tables, page):
    table = study_tables.correlations
    for time in (0.1, 0.25, 0.5, 1.0):
        for target in ("held_out_loss", "gap"):
            rows = table[
                (table["time"] == time)
                & (table["target"] == target)
                & (table["given"] == "nothing")
            ]
            order = rows.sort_values("rho", key=abs, ascending=False)
            chosen = [
                *order[order["family"] != "rival"].head(10).to_dict("records"),
                *order[order["family"] == "rival"].to_dict("records"),
            ]
            assert len(chosen) == 16
            for row in chosen:
                words = f"{row['rho']:+.2f} {row['low']:+.2f} to {row['high']:+.2f}"
                assert words.replace("-", "−") in page.words
    assert page.words.count("Rivals, of the whole network") == 8
    assert page.words.count("not defined") == 8 + 1


def test_a_lead_is_claimed_only_where_the_interval_allows(study_tables):
    table = study_tables.correlations
    is_rival = table["family"] == "rival"
    for size, words in (
        (0.2, "the measure's whole interval is beyond it"),
        (0.85, "the measure's lead is not certain"),
        (0.95, "the rival is the stronger of the two"),
    ):
        rho = np.where(is_rival, size, 0.9)
        changed = table.assign(rho=rho, low=rho - 0.1, high=rho + 0.04)
        found = find(replace(study_tables, correlations=changed))
        assert words in " ".join(found["correlations"])
        assert words in " ".join(found["early"])


def test_expressivity_and_coupling_in_numbers(study_tables, findings):
    best, _ = strongest(study_tables.expressivity)
    words = f"{rho(best)}, n = {best['n_students']} students of {best['n_teachers']} teachers"
    assert words in findings["expressivity"]
    rows = study_tables.expressivity.to_dict("records")
    clear = [row for row in rows if row["p_adjusted"] < 0.05]
    near = [row for row in clear if 0.5 <= row["saturation_ratio"] <= 2]
    assert (
        f"{len(clear)} follow the width after correction; {len(near)} of these"
        in (findings["expressivity"])
    )
    phi, coupled = {}, {1: {}, 2: {}}
    for row in study_tables.coupling.to_dict("records"):
        if row["step"] == 1024:
            phi[row["dataset"], row["regime"]] = row["phi"]
            if row["distance"]:
                coupled[row["distance"]].setdefault(row["dataset"], []).append(row["coupling"])
    for regime in ("starved", "sound", "lavish"):
        values = [100 * value for (_, name), value in phi.items() if name == regime]
        assert f"{quartiles(values, ' %')} in {regime} runs" in findings["coupling"]
    sound = [value < 0.5 for (_, name), value in phi.items() if name == "sound"]
    assert f"sound network's in {share(sound)}" in findings["coupling"]
    for distance, values in coupled.items():
        words = quartiles([np.median(group) for group in values.values()])
        assert f"{words} at distance {distance}" in findings["coupling"]


def test_verdicts_are_words_with_icons(study_html, page, study_tables):
    badges = re.findall(r'<span class="hd-badge[^>]*>\s*(.*?)</span></span>', study_html, re.S)
    assert len(badges) == len(study_tables.regularities) + len(study_tables.claims)
    assert all("<svg" in badge and badge.split("<span>")[1] for badge in badges)
    for row in study_tables.claims.itertuples():
        assert f"{row.claim} {row.verdict} {row.evidence}" in page.words


def test_tables_are_described_with_units(page, study_tables):
    for field in fields(study_tables):
        if field.name != "about":
            frame = getattr(study_tables, field.name)
            assert f"{field.name}.csv {len(frame):,} rows, {frame.shape[1]} columns" in page.words
    assert "max_eigenvalue sharpest curvature (largest eigenvalue) loss / parameter²" in page.words
    assert "held_out_loss loss on held-out data null losses" in page.words


def test_how_to_repeat(page, study_tables):
    about = study_tables.about
    assert f"{about['command']} Commit {about['commit']} Time it took 1 h 2 min" in page.words
    assert "Version of torch 2.13" in page.words
    assert "Checkpoints Spaced evenly in log-steps." in page.words
    assert [_duration(s) for s in (None, 5, 61.2)] == ["not known", "5 s", "1 min 1 s"]


def test_hostile_text_stays_text(study_factory, study_figures, page_parser, tmp_path):
    tables = study_factory.tables(0, (HOSTILE, "b", "c"))
    hostile = {"key": HOSTILE, "statement": HOSTILE, "reference": HOSTILE, "verdict": HOSTILE}
    tables = replace(
        tables,
        regularities=tables.regularities.assign(**hostile, exceptions=f"{HOSTILE}; {HOSTILE}"),
        claims=tables.claims.assign(claim=HOSTILE, verdict=HOSTILE, evidence=HOSTILE),
        correlations=tables.correlations.replace({"measure": {"gn_gap": HOSTILE}}),
        about={"command": HOSTILE, "versions": {HOSTILE: HOSTILE}, "settings": {HOSTILE: HOSTILE}},
    )
    figure = replace(study_figures[0], title=HOSTILE, caption=HOSTILE, alt=HOSTILE)
    path = write_page(tables, [figure], tmp_path / "new" / "index.html")
    html = path.read_text(encoding="utf-8")
    assert "<script" not in html
    assert page_parser(html).words.count("alert('x')") > 100


def test_page_of_tables_without_numbers(study_tables, study_figures, page_parser, tmp_path):
    empty = {
        field.name: getattr(study_tables, field.name).iloc[:0]
        for field in fields(study_tables)
        if field.name != "about"
    }
    tables = replace(study_tables, **empty, about={"quick": True})
    page = page_parser(
        write_page(tables, study_figures[:1], tmp_path / "a.html").read_text("utf-8")
    )
    assert "A quick look." in page.words
    assert "The tables hold no experiments." in page.words
    assert all(len(sentences) == 1 for sentences in find(tables).values())


def test_equal_tables_give_equal_pages(study_tables, study_figures, study_html, tmp_path):
    few = [figure for figure in study_figures if figure.name in ("regularities", "coupling")]
    pages = [
        write_page(study_tables, few, tmp_path / name).read_bytes() for name in ("a.html", "b.html")
    ]
    assert pages[0] == pages[1]
    graphic = re.search(
        r'<svg viewBox[^>]*aria-label="Forest plot of \d+ statement.*?</svg>', study_html, re.S
    )
    assert graphic.group().encode() in pages[0]
    assert len(study_html) < 3_000_000


def test_numbers_in_words():
    assert [number(x) for x in (0.0, 1234.5, 0.01234, -2.5, np.nan)] == [
        *("0", "1,234", "0.0123", "−2.5", "not known")
    ]
    assert [number(x) for x in (1.5e-7, -2e8)] == ["1.50 × 10⁻⁷", "−2.00 × 10⁸"]
    assert [signed(x) for x in (-0.5, 0.123, np.nan)] == ["−0.50", "+0.12", "not known"]
    assert [p_words(x) for x in (1e-5, 0.0123, 0.5)] == ["< 0.001", "0.012", "0.50"]
    assert wrapped("one two three four five six", 9, 2) == "one two\nthree…"
    units = {
        "log_trace": "log10 of loss / parameter²",
        "alo_gap_10": "null losses (arcsinh beyond 0.05)",
        "effective_dimension_fraction_0.1": "share",
        "alo_error_gap_1": "share",
        "target_alignment": "no unit",
    }
    assert {name: measure_unit(name) for name in units} == units


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs chromium on the PATH")
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (400, "light")])
def test_page_is_legible(study_html, browser, tmp_path, width, scheme):
    options = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    found = browser.inspect(tmp_path, study_html, width, *options)
    assert found["dark"] is (scheme == "dark")
    assert found["width"] <= width
    assert found["low"] == []
    assert found["checked"] > 2000
    assert found["resources"] == 0
    assert set(found["targets"]) == {"SECTION"}
    assert len(found["graphics"]) == 7
    assert min(found["graphics"]) > 700
    if width > 1000:
        assert found["overlapping"] == 0
        assert found["wide"] == 0
