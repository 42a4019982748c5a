"""Figures of the study: what they draw, and what they say where there is nothing to draw."""

import re
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from hessdiag.plotting import figure_bytes
from hessdiag.study.figures._correlations import draw_correlations
from hessdiag.study.figures._coupling import draw_coupling
from hessdiag.study.figures._early import draw_early
from hessdiag.study.figures._evolution import draw_evolution
from hessdiag.study.figures._expressivity import draw_expressivity
from hessdiag.study.figures._regimes import draw_regimes
from hessdiag.study.figures._regularities import draw_regularities
from hessdiag.study.figures._style import ENCODINGS, REGIME_ENCODINGS, _moved_apart, house_style
from hessdiag.study.figures._write import draw_figures, write_figures
from hessdiag.study.tables import correlation_rows, key_measures, quartiles

NAMES = [
    *("regimes", "evolution", "regularities", "correlations"),
    *("early", "expressivity", "coupling"),
]


def words_of(figure):
    """All that is written in a figure."""
    return "\n".join(text.get_text() for text in figure.figure.findobj(Text))


def drawn(draw, tables):
    """Draw and render a figure in the study's style; warnings are errors."""
    with house_style():
        figure = draw(tables)
        figure_bytes(figure.figure, format="svg", metadata={"Date": None})
    return figure


@pytest.fixture(scope="module")
def by_name(study_figures):
    return {figure.name: figure for figure in study_figures}


def test_all_figures_in_the_order_of_the_page(study_figures):
    assert [figure.name for figure in study_figures] == NAMES
    for figure in study_figures:
        assert figure.title
        assert len(figure.caption) > 150
        assert len(figure.alt) > 50


def test_intervals_and_sample_sizes_are_stated(study_figures):
    for figure in study_figures:
        assert re.search(r"interquartile range|95 %", figure.caption)
        sizes = r"n = \d|\d of \d" if figure.name == "regularities" else r"n = \d"
        assert re.search(sizes, words_of(figure))


def test_axes_have_labels_with_units(by_name):
    words = {
        "regimes": ["null loss", "optimizer step"],
        "evolution": ["(directions)", "(loss / parameter²)", "(share)", "(R²)", "optimizer step"],
        "regularities": ["share of data sets in which the statement holds (%)"],
        "correlations": ["Spearman's ρ with held-out loss (no unit)"],
        "early": ["share of training at which the measure is taken (%)"],
        "expressivity": ["student width / teacher width", "(no unit)"],
        "coupling": ["share of training (%)", "coupling (no unit)", "share of squared curvature"],
    }
    for name, expected in words.items():
        labels = " ".join(
            f"{axis.get_xlabel()} {axis.get_ylabel()}" for axis in by_name[name].figure.axes
        )
        assert all(part in labels for part in expected), (name, labels)


def test_nothing_rests_on_colour_alone():
    for encodings in (list(REGIME_ENCODINGS.values()), ENCODINGS):
        assert len({encoding.marker for encoding in encodings}) == len(encodings)
        assert len({str(encoding.line) for encoding in encodings}) == len(encodings)
        assert len({encoding.colour for encoding in encodings}) == len(encodings)


def test_losses_drawn_are_medians_over_data_sets(by_name, study_tables):
    frame = study_tables.evolution
    rows = frame[(frame["place"] == "network") & (frame["step"] == 1024)]
    ends = {
        round(float(line.get_ydata()[0]), 12)
        for line in by_name["regimes"].figure.axes[1].lines
        if len(line.get_ydata()) == 1
    }
    for regime in REGIME_ENCODINGS:
        values = rows.loc[rows["regime"] == regime, "held_out_loss"].to_numpy()
        assert round(float(np.median(values)), 12) in ends


def test_quartiles_are_those_of_numpy_and_leave_out_what_few_reach(study_tables):
    frame = study_tables.evolution
    part = frame[(frame["place"] == "first") & (frame["regime"] == "sound")]
    few = part["dataset"].isin(["wine", "iris"])
    part = part[few | (part["step"] < 1024)]
    table = quartiles(part, "trace")
    assert list(table.index) == [0, 1, 2, 4, 8, 16, 64, 256]
    values = part.loc[part["step"] == 64, "trace"]
    np.testing.assert_allclose(table.loc[64], np.quantile(values, [0.25, 0.5, 0.75]))


def test_forest_of_regularities_shows_shares_intervals_and_verdicts(by_name, study_tables):
    figure = by_name["regularities"]
    tested = study_tables.regularities.dropna(subset=["share"])
    assert len(tested) == len(study_tables.regularities) - 1
    assert "1 statement could not be tested" in figure.caption
    bars = {tuple(line.get_xdata()) for line in figure.figure.axes[0].lines}
    words = words_of(figure)
    for row in tested.itertuples():
        assert (row.low, row.high) in bars
        assert f"{row.n_held} of {row.n_data_sets}  {row.verdict}" in words
        assert f"{row.key} {row.n_held} of {row.n_data_sets}, {row.verdict}" in figure.alt


def test_forest_of_correlations_has_the_ten_strongest_and_all_rivals(by_name, study_tables):
    frame = study_tables.correlations
    rows = [
        row
        for row in frame.to_dict("records")
        if (row["time"], row["target"], row["given"]) == (1.0, "held_out_loss", "nothing")
    ]
    rivals = [row["rho"] for row in rows if row["family"] == "rival"]
    measures = sorted((row["rho"] for row in rows if row["family"] != "rival"), key=abs)[-10:]
    left, right = by_name["correlations"].figure.axes
    marks = {line.get_xdata()[0] for line in left.lines if len(line.get_xdata()) == 1}
    assert marks == {*rivals, *measures}
    # Training loss given itself has no correlation, and the figure says so.
    marks = [line for line in right.lines if len(line.get_xdata()) == 1]
    assert len(marks) == len(rivals) + len(measures) - 1
    assert [text.get_text() for text in right.texts] == ["not defined"]


