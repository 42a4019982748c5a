"""Reports of networks that never were, with real spectra."""

from dataclasses import replace

import numpy as np
import pytest

from hessdiag.diagnosis import (
    DiagnosisReport,
    Evidence,
    GainEstimate,
    LayerFinding,
    Recommendation,
)
from hessdiag.examination import Examination, LayerExamination
from hessdiag.spectra import Spectrum

PROBABILITIES = {
    "underparameterized": {"overfitting": 0.02, "underparameterized": 0.91, "well-fit": 0.07},
    "well-fit": {"overfitting": 0.21, "underparameterized": 0.37, "well-fit": 0.42},
    "overfitting": {"overfitting": 0.883, "underparameterized": 0.004, "well-fit": 0.113},
}

ADVICE = {
    "underparameterized": (
        "widen",
        "Widen the hidden layers, hidden_0 first: multiply their width by four and train again. "
        "hidden_0 has almost no spare capacity.",
    ),
    "well-fit": (
        "keep",
        "Leave it alone: neither widening nor constraining should gain much.",
    ),
    "overfitting": (
        "constrain",
        "Constrain it: add weight decay (tenfold, or AdamW's 0.1 to 1 from none), stop earlier, or "
        "narrow hidden_1. Leave-one-out puts its loss on new data 31 % of the loss of a "
        "constant guess above its training loss.",
    ),
}

WORDS = [
    ("effective_dimension_fraction_1.0", "share of the capacity in use, medium regularization"),
    ("takeuchi_1.0", "how far training loss flatters the net (log10), medium regularization"),
    ("log_trace_weight", "total sensitivity to relative weight changes (log10)"),
]


def make_evidence(rng):
    pieces = []
    for place, (measure, words) in enumerate(WORDS):
        low, width = rng.normal(), rng.uniform(0.2, 1.0)
        value = low + width * rng.uniform(-1.5, 2.5)
        pieces.append(Evidence(measure, words, value, low, low + width, 0.6 / (place + 1)))
    return tuple(pieces)


def make_spectrum(rng, n_params, negative=0, exact=True):
    values = np.exp(rng.normal(-4, 2.5, max(1, min(n_params // 2, 400))))
    values[:negative] *= -0.1
    if exact:
        return Spectrum.from_eigenvalues(values, n_params=n_params)
    nodes = np.sort(np.append(values[:20], 0.0))
    weights = rng.dirichlet(np.where(nodes == 0, 5.0, 0.01))
    return Spectrum(n_params, False, nodes, weights, float(n_params * nodes @ weights))


def make_report(name="net", diagnosis="overfitting", n_layers=3, seed=0, notes=(), exact=True):
    rng = np.random.default_rng(seed)
    findings, layers = [], []
    for index in range(n_layers):
        layer = "head" if index == n_layers - 1 else f"hidden_{index}"
        n_params = int(rng.integers(30, 5000))
        weight = float(rng.normal(0.6, 0.75))
        weight += float(np.copysign(0.1, weight))
        findings.append(LayerFinding(layer, "Linear", n_params, weight, make_evidence(rng)))
        spectrum = make_spectrum(rng, n_params, negative=8 * index, exact=exact or index)
        layers.append(LayerExamination(layer, "Linear", n_params, 8, spectrum, spectrum, {}))
    action, text = ADVICE[diagnosis]
    examination = Examination(
        name=name,
        digest="0" * 32,
        layers=tuple(layers),
        network=layers[-1],
        context={
            "n_samples": 683,
            "n_samples_examined": 500,
            "n_inputs": 9,
            "n_outputs": 2,
            "n_params": sum(layer.n_params for layer in layers),
            "n_layers": n_layers,
            "loss": 0.0412,
            "error": 0.0131,
            "null_loss": 0.647,
            "task": "classification",
            "criterion": "CrossEntropyLoss",
        },
        settings={"curvature": "hessian", "method": "auto", "max_samples": None, "n_probes": 3},
    )
    return DiagnosisReport(
        name=name,
        diagnosis=diagnosis,
        probabilities=PROBABILITIES[diagnosis],
        layers=tuple(findings),
        evidence=make_evidence(rng),
        recommendation=Recommendation(action, ("hidden_0",), text),
        notes=tuple(notes),
        examination=examination,
    )


def with_gains(report, undecided=False):
    """The same report of a diagnoser that knows gains."""
    return replace(
        report,
        gain_widening=GainEstimate(-0.125, -0.4, 0.021, 0.9),
        gain_constraining=GainEstimate(0.314, 0.001, 2.5, 0.9),
        undecided=undecided,
    )


@pytest.fixture(scope="session")
def report_with_gains():
    return with_gains


@pytest.fixture(scope="session")
def report_factory():
    return make_report


@pytest.fixture(scope="session")
def reports():
    note = (
        "12% of the measures lie outside everything that the reference networks showed (among "
        "them: signal to noise of the gradient (log10)). Take the diagnosis with care."
    )
    return [
        make_report("too small", "underparameterized", 2, seed=1),
        make_report("sound", "well-fit", 3, seed=2),
        with_gains(
            make_report("too big, on noisy labels", "overfitting", 5, 3, [note], exact=False)
        ),
    ]
