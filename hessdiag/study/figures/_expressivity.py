"""Which measures find the width that a known teacher needs."""

from __future__ import annotations

import numpy as np

from hessdiag.plotting import new_figure
from hessdiag.study.figures._forest import (
    MEASURE,
    RIVAL,
    RIVAL_WORDS,
    correlation_axis,
    draw_estimate,
    forest_heights,
    set_rivals_apart,
)
from hessdiag.study.figures._study_figure import StudyFigure
from hessdiag.study.figures._style import ENCODINGS, INK, PAPER, QUIET, WIDTH, leave_margin, note
from hessdiag.study.tables import (
    N_STRONGEST,
    expressive_rows,
    finite,
    has_values,
)
from hessdiag.study.wording import (
    FAMILY_WORDS,
    PLACE_WORDS,
    count_words,
    measure_unit,
    measure_words,
    pair_words,
    wrapped,
)

_N_PANELS = 4
_LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (4, 1, 1, 1)), (0, (2.5, 1)))


def expressive_panels(tables):
    """Choose what is drawn against width: the strongest measure of each family."""
    rows = expressive_rows(tables.expressivity)
    rows = rows[[has_values(tables.students, name) for name in rows["measure"]]]
    return rows.drop_duplicates("family").head(_N_PANELS)


def draw_expressivity(tables):
    """Draw measures against the width of student over teacher, and a forest of correlations."""
    strongest = expressive_rows(tables.expressivity).head(N_STRONGEST)
    rivals = expressive_rows(tables.expressivity, rivals=True)
    heights = [3.0, 1.3 + 0.33 * max(4, len(strongest) + len(rivals))]
    figure = new_figure(WIDTH, sum(heights))
    leave_margin(figure)
    upper, lower = figure.subfigures(2, 1, height_ratios=heights)
    axes = upper.subplots(1, _N_PANELS)
    _name_teachers(upper, tables.students)
    chosen = expressive_panels(tables)
    for axis, row in zip(axes, chosen.itertuples()):
        _draw_measure(axis, tables.students, row)
    for axis in axes[len(chosen) :]:
        note(axis, "no further family\nwas measured" if len(chosen) else "no students")
    _draw_forest(lower.subplots(), strongest, rivals)
    students = tables.students
    n_students = len(students[["teacher", "width", "seed"]].drop_duplicates())
    n_teachers = students["teacher"].nunique()
    return StudyFigure(
        name="expressivity",
        title="Which measure finds the width that is needed",
        caption=(
            f"{count_words(n_students, 'student network')} of "
            f"{count_words(n_teachers, 'teacher')}, whose widths are known. Above: the measure of "
            "each family that follows the width best, against student width over teacher width; "
            "thin lines are medians over the teachers of one width and seeds, the thick line with "
            "circles is the median over all teachers; n counts students. Grey "
            "solid line: as wide as the teacher; dashed line: the ratio from which on the measure "
            "has made 90 % of its way (saturation). Below: Spearman's ρ with that ratio within "
            "teachers, pooled; bars: 95 % bootstrap intervals over teachers; hollow marks: "
            "corrected p of 0.05 or more; squares, shaded: rivals."
        ),
        alt="Measures against student over teacher width, and a forest plot of correlations: "
        + "; ".join(
            f"{pair_words(row.measure, row.place)} {row.rho:+.2f}" for row in strongest.itertuples()
        )
        + ".",
        figure=figure,
    )


def _draw_measure(axis, students, row):
    """Draw one measure of one place against the ratio of widths."""
    part = finite(finite(students[students["place"] == row.place], row.measure), "ratio")
    words = wrapped(measure_words(row.measure), 27, 4)
    axis.set_title(f"{words}\n{PLACE_WORDS.get(row.place, row.place)}, n = {len(part)}", loc="left")
    if not len(part):
        note(axis, "not measured here")
        return
    styles = _teacher_styles(students)
    for width, lines in part.groupby("teacher_width"):
        values = lines.groupby("ratio")[row.measure].median()
        axis.plot(np.log2(values.index), values, **styles[width])
    median = part.groupby(["ratio", "teacher"])[row.measure].median().groupby(level=0).median()
    ratios = np.log2(median.index.to_numpy(dtype=float))
    axis.plot(ratios, median, color=INK, lw=2.2, marker="o", mfc=PAPER, mec=INK, ms=4.5)
    axis.axvline(0.0, color=QUIET, lw=0.9)
    if np.isfinite(row.saturation_ratio) and row.saturation_ratio > 0:
        axis.axvline(np.log2(row.saturation_ratio), color=INK, lw=0.9, ls=(0, (4, 2)))
    axis.margins(x=0.04)
    whole = np.unique(np.round(ratios)).astype(int)
    step = max(1, int(np.ceil(len(whole) / 5)))
    ticks = [tick for tick in whole if tick % step == 0]
    axis.set_xticks(ticks, [f"{2**tick}" if tick >= 0 else f"1/{2**-tick}" for tick in ticks])
    axis.set_xlabel("student width / teacher width")
    axis.set_ylabel(measure_unit(row.measure))


def _teacher_styles(students):
    """Give each width of a teacher a line of its own."""
    widths = sorted(set(students["teacher_width"]))
    return {
        width: {
            "color": ENCODINGS[place % len(ENCODINGS)].colour,
            "ls": _LINES[place % len(_LINES)],
            "lw": 1,
        }
        for place, width in enumerate(widths)
    }


def _name_teachers(figure, students):
    """Name the lines above the panels."""
    from matplotlib.lines import Line2D

    styles = _teacher_styles(students) if len(students) else {}
    if styles:
        handles = [Line2D([], [], label=f"teacher of width {w:g}", **s) for w, s in styles.items()]
        median = {"color": INK, "lw": 2.2, "marker": "o", "mfc": PAPER, "mec": INK, "ms": 4.5}
        handles.append(Line2D([], [], label="median over teachers", **median))
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))


def _draw_forest(axis, measures, rivals):
    """Draw the correlations with width, strongest above, rivals apart."""
    rows = [*measures.itertuples(), *rivals.itertuples()]
    if not rows:
        note(axis, "no correlation with width could be computed")
        return
    heights = forest_heights(len(measures), len(rivals))
    for height, row in zip(heights, rows):
        draw_estimate(axis, height, row, RIVAL if row.family == "rival" else MEASURE)
        ratio = row.saturation_ratio
        known = np.isfinite(ratio) and ratio > 0
        words = f"n = {row.n_students:.0f}, " + (
            f"saturates at {ratio:.3g}" if known else "no saturation"
        )
        axis.text(1.02, height, words, transform=axis.get_yaxis_transform(), va="center")
    labels = [_label(row) for row in rows]
    if len(rivals):
        heights.append(set_rivals_apart([axis], heights, len(measures)))
        labels.append(RIVAL_WORDS)
    correlation_axis(axis, heights)
    axis.set_yticks(heights, labels)
    axis.set_xlabel("Spearman's ρ with log₂(student width / teacher width) (no unit)")


def _label(row):
    """Name a measure, its place and its family."""
    words = pair_words(row.measure, row.place)
    if row.family != "rival":
        words += f" [{FAMILY_WORDS.get(row.family, row.family)}]"
    return wrapped(words, 62, 2)