def test_measures_that_rank_alike_are_drawn_once(study_tables):
    frame = study_tables.correlations
    same = frame[(frame["measure"] == "log_trace") & (frame["place"] == "first")]
    rival = frame[(frame["measure"] == "trace") & (frame["family"] == "rival")]
    strong = {"rho": 0.999, "low": 0.99, "high": 1.0}
    extra = [
        same.assign(**strong),
        same.assign(measure="trace", family="scale", **strong),
        rival.assign(measure="log_trace_again", family="scale"),
    ]
    kept = frame[~((frame["measure"] == "log_trace") & (frame["place"] == "first"))]
    rows = correlation_rows(pd.concat([kept, *extra]), 1.0)
    assert list(rows["measure"]).count("log_trace") == 4
    assert "trace" not in set(rows["measure"])
    assert "log_trace_again" not in set(rows["measure"])


def test_only_correlations_within_data_sets_are_drawn(study_tables):
    frame = study_tables.correlations
    table = pd.concat([frame.assign(scope="within"), frame.assign(scope="across", rho=0.5)])
    found = correlation_rows(table, 1.0)
    expected = correlation_rows(frame, 1.0)
    assert list(found["rho"]) == list(expected["rho"])


def test_labels_at_the_ends_stay_apart_and_in_order():
    for heights in ([0.5, 0.5, 0.5], [1.0, 0.99, 0.98, 0.1], [0.0, 0.01], [0.2]):
        placed = _moved_apart(heights, 0.1)
        assert placed.min() >= 0
        assert placed.max() <= 1
        ordered = placed[np.argsort(heights, kind="stable")]
        assert np.all(np.diff(ordered) >= 0.1 - 1e-6)


@pytest.mark.parametrize(
    ("draw", "table", "note"),
    [
        (draw_evolution, "evolution", "not measured here"),
        (draw_regularities, "regularities", "no regularity could be tested"),
        (draw_correlations, "correlations", "no correlation could be computed"),
        (draw_early, "correlations", "no correlation could be computed"),
        (draw_expressivity, "expressivity", "no correlation with width could be computed"),
        (draw_coupling, "coupling", "no pair of layers measured"),
    ],
)
def test_a_table_without_rows_makes_a_note(study_tables, draw, table, note):
    empty = replace(study_tables, **{table: getattr(study_tables, table).iloc[:0]})
    figure = drawn(draw, empty)
    assert note in words_of(figure)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "table", "columns"),
    [
        (draw_regimes, "evolution", ["held_out_loss"]),
        (draw_regimes, "experiments", ["train_loss"]),
        (draw_evolution, "evolution", ["effective_dimension", "gn_gap", "attainable_gap"]),
        (draw_regularities, "regularities", ["share", "low", "high"]),
        (draw_correlations, "correlations", ["p_adjusted"]),
        (draw_correlations, "correlations", ["rho", "low", "high"]),
        (draw_early, "correlations", ["low", "high"]),
        (draw_expressivity, "students", ["negative_mass", "gn_gap"]),
        (draw_expressivity, "expressivity", ["rho", "saturation_ratio"]),
        (draw_coupling, "coupling", ["phi"]),
        (draw_coupling, "coupling", ["coupling"]),
    ],
)
def test_columns_without_numbers_are_survived(study_tables, draw, table, columns):
    frame = getattr(study_tables, table).assign(**dict.fromkeys(columns, np.nan))
    drawn(draw, replace(study_tables, **{table: frame}))


def test_another_measure_stands_in_for_one_that_is_missing(study_tables):
    frame = study_tables.evolution.assign(gn_gap=np.nan)
    assert key_measures(frame)[-2:] == ["negative_mass", "attainable_gap"]


def test_few_data_sets_and_one_regime_are_enough(study_factory):
    tables = study_factory.tables(1, study_factory.data_sets[:1])
    only = {
        name: getattr(tables, name)[getattr(tables, name)["regime"] == "lavish"]
        for name in ("experiments", "evolution", "coupling")
    }
    for draw in (draw_regimes, draw_coupling):
        drawn(draw, replace(tables, **only))


@pytest.mark.slow
def test_files_are_the_same_bytes_whatever_the_user_has_set(study_tables, study_figures, tmp_path):
    paths = write_figures(study_figures, tmp_path / "first")
    assert [path.name for path in paths] == [
        f"{name}.{kind}" for name in NAMES for kind in ("png", "svg")
    ]
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in paths[::2])
    assert all(path.stat().st_size < 1_000_000 for path in paths)
    for path in paths[1::2]:
        text = path.read_text(encoding="utf-8")
        assert "<svg" in text
        assert "<dc:date>" not in text
    with matplotlib.rc_context({"lines.linewidth": 9.0, "font.size": 3.0, "svg.fonttype": "path"}):
        again = write_figures(draw_figures(study_tables)[::6], tmp_path / "again")
        assert matplotlib.rcParams["lines.linewidth"] == 9.0
    for path in again:
        assert path.read_bytes() == (tmp_path / "first" / path.name).read_bytes()
