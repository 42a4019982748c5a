"""The report as text: Markdown tables."""

from __future__ import annotations

from _tools import TOOLS

__all__ = ["growth_table", "network_tables"]


def network_tables(networks):
    """Return the tables of all networks."""
    tools = [t for t in TOOLS if any(t in entry["seconds"] for entry in networks.values())]
    titles = [f"{t}{'' if TOOLS[t].as_released else ' †'}, s" for t in tools]
    rows = [["network", *titles, "fastest peer / hessdiag", "with † too"]]
    for name, entry in networks.items():
        rows.append(
            [
                name + _star(entry),
                *[_number(entry["seconds"].get(t)) for t in tools],
                _number(entry["ratio_to_fastest_peer"]),
                _number(entry["ratio_with_mended_peers"]),
            ]
        )
    parts = ["SLQ of the true Hessian, all layers: median seconds\n\n" + markdown(rows)]
    if any(not TOOLS[t].as_released for t in tools):
        parts.append(
            "† Does not run as released with this torch, which has no `torch.eig` any more; "
            "timed with one put back, and not counted among the peers."
        )
    if any(_star(entry) for entry in networks.values()):
        parts.append(
            "\\* Peers were timed on one layer of each group of consecutive layers, at moving "
            "places, and each time multiplied by the group's size."
        )
    rows = [["network", *tools, "training step", "hessdiag / training step"]]
    for name, entry in networks.items():
        peaks = entry["peak_mib"]
        ours, step = peaks.get("hessdiag"), peaks.get("training_step")
        share = ours / step if ours is not None and step else None
        numbers = [peaks.get(t) for t in tools]
        rows.append([name, *map(_number, numbers), _number(step), _number(share)])
    parts.append("Peak memory beyond what was held before, MiB\n\n" + markdown(rows))
    rows = [["network", "max_memory", "stated in advance", "tensors", "resident", "seconds"]]
    for name, entry in networks.items():
        found = entry.get("bounded", {})
        keys = ("max_memory_mib", "stated_mib", "allocated_mib", "peak_mib", "seconds")
        rows.append([name, *[_number(found.get(key)) for key in keys]])
    parts.append(
        "hessdiag within the memory of three training steps (`max_memory`): what is stated in "
        "advance, what tensors take at the most, and by how much the process grows, MiB\n\n"
        + markdown(rows)
    )
    rows = [
        ["network", "exact layers", "N", "exact, s", "fastest peer's SLQ, s", "λmax differs by"]
    ]
    for name, entry in networks.items():
        exact = entry["details"]["exact"]
        rows.append(
            [
                name,
                f"{exact['layers']} of {exact['n_layers']}",
                str(exact["n_samples"]),
                _number(exact["seconds"]),
                _number(exact.get("peer_seconds")),
                _number(entry["max_rel_diff_lambda_max"], ".1e"),
            ]
        )
    parts.append("Exact spectra on N samples, and agreement\n\n" + markdown(rows))
    for name, entry in networks.items():
        for tool, reason in entry["details"]["reasons"].items():
            parts.append(f"{name}: {tool} did not run: {reason}")
    return "\n\n".join(parts)


def growth_table(growth):
    """Return one table per axis, in multiples of one gradient."""
    base = ", ".join(f"{name} {value}" for name, value in growth["base"].items())
    parts = [f"Cost in multiples of one gradient (otherwise {base})"]
    for axis, found in growth.items():
        if axis == "base":
            continue
        columns = [c for c in found[0] if not c.endswith("_reason")]
        rows = [columns, *[[_number(row.get(c), ".3g") for c in columns] for row in found]]
        parts.append(markdown(rows))
    return "\n\n".join(parts)


def markdown(rows):
    """Lay out rows of cells; the first is the header."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _star(entry):
    """Mark networks on which peers were timed on some layers only."""
    return " *" if any(weight > 1 for weight in entry["details"]["peer_layer_weights"]) else ""


def _number(value, form=".3g"):
    """Write a number, or a dash."""
    return "–" if value is None else format(value, form)
