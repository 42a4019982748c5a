"""In how many data sets each regularity holds: a forest."""

from __future__ import annotations

from hessdiag.plotting import new_figure
from hessdiag.study.figures._study_figure import StudyFigure
from hessdiag.study.figures._style import INK, PAPER, QUIET, WIDTH, Encoding, leave_margin, note
from hessdiag.study.tables import finite
from hessdiag.study.wording import count_words, wrapped

VERDICT_ENCODINGS = {
    "holds": Encoding("#009e73", "-", "o"),
    "open": Encoding(QUIET, "-", "D"),
    "fails": Encoding("#d55e00", "-", "X"),
}


def draw_regularities(tables):
    """Draw the share of data sets in which each statement holds, with its interval."""
    frame = finite(tables.regularities, "share")
    frame = frame.sort_values(["share", "n_data_sets", "key"], ascending=[True, True, False])
    figure = new_figure(WIDTH, 1.1 + 0.36 * max(3, len(frame)))
    leave_margin(figure)
    axis = figure.subplots()
    if len(frame):
        _draw(axis, frame)
    else:
        note(axis, "no regularity could be tested")
    left_out = len(tables.regularities) - len(frame)
    return StudyFigure(
        name="regularities",
        title="Which regularities hold, and in how many data sets",
        caption=(
            f"{count_words(len(tables.regularities), 'statement')} written down before looking "
            "at the measures. Marks: share of the data sets in which a statement holds, among "
            "those where it applies (n at the right); bars: exact 95 % binomial interval. A "
            "statement holds (circle) if the whole interval lies above one half, the chance "
            "line, fails (cross) if it lies below, and is open (hollow diamond) otherwise."
            + (f" {count_words(left_out, 'statement')} could not be tested." if left_out else "")
        ),
        alt=(
            "Forest plot of "
            + count_words(len(frame), "statement")
            + ": "
            + "; ".join(
                f"{row.key} {row.n_held:.0f} of {row.n_data_sets:.0f}, {row.verdict}"
                for row in frame.iloc[::-1].itertuples()
            )
            + "."
        ),
        figure=figure,
    )


def _draw(axis, frame):
    """Draw the forest."""
    for height, row in enumerate(frame.itertuples()):
        encoding = VERDICT_ENCODINGS.get(row.verdict, VERDICT_ENCODINGS["open"])
        axis.plot([row.low, row.high], [height, height], color=encoding.colour, lw=2)
        face = PAPER if encoding.marker == "D" else encoding.colour
        edge = encoding.colour if encoding.marker == "D" else INK
        style = {"mfc": face, "mec": edge, "mew": 0.6 if edge == INK else 1.2, "ms": 6.5}
        axis.plot([row.share], [height], encoding.marker, clip_on=False, zorder=3, **style)
        words = f"{row.n_held:.0f} of {row.n_data_sets:.0f}  {row.verdict}"
        axis.text(1.02, height, words, transform=axis.get_yaxis_transform(), va="center")
    axis.axvline(0.5, color=INK, lw=0.9, ls=(0, (4, 2)))
    heights = range(len(frame))
    axis.set_yticks(heights, [wrapped(text, 64, 3) for text in frame["statement"]])
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(-0.7, len(frame) - 0.1)
    axis.text(*(0.5, len(frame) - 0.25, "chance"), ha="center", va="center", backgroundcolor=PAPER)
    axis.set_xlim(-0.02, 1.02)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    axis.set_xlabel("share of data sets in which the statement holds (%), 95 % interval")
