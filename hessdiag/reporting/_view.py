"""What the page shows of one network: words and positions, ready for a template without logic."""

from __future__ import annotations

import math

import numpy as np

from hessdiag.labels import DELTA
from hessdiag.reporting._figures import drawn_layers, has_spectra
from hessdiag.reporting._words import (
    ACTIONS,
    DIAGNOSIS_ORDER,
    answer,
    close_call,
    gain_number,
    gain_range,
    is_shown,
    known_gains,
    log_odds,
    number,
    one_line,
    ordered_probabilities,
    parameters,
    percent,
    position,
    telling_layers,
)

#: Layers whose evidence is open on the page; the others are folded.
MAX_OPEN_LAYERS = 12

# A segment of the probability bar narrower than this has no room for its percentage.
_MIN_LABELLED = 0.12

_CONTEXT_WORDS = {
    "task": "Task",
    "criterion": "Loss",
    "n_samples": "Samples",
    "n_samples_examined": "Samples examined",
    "n_inputs": "Inputs per sample",
    "n_outputs": "Outputs per sample",
    "n_layers": "Layers",
    "n_params": "Trainable parameters",
    "loss": "Loss on the given data",
    "null_loss": "Loss of the best constant output",
    "error": "Error on the given data",
}


def network_view(report, name, anchor):
    """Collect what the page shows of one network.

    Parameters
    ----------
    report : DiagnosisReport
        The report.
    name : str
        Name to show.
    anchor : str
        Unique start of the ids within the network's part of the page.

    Returns
    -------
    view : dict
        What the templates read.
    """
    examination = report.examination
    shown = set(telling_layers(report, MAX_OPEN_LAYERS))
    reach = max(
        [abs(layer.weight) for layer in report.layers if math.isfinite(layer.weight)], default=0.0
    )
    layers = [_layer_view(layer, reach) for layer in report.layers if is_shown(layer)]
    return {
        "anchor": anchor,
        "name": name,
        "diagnosis": answer(report),
        "style": _style(answer(report)),
        "lean": "" if answer(report) == report.diagnosis else one_line(report.diagnosis),
        "confidence": percent(float(report.probabilities[report.diagnosis])),
        "close_call": close_call(report),
        "segments": [_segment(*pair) for pair in ordered_probabilities(report)],
        "action": ACTIONS.get(report.recommendation.action, ""),
        "gains": _gains_view(known_gains(report)),
        "advice": one_line(report.recommendation.text),
        "advised_layers": [one_line(layer) for layer in report.recommendation.layers],
        "notes": [one_line(note) for note in report.notes],
        "evidence": [_evidence_view(item) for item in report.evidence],
        "open_layers": [view for view in layers if view["key"] in shown],
        "folded_layers": [view for view in layers if view["key"] not in shown],
        "spectra": _spectra_view(report, anchor) if has_spectra(report) else None,
        "context": _context_view(examination),
        "settings": [
            (_in_words(key), _setting(value))
            for key, value in dict(getattr(examination, "settings", {})).items()
        ],
    }


def _style(diagnosis):
    """Name the style of a diagnosis; other class names share one."""
    return diagnosis if diagnosis in DIAGNOSIS_ORDER else "other"


def _segment(name, share):
    """Describe one segment of the probability bar."""
    share = share if math.isfinite(share) else 0.0
    return {
        "name": one_line(name),
        "style": _style(name),
        "width": f"{100 * share:.2f}",
        "label": percent(share) if share >= _MIN_LABELLED else "",
        "words": percent(share),
    }


def _gains_view(gains):
    """Place expected gains and their intervals on one axis, in percent of its length."""
    if not gains:
        return []
    # Gains span decades: the axis is linear up to what is worth a change, logarithmic beyond.
    ends = [end for _, gain in gains for end in (gain.low, gain.high)]
    ticks = np.arcsinh(np.array([min(*ends, -DELTA), max(*ends, 2 * DELTA)]) / DELTA)

    def place(value):
        return 100 * (np.arcsinh(value / DELTA) - ticks[0]) / (ticks[1] - ticks[0])

    return [
        {
            "name": word.capitalize(),
            "value": gain_number(gain.value),
            "range": gain_range(gain),
            "coverage": percent(gain.coverage),
            "left": f"{place(gain.low):.1f}",
            "width": f"{place(gain.high) - place(gain.low):.1f}",
            "place": f"{place(gain.value):.1f}",
            "zero": f"{place(0.0):.1f}",
        }
        for word, gain in gains
    ]


