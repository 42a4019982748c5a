"""The report on real networks as text: Markdown tables, and what was left out."""

from __future__ import annotations

import textwrap

from _real_growth import ACTIVATIONS, exponent
from _table import markdown

__all__ = ["growth_tables", "network_tables"]

EXPLAIN = ("network", "parameters", "N", "looked at", "explain, s", "at most", "forecast, s")
SPECTRA = ("network", "layers", "exact", "layer_spectra, s", "at most", "forecast, s")
COMMON = ("measured / forecast", "memory, GB", "at most", "process, s")
WHAT_IT_IS = (
    "Each piece of work is done once, in a process of its own, for the first time there. Memory is "
    "the most that the whole process held; the seconds of the process include imports, training "
    "and, for `explain`, fitting the reference diagnoser, which are not in those of the work. "
    "`explain` keeps a budget (`max_time`); `layer_spectra` has none, and is cut from outside."
)


def network_tables(networks):
    """Return the tables of all networks, and what reports say of what was left out."""
    parts = []
    explained = [e for e in networks.values() if "explain" in e]
    if explained:
        rows = [(*EXPLAIN, *COMMON, "diagnosis"), *map(_explain_row, explained)]
        parts.append(markdown(rows))
    with_spectra = [e for e in networks.values() if "spectra" in e]
    if with_spectra:
        parts.append(markdown([(*SPECTRA, *COMMON), *map(_spectra_row, with_spectra)]))
    if parts:
        parts.insert(0, WHAT_IT_IS)
    lines = [line for entry in networks.values() for line in _remarks(entry)]
    if lines:
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def growth_tables(growth):
    """Return one table per axis: seconds of `explain`, and the power that they grow as."""
    base = ", ".join(f"{name} {value:,}" for name, value in growth["base"].items())
    parts = [f"`explain`, seconds, of MLPs that differ in one size (otherwise {base})"]
    for axis, found in growth.items():
        if axis == "base":
            continue
        titles = [f"{a}: {what}" for a in ACTIVATIONS for what in ("s", "GB", "looked at")]
        rows = [[axis, *titles]]
        for row in found:
            cells = [cell for a in ACTIVATIONS for cell in _point(row[a])]
            rows.append([f"{row[axis]:,}", *cells])
        for title, points in (("exponent", found), ("of the last three", found[-3:])):
            cells = [title]
            for a in ACTIVATIONS:
                seconds = [None if _trouble(row[a]) else row[a]["seconds"] for row in points]
                power = exponent([row[axis] for row in points], seconds)
                cells += [_number(power, ".2f"), "", ""]
            rows.append(cells)
        parts.append(markdown(rows))
        less = [
            f"{axis} {row[axis]:,}, {a}: {row[a]['left_out']}"
            for row in found
            for a in ACTIVATIONS
            if row[a].get("left_out")
        ]
        if less:
            parts.append("\n".join(f"- left out at {line}" for line in less))
    return "\n\n".join(parts)


def _explain_row(entry):
    """Write what `explain` took."""
    found, bounds = entry["explain"], entry["bounds"]
    return (
        entry["title"],
        _count(found.get("n_params")),
        _count(found.get("n_samples")),
        _count(found.get("n_samples_examined")),
        *_seconds(found, bounds["explain"], found.get("forecast")),
        *_process(found, bounds["memory"]),
        found.get("diagnosis", "–"),
    )


def _spectra_row(entry):
    """Write what `layer_spectra` took."""
    found, bounds = entry["spectra"], entry["bounds"]
    eigenvalues = found.get("largest_eigenvalues")
    return (
        entry["title"],
        _count(None if eigenvalues is None else len(eigenvalues)),
        _count(found.get("n_exact")),
        *_seconds(found, bounds["spectra"], entry.get("plan", {}).get("forecast")),
        *_process(found, bounds["memory"]),
    )


def _seconds(found, bound, forecast):
    """Write seconds, their bound, the forecast, and how the forecast did."""
    trouble, seconds = _trouble(found), found.get("seconds")
    known = not trouble and seconds is not None
    share = seconds / forecast if known and forecast else None
    measured = _against(seconds, bound) if known else trouble
    return measured, f"{bound:g}", _number(forecast), _number(share, ".2f")


def _process(found, bound):
    """Write the memory that a process took, its bound, and its seconds."""
    peak = found.get("peak_gb")
    return _against(peak, bound, ".2f"), f"{bound:g}", _number(found.get("seconds_process"), ".0f")


def _point(found):
    """Write seconds, memory and samples of one point of growth."""
    seconds = _trouble(found) or _number(found["seconds"])
    return (
        seconds,
        _number(found.get("peak_gb"), ".2f"),
        _count(found.get("n_samples_examined")),
    )


def _trouble(found):
    """Say why there is no time; nothing where there is one."""
    return found.get("cut") or ("failed" if "error" in found else "")


def _remarks(entry):
    """List what was left out, noted, warned of, and what went wrong."""
    for work in ("explain", "spectra", "plan"):
        found, title = entry.get(work, {}), f"- {entry['title']}, {work}"
        if "missing" in found:
            yield f"{title}: not done, {', '.join(found['missing'])} not installed"
        for key, words in (
            ("left_out", "left out"),
            ("statistics_missing", "without statistics, as"),
            ("error", "failed"),
            ("log", "last words"),
        ):
            if found.get(key):
                text = " ".join(str(found[key]).split())
                yield f"{title}: {words}: {textwrap.shorten(text, 400)}"
        for warning in found.get("warnings", ()):
            yield f"{title}: {textwrap.shorten(warning, 200)}"


def _against(value, bound, form=".3g"):
    """Write a number, in bold where it is beyond its bound."""
    written = _number(value, form)
    return f"**{written}**" if value is not None and value > bound else written


def _count(value):
    """Write a whole number, or a dash."""
    return "–" if value is None else f"{value:,.0f}"


def _number(value, form=".3g"):
    """Write a number, or a dash."""
    return "–" if value is None else format(value, form)
