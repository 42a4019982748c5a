"""Networks of ordinary size: seconds and memory of `explain` and `layer_spectra`.

    pip install -e . -r benchmarks/requirements-real.txt
    python benchmarks/real_networks.py --growth --json benchmarks/real_networks.json

Networks come from transformers, torchvision and timm, or are written by hand; they are trained for
some seconds on generated data. Each piece of work has a process of its own, and is ended at
`--limit` seconds or `--memory` GB. What is not asked for (`--networks`, `--work`, no `--growth`)
stays in the file.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from _measure import commit, machine
from _real_growth import growth
from _real_networks import NETWORKS, missing_packages
from _real_process import run_apart
from _real_table import growth_tables, network_tables
from _real_work import WORK
from _report import kept_parts, write

import hessdiag as hd

LIBRARIES = ("torch", "torchvision", "transformers", "timm", "numpy", "scipy", "scikit-learn")


def parse(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the report")
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--work", nargs="*", choices=list(WORK), default=list(WORK))
    parser.add_argument("--max-time", type=float, default=60.0, help="budget of `explain`, s")
    parser.add_argument("--limit", type=float, default=300.0, help="s after which work is ended")
    parser.add_argument("--memory", type=float, default=8.0, help="GB at which work is ended")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--growth", action="store_true", help="also see how `explain` grows")
    parser.add_argument("--quick", action="store_true", help="tiny networks: does the bench run?")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the bench; print tables, and write the report."""
    options = parse(arguments)
    report = {"networks": {}, "growth": {}} | kept_parts(options.json)
    report |= {"machine": machine("cpu", options.threads), "versions": versions()}
    settings = {"max_time": options.max_time, "threads": options.threads}
    made_with = settings | {
        "limit": options.limit,
        "quick": options.quick,
        "commit": commit(),
    }

    def run(task):
        found = run_apart(task | settings, options.limit, options.memory)
        return found | {"made_with": made_with}

    for name in options.networks:
        network = NETWORKS[name]
        entry = report["networks"].setdefault(name, {})
        entry |= {"title": network.title, "bounds": asdict(network.bounds)}
        for work in options.work:
            if missing := missing_packages(name):
                entry[work] = {"missing": missing, "cut": "not installed"}
            else:
                entry[work] = run({"network": name, "work": work, "quick": options.quick})
            _say(f"{name}, {work}", entry[work])
            write(options.json, report)
    if options.growth:

        def explain(task):
            found = run(task | {"work": "explain"})
            _say(f"{task['sizes']}, {task['activation']}", found)
            return found

        report["growth"] = growth(explain, options.quick)
        write(options.json, report)
    report["networks"] = {
        name: report["networks"][name] for name in NETWORKS if name in report["networks"]
    }
    write(options.json, report)
    if report["networks"]:
        print(network_tables(report["networks"]))
    if report["growth"]:
        print("\n" + growth_tables(report["growth"]))
    return report


def versions():
    """List the versions of all that takes part."""
    found = {"python": platform.python_version(), "hessdiag": hd.__version__}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _say(what, found):
    """Tell of a piece of work that has ended."""
    ended = found.get("cut") or found.get("error") or f"{found['seconds']:.3g} s"
    memory = f", {found['peak_gb']:.2f} GB" if "peak_gb" in found else ""
    print(f"{what}: {ended}{memory}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
