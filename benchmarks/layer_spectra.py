"""Side by side: the spectra of all layers' Hessians by hessdiag and by its peers.

    pip install -e . -r benchmarks/requirements.txt
    python benchmarks/layer_spectra.py --json benchmarks/layer_spectra.json --growth

What is not asked for (`--networks` with some names or none, no `--growth`) stays in the file.

All tools do the same work in one process with the same number of threads, in turn; what is reported
are medians. Peers are used layer by layer on that layer's parameters alone (see `_tools.py`).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
import time
import warnings
from pathlib import Path

from _compare import compare
from _growth import growth
from _measure import limit_threads, machine
from _networks import NETWORKS, make_workload
from _report import kept_parts, write
from _table import growth_table, network_tables
from _tools import PEERS
from torch.nn.attention import SDPBackend, sdpa_kernel


def parse(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the report")
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--repeats", type=int, default=5, help="3 at most for the two large nets")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--stride", type=int, help="time peers on one of this many layers")
    parser.add_argument("--growth", action="store_true", help="also measure how cost grows")
    parser.add_argument("--quick", action="store_true", help="tiny networks: does the bench run?")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the bench; print tables, and write the report."""
    options = parse(arguments)
    report = {
        "networks": {},
        "growth": {},
        "machine": machine(options.device, options.threads),
        "versions": versions(options.peers),
    }
    report |= kept_parts(options.json)
    # PyHessian calls backward(create_graph=True), of which torch warns every time.
    warnings.filterwarnings("ignore", message="Using backward\\(\\) with create_graph=True")
    # Attention in its math form: the fused ones have no second derivative.
    with limit_threads(options.threads), sdpa_kernel(SDPBackend.MATH):
        for name in options.networks:
            start = time.perf_counter()
            workload = make_workload(name, options.device, options.quick)
            report["networks"][name] = compare(
                workload, options.peers, options.repeats, options.device, options.stride
            )
            del workload
            print(f"{name}: {time.perf_counter() - start:.0f} s in all", file=sys.stderr)
            write(options.json, report)
        if options.growth:
            report["growth"] = growth(options.repeats, options.device, options.quick)
            write(options.json, report)
    order = [name for name in NETWORKS if name in report["networks"]]
    report["networks"] = {name: report["networks"][name] for name in order}
    if report["networks"]:
        print(network_tables(report["networks"]))
    if report["growth"]:
        print("\n" + growth_table(report["growth"]))
    return report


def versions(peers):
    """List the versions of all that takes part."""
    names = ["hessdiag", "torch", "numpy", "scipy", "scikit-learn", "skorch"]
    names += [PEERS[peer].distribution for peer in peers]
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


if __name__ == "__main__":
    main()
