"""What all reports have in common: their input, their order, and how they put numbers in words."""

from __future__ import annotations

import math

from hessdiag.diagnosis import EVIDENCE_FLOOR
from hessdiag.labels import DELTA

#: In the order in which probabilities are listed: what to widen, what to keep, what to constrain.
DIAGNOSIS_ORDER = ("underparameterized", "well-fit", "overfitting")

ACTIONS = {
    "widen": "Widen",
    "constrain": "Constrain",
    "keep": "Keep",
    "train": "Train",
    "measure": "Measure",
}

WEIGHT_EXPLANATION = (
    "Weight: how strongly a layer, or a measure, speaks for the diagnosis: by how much its log-odds "
    "fall when the measures are set to what is typical of well-fit networks (for a well-fit "
    "network: of the others). 0.7 doubles the odds, 2.3 makes them ten times as high; a negative "
    f"weight speaks against the diagnosis, and what weighs less than {EVIDENCE_FLOOR:g} is not "
    "shown."
)

RANGE_EXPLANATION = (
    "Well-fit: the range of the middle half of the well-fit networks in the reference."
)

GAIN_EXPLANATION = (
    "Expected gain: how far {interventions} should lower the loss on new data, as a share of the "
    "loss of a constant guess; below {least:g} it is not worth it. "
    "{coverage} of measured gains lie in such ranges."
)

#: In the order in which expected gains are listed.
_INTERVENTIONS = {
    "widening": "widening",
    "constraining": "constraining",
    "longer": "training longer",
}

# Two diagnoses whose probabilities are closer than this are called close.
_CLOSE = 0.15


def check_reports(reports):
    """Return the reports as a list, or say what was expected."""
    if hasattr(reports, "diagnosis"):
        raise TypeError(
            "Expected a list of DiagnosisReport, found a single one. Put it in a list: [report]."
        )
    if isinstance(reports, (str, bytes, dict)) or not hasattr(reports, "__iter__"):
        raise TypeError(
            f"Expected a list of DiagnosisReport, found {type(reports).__name__}. "
            "Make reports with FitDiagnoser.explain(case)."
        )
    reports = list(reports)
    if not reports:
        raise ValueError(
            "Expected at least one DiagnosisReport, found an empty list. "
            "Make reports with FitDiagnoser.explain(case)."
        )
    for index, report in enumerate(reports):
        if not (hasattr(report, "diagnosis") and hasattr(report, "layers")):
            raise TypeError(
                f"Expected a list of DiagnosisReport, found {type(report).__name__} at index "
                f"{index}. Make reports with FitDiagnoser.explain(case)."
            )
    return reports


def one_line(text):
    """Put a text on one line, without characters that a terminal or a page could act upon."""
    spaced = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(spaced.split())


def case_names(reports):
    """Name the networks; those without a name are numbered."""
    return [
        (one_line(report.name) if report.name is not None else "") or f"network {place}"
        for place, report in enumerate(reports, start=1)
    ]


def number(value):
    """Write a number with three digits that count."""
    if not isinstance(value, (int, float)) and hasattr(value, "item"):
        value = value.item()
    if not math.isfinite(value):
        return "not known"
    if value == 0:
        return "0"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if 0.001 <= abs(value) < 10_000:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:.2e}"


def percent(share):
    """Write a probability in percent; never rounded to certainty."""
    if not math.isfinite(share):
        return "not known"
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 < share < 1:
        return ">99 %"
    return f"{100 * share:.0f} %"


def log_odds(weight):
    """Write a weight in log-odds, with its sign."""
    if not math.isfinite(weight):
        return "not known"
    return "0.0" if abs(weight) < 0.05 else f"{weight:+.1f}"


def is_shown(layer):
    """Whether a layer's weight is worth a line, or not known."""
    return not abs(layer.weight) < EVIDENCE_FLOOR


def position(evidence):
    """Say where a value lies against the range of well-fit networks."""
    if not all(map(math.isfinite, (evidence.value, evidence.low, evidence.high))):
        return "not comparable"
    if evidence.value > evidence.high:
        return "above"
    return "below" if evidence.value < evidence.low else "within"


