"""Draw the picture of the architecture page: `python docs/_flow_picture.py`."""

from __future__ import annotations

from pathlib import Path

_WIDTH, _HEIGHT = 1000, 440
_SIZE = (128, 62)

#: Name, words below it, centre.
_ROOMS = {
    "cases": ("net + data", 90, 90),
    "curvature": ("factors, products", 254, 90),
    "spectra": ("plans, spectra", 418, 90),
    "examination": ("frozen results", 582, 90),
    "features": ("measures, tables", 746, 90),
    "diagnosis": ("gains, advice", 910, 90),
    "plotting": ("displays", 746, 235),
    "reporting": ("text, pages", 910, 235),
    "zoo": ("recipes, labels", 254, 235),
    "evaluation": ("protocols, advice", 418, 235),
    "study": ("111 experiments", 582, 235),
    "testing": ("known Hessians", 90, 235),
    "monitor": ("looks at training", 582, 380),
    "demo": ("three networks", 746, 380),
    "cli": ("the command", 910, 380),
    "labels": ("rule, names", 90, 380),
}

#: From and to, between neighbours.
_ARROWS = (
    ("cases", "curvature"),
    ("curvature", "spectra"),
    ("spectra", "examination"),
    ("examination", "features"),
    ("features", "diagnosis"),
    ("diagnosis", "reporting"),
    ("plotting", "reporting"),
    ("zoo", "evaluation"),
    ("evaluation", "study"),
    ("reporting", "cli"),
    ("demo", "cli"),
)

_STYLE = """\
    :root { --paper: #ffffff; --ink: #1b1f24; --soft: #57606a; --line: #6e7781; --room: #eef3fb;
            --edge: #4c6fb1; --outer: #f6f1e4; --outer-edge: #9a7b2f }
    @media (prefers-color-scheme: dark) {
      :root { --paper: #14181d; --ink: #eef1f4; --soft: #b3bcc6; --line: #8f99a3; --room: #1d2a40;
              --edge: #7ea2e6; --outer: #332c1a; --outer-edge: #cfae5c }
    }
    text { font-family: system-ui, sans-serif; text-anchor: middle; fill: var(--ink) }
    .name { font-size: 17px; font-weight: 600 }
    .words { font-size: 13px; fill: var(--soft) }
    .note { font-size: 13px; fill: var(--soft) }
    .room { fill: var(--room); stroke: var(--edge); stroke-width: 1.5 }
    .outer { fill: var(--outer); stroke: var(--outer-edge); stroke-width: 1.5 }
    .flow { stroke: var(--line); stroke-width: 2; fill: none; marker-end: url(#head) }
    .feed { stroke: var(--line); stroke-width: 2; stroke-dasharray: 6 5; fill: none;
            marker-end: url(#head) }
    #head path { fill: var(--line) }
"""

_DESCRIPTION = (
    "Data flows from cases through curvature, spectra, examination and features to diagnosis, and "
    "from there to reporting and the command line; plotting serves reporting. The zoo makes "
    "cases with known labels, and its reference table teaches the diagnosis; evaluation and the "
    "study use the zoo. The monitor looks at networks in training. "
    "Labels hold the rule that the zoo and the diagnosis share."
)


def draw() -> str:
    """Return the picture as SVG, readable on light and on dark pages."""
    parts = [_arrow(*pair) for pair in _ARROWS]
    # The zoo feeds both ends: cases to examine, and a table to learn from.
    parts += [
        '<path class="feed" d="M 226 204 L 126 125"/>',
        '<path class="feed" d="M 254 266 V 306 H 664 V 165 H 880 V 125"/>',
        _note(440, 325, "the reference table: measures, gains and labels of the zoo's networks"),
        _note(500, 33, "data flows one way; no room imports from one further on"),
        _note(250, 372, "imported by all,"),
        _note(250, 390, "imports nothing"),
    ]
    parts += [_room(name, *place) for name, place in _ROOMS.items()]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'aria-labelledby="title description">\n'
        '  <title id="title">How data flows through hessdiag</title>\n'
        f'  <desc id="description">{_DESCRIPTION}</desc>\n'
        f"  <style>\n{_STYLE}  </style>\n"
        '  <defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M 0 0 L 10 5 L 0 10 z"/></marker></defs>\n'
        f'  <rect width="{_WIDTH}" height="{_HEIGHT}" rx="10" style="fill: var(--paper)"/>\n'
    )
    return head + "".join(f"  {part}\n" for part in parts) + "</svg>\n"


def _room(name, words, x, y):
    """A box with its name and what is in it."""
    width, height = _SIZE
    kind = "room" if y < 150 else "outer"
    return (
        f'<g><rect class="{kind}" x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width}" '
        f'height="{height}" rx="8"/><text class="name" x="{x}" y="{y - 3}">{name}</text>'
        f'<text class="words" x="{x}" y="{y + 18}">{words}</text></g>'
    )


def _arrow(start, end):
    """A straight arrow between neighbours, from edge to edge."""
    (_, x1, y1), (_, x2, y2) = _ROOMS[start], _ROOMS[end]
    half = _SIZE[0] / 2 if y1 == y2 else _SIZE[1] / 2
    if y1 == y2:
        return f'<path class="flow" d="M {x1 + half:g} {y1} H {x2 - half - 3:g}"/>'
    return f'<path class="flow" d="M {x1} {y1 + half:g} V {y2 - half - 3:g}"/>'


def _note(x, y, text):
    """A line of words."""
    return f'<text class="note" x="{x}" y="{y}">{text}</text>'


if __name__ == "__main__":
    Path(__file__).with_name("architecture.svg").write_text(draw(), encoding="utf-8")
