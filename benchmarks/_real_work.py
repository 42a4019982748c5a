"""One piece of work in a process of its own: `python _real_work.py FOLDER`.

The folder holds `task.json`. The process leaves `ready.json` there when the net is trained and the
work begins, and `done.json` when it has ended, also where it fails.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

from _measure import high_water, limit_threads
from _networks import small_workload
from _real_networks import make_case
from torch import nn

import hessdiag as hd

__all__ = ["WORK", "do", "prepare_case"]

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}


def explain(case, diagnoser):
    """Return what a report says of time, samples and the network."""
    report = diagnoser.explain(case)
    context = report.examination.context
    return {
        "diagnosis": "undecided" if report.undecided else report.diagnosis,
        "probabilities": report.probabilities,
        "forecast": _finite(context.get("seconds_forecast")),
        "n_samples_examined": context.get("n_samples_examined"),
        "n_outputs": _finite(context.get("n_outputs")),
        "left_out": context.get("left_out"),
        "statistics_missing": context.get("statistics_missing"),
        "loss": _finite(context.get("loss")),
        "missing_share": _finite(report.missing_share),
        "domain_score": _finite(report.domain_score),
        "notes": list(report.notes),
    }


def spectra(case, diagnoser=None):
    """Return what layers' spectra are, by their defaults."""
    found = hd.layer_spectra(case.net, case.X, case.y, output=case.output)
    return {
        "n_exact": sum(s.exact for s in found.values()),
        "largest_eigenvalues": {name: _finite(s.max_eigenvalue) for name, s in found.items()},
    }


def plan(case, diagnoser=None):
    """Return the forecast of `spectra`."""
    found = hd.plan_spectra(case.net, case.X, case.y, output=case.output)
    ways = [layer.way for layer in found.layers]
    return {
        "forecast": found.seconds,
        "forecast_gb": found.bytes / 1e9,
        "ways": {way: ways.count(way) for way in sorted(set(ways))},
    }


WORK = {"explain": explain, "spectra": spectra, "plan": plan}


def prepare_case(task):
    """Make the case of a task: one of the networks, or an untrained one of given sizes."""
    if "network" in task:
        return make_case(task["network"], task["quick"])
    sizes = dict(task["sizes"])
    workload = small_workload(activation=ACTIVATIONS[task["activation"]], **sizes)
    return hd.NetworkCase.from_module(
        workload.model, workload.X, workload.y, loss=nn.CrossEntropyLoss()
    )


def do(task, ready=lambda found: None):
    """Do a task; return its seconds, memory and results, or the error.

    Parameters
    ----------
    task : dict
        ``work``, ``max_time``, ``threads``, and either ``network`` and ``quick``, or ``sizes`` and
        ``activation``.
    ready : callable
        Called with what is known when the work begins.
    """
    found = {}
    with limit_threads(task["threads"]), warnings.catch_warnings(record=True) as seen:
        # What libraries say at import and in training is theirs.
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        try:
            case = prepare_case(task)
            found["seconds_training"] = time.perf_counter() - start
            found |= _sizes(case)
            diagnoser = None
            if task["work"] == "explain":
                diagnoser = hd.load_reference_diagnoser()
                diagnoser.spectra_.set_params(max_time=task["max_time"])
            found["peak_before_gb"] = high_water() / 1e9
            ready(found)
            warnings.simplefilter("always")
            start = time.perf_counter()
            try:
                result = WORK[task["work"]](case, diagnoser)
            finally:
                found["seconds"] = time.perf_counter() - start
            found |= result
        except Exception as error:
            found["error"] = f"{type(error).__name__}: {error}"
            found["traceback"] = traceback.format_exc()
    found["warnings"] = sorted({f"{w.category.__name__}: {w.message}" for w in seen})
    return found | {"peak_gb": high_water() / 1e9}


def _sizes(case):
    """Return the sizes of a net and its data."""
    parts = list(case.net.module_.parameters())
    return {"n_params": sum(p.numel() for p in parts), "n_samples": len(case.y)}


def _finite(value):
    """Return a number that JSON has; None for any other."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _write(path, found):
    """Write so that whoever waits for the file finds all of it."""
    path.with_suffix(".part").write_text(json.dumps(found), encoding="utf-8")
    os.replace(path.with_suffix(".part"), path)


def main(folder):
    """Do the task of a folder."""
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    found = do(task, lambda known: _write(folder / "ready.json", known))
    _write(folder / "done.json", found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
