"""What the checks of a net's derivatives and of its working copy cost, beside the spectra.

    python benchmarks/self_check.py --json benchmarks/self_check.json

Spectra are those of `layer_spectra` with its defaults and by Lanczos (3 probes, 30 steps), and
an examination is that of `examine`. Each holds the checks, which are timed by themselves, too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path

import torch
from _networks import NETWORKS, make_workload
from _table import markdown

import hessdiag as hd
from hessdiag.curvature import prepare, with_checked_derivatives
from hessdiag.curvature.network import check_copy, take, untouched_surroundings

# Seconds.
LONG = 20.0

WORK = {
    "spectra": lambda w: hd.layer_spectra(w.net, w.X, w.y),
    "spectra by Lanczos": lambda w: hd.layer_spectra(w.net, w.X, w.y, method="lanczos"),
    "examination": lambda w: hd.examine(w.net, w.X, w.y),
}


def checks_of(workload):
    """Return the work that checks are."""
    problem = prepare(workload.net, workload.X, workload.y)
    few = take(problem.X, slice(0, 2))

    def work():
        check_copy(workload.net, problem.working_copy, few)
        with_checked_derivatives(problem)

    return work


def seconds_of(work, repeats):
    """Return the median of some runs, after one that warms up; of one where that takes long."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
        if times[0] > LONG:
            return times[0]
    return statistics.median(times[1:])


def main(arguments=None):
    """Run the bench; print a table, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the report")
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--work", nargs="*", choices=list(WORK), default=list(WORK))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny networks: does the bench run?")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows, report = [["network", "work", "in all, s", "checks, s", "share"]], {}
    for name in options.networks:
        workload = make_workload(name, "cpu", options.quick)
        with untouched_surroundings():
            checks = seconds_of(checks_of(workload), options.repeats)
        for kind in options.work:
            seconds = seconds_of(partial(WORK[kind], workload), options.repeats)
            report.setdefault(name, {})[kind] = {"seconds": seconds, "checks": checks}
            share = f"{100 * checks / seconds:.1f} %"
            rows.append([name, kind, f"{seconds:.3g}", f"{checks:.3g}", share])
    print(markdown(rows))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


if __name__ == "__main__":
    main()