def evidence_sentence(evidence):
    """Say a piece of evidence: the measure, its value, and the range of well-fit networks."""
    words, value = one_line(evidence.words), number(evidence.value)
    where = position(evidence)
    if where == "not comparable":
        return f"{words}: {value}"
    span = f"{number(evidence.low)} to {number(evidence.high)}"
    return f"{words}: {value}, {where} the well-fit {span}"


def answer(report):
    """Name what was answered: the diagnosis, or undecided."""
    return one_line(getattr(report, "answer", report.diagnosis))


def verdict(report):
    """Say the answer and its probability."""
    share = percent(float(report.probabilities[report.diagnosis]))
    if answer(report) == report.diagnosis:
        return f"{report.diagnosis} ({share})"
    return f"{answer(report)} (most probable: {report.diagnosis}, {share})"


def known_gains(report):
    """List pairs of intervention and expected gain; empty where none is known."""
    pairs = [(word, getattr(report, f"gain_{name}", None)) for name, word in _INTERVENTIONS.items()]
    return [(word, gain) for word, gain in pairs if gain is not None]


def gain_number(value):
    """Write a gain with two decimals, as many as count."""
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(value, 2) + 0.0:.2f}"


def gain_range(gain):
    """Write the interval of a gain."""
    return f"{gain_number(gain.low)} to {gain_number(gain.high)}"


def explanations(reports):
    """Explain the numbers that the reports show."""
    parts = []
    if any(report.layers for report in reports):
        parts += [WEIGHT_EXPLANATION, RANGE_EXPLANATION]
    gains = [pair for report in reports for pair in known_gains(report)]
    if gains:
        coverage = percent(gains[0][1].coverage)
        words = {word for word, _ in gains}
        said = " or ".join(word for word in _INTERVENTIONS.values() if word in words)
        if len(words) > 2:
            said = said.replace(" or ", ", ", 1)
        parts.append(GAIN_EXPLANATION.format(interventions=said, least=DELTA, coverage=coverage))
    return parts


def ordered_probabilities(report):
    """List pairs of diagnosis and probability in a fixed order; unknown names come last."""
    known = [name for name in DIAGNOSIS_ORDER if name in report.probabilities]
    others = sorted(name for name in report.probabilities if name not in DIAGNOSIS_ORDER)
    return [(name, float(report.probabilities[name])) for name in known + others]


def close_call(report):
    """Say which diagnosis is nearly as probable; empty where none is."""
    others = [(p, name) for name, p in ordered_probabilities(report) if name != report.diagnosis]
    if not others:
        return ""
    share, name = max(others)
    if report.probabilities[report.diagnosis] - share >= _CLOSE:
        return ""
    return f"A close call: {name} has {percent(share)}."


def driving_layers(report, at_most=3):
    """List the layers that speak for the diagnosis, strongest first."""
    speaking = [layer for layer in report.layers if layer.weight >= EVIDENCE_FLOOR]
    return sorted(speaking, key=lambda layer: -layer.weight)[:at_most]


def telling_layers(report, at_most):
    """Name the layers of largest absolute weight, in forward order."""
    order = sorted(
        range(len(report.layers)),
        key=lambda i: -abs(w) if math.isfinite(w := report.layers[i].weight) else 0.0,
    )
    return [report.layers[i].name for i in sorted(order[:at_most])]


def parameters(count):
    """Write a number of parameters; empty where it is not known."""
    return f"{count:,} parameter{'s' * (count != 1)}" if count else ""


def summary(reports):
    """Say how many networks have which diagnosis."""
    counts = {}
    for report in reports:
        counts[answer(report)] = counts.get(answer(report), 0) + 1
    order = [*DIAGNOSIS_ORDER, *sorted(set(counts) - set(DIAGNOSIS_ORDER))]
    parts = [f"{counts[name]} {name}" for name in order if name in counts]
    return f"{len(reports)} network{'s' * (len(reports) != 1)}: " + ", ".join(parts)