def _layer_view(layer, reach):
    """Describe one layer and its evidence."""
    weight = layer.weight if math.isfinite(layer.weight) else 0.0
    return {
        "key": layer.name,
        "name": one_line(layer.name),
        "kind": one_line(layer.kind),
        "size": parameters(layer.n_params),
        "weight": log_odds(layer.weight),
        "for": weight > 0,
        "bar": f"{100 * abs(weight) / reach:.1f}" if reach else "0",
        "evidence": [_evidence_view(item) for item in layer.evidence],
    }


def _evidence_view(evidence):
    """Describe one measure beside the range of well-fit networks."""
    where = position(evidence)
    view = {
        "words": one_line(evidence.words),
        "measure": evidence.measure,
        "value": number(evidence.value),
        "range": "not known",
        "position": where,
        "weight": log_odds(evidence.weight),
        "strip": None,
    }
    if where != "not comparable":
        view["range"] = f"{number(evidence.low)} to {number(evidence.high)}"
        view["strip"] = _strip(evidence)
    return view


def _strip(evidence):
    """Place the range and the value on a line, in percent of its length."""
    low, high = min(evidence.low, evidence.value), max(evidence.high, evidence.value)
    margin = 0.12 * (high - low) or abs(high) or 1.0
    low, width = low - margin, high - low + 2 * margin
    return {
        "left": f"{100 * (evidence.low - low) / width:.1f}",
        "width": f"{100 * (evidence.high - evidence.low) / width:.1f}",
        "value": f"{100 * (evidence.value - low) / width:.1f}",
    }


def _spectra_view(report, anchor):
    """Draw the spectra and list their numbers."""
    from hessdiag.reporting._svg import layer_panels

    examination = report.examination
    names = drawn_layers(report)
    kinds = {layer.name: layer.kind for layer in examination.layers}
    panels = [
        {"name": one_line(name), "kind": one_line(kinds[name]), "caption": caption, "svg": svg}
        for name, caption, svg in layer_panels(examination, names, anchor)
    ]
    rows = [
        {
            "name": one_line(layer.name),
            "size": f"{layer.n_params:,}",
            "largest": number(layer.spectrum.max_eigenvalue),
            "smallest": number(layer.spectrum.min_eigenvalue),
            "trace": number(layer.spectrum.trace),
            "how": _how(layer.spectrum),
        }
        for layer in examination.layers
    ]
    n_layers = len(examination.layers)
    curvature = {getattr(layer.spectrum, "curvature", "hessian") for layer in examination.layers}
    return {
        "panels": panels,
        "rows": rows,
        "has_negative": any(layer.spectrum.min_eigenvalue < 0 for layer in examination.layers),
        "has_density": not all(layer.spectrum.exact for layer in examination.layers),
        "has_exact": any(layer.spectrum.exact for layer in examination.layers),
        "matrix": "Gauss-Newton matrix" if curvature == {"ggn"} else "Hessian",
        "remark": ""
        if len(names) == n_layers
        else f"{len(names)} of {n_layers} layers are drawn: those of the largest weight for the "
        "diagnosis, in forward order.",
    }


def _how(spectrum):
    """Say how a spectrum is known."""
    if not math.isfinite(spectrum.trace):
        return "not known"
    return "exact" if spectrum.exact else f"Lanczos, {len(spectrum.nodes)} nodes"


def _context_view(examination):
    """List what a user would know without curvature, in words."""
    context = dict(getattr(examination, "context", {}))
    known = [key for key in _CONTEXT_WORDS if key in context]
    others = [key for key in context if key not in _CONTEXT_WORDS]
    return [
        (_CONTEXT_WORDS.get(key) or _in_words(key), _context_value(key, context))
        for key in known + others
    ]


def _context_value(key, context):
    """Write a context entry with its unit, where it has one."""
    value = context[key]
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return one_line(value)
    if key == "error" and str(context.get("task", "")).endswith("classification"):
        return f"{100 * value:.3g} % of samples" if math.isfinite(value) else "not known"
    if key == "error" and context.get("task") == "regression" and math.isfinite(value):
        return f"{number(value)} of the target's variance"
    return number(value)


def _in_words(key):
    """Write a keyword as words."""
    words = str(key).replace("_", " ")
    return words[:1].upper() + words[1:]


def _setting(value):
    """Write a setting; None stands for the default."""
    if value is None:
        return "default"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return one_line(value)
