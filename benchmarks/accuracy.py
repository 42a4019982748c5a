"""Side by side: seconds until trace, largest eigenvalue and density are right to a given error.

    pip install -e . -r benchmarks/requirements.txt
    python benchmarks/accuracy.py --json benchmarks/accuracy.json

Errors are root mean squares over seeds, and every layer must keep them. Each tool has the least
effort that does: peers one of their own for each layer, hessdiag one for all layers, as it is
called once. What is not asked for (`--networks`) stays in the file.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import warnings
from pathlib import Path

from _compare import pick_layers
from _measure import commit, limit_threads, machine, seconds_of
from _networks import NETWORKS, layer_names, make_workload
from _report import kept_parts, write
from _spectral_errors import N_PROBES, QUANTITIES, EffortErrors, Errors, Reference
from _table import markdown
from _tools import PEERS, Hessdiag
from layer_spectra import versions
from torch.nn.attention import SDPBackend, sdpa_kernel

RELEASED = [name for name, peer in PEERS.items() if peer.as_released]
# Products that are timed where more are needed; their time is multiplied.
MOST_TIMED = 120
# Products among which the least that do are looked for, of estimators that sketch the matrix.
SKETCH_PRODUCTS = (6, 12, 30, 60, 120, 240)
SKETCH_SEEDS = 4
WORDS = {
    "trace": "trace within {:.0%}",
    "max_eigenvalue": "largest eigenvalue within {:.1%}",
    "density": "density within {:.0%} (Wasserstein distance / mean size of eigenvalues)",
}


def parse(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the report")
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--peers", nargs="*", choices=RELEASED, default=RELEASED)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="tiny networks: does the bench run?")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the bench; print tables, and write the report."""
    options = parse(arguments)
    report = {"networks": {}} | kept_parts(options.json)
    report.pop("growth", None)
    report |= {
        "machine": machine("cpu", options.threads),
        "versions": versions(options.peers),
        "errors": QUANTITIES,
    }
    warnings.filterwarnings("ignore", message="Using backward\\(\\) with create_graph=True")
    with limit_threads(options.threads), sdpa_kernel(SDPBackend.MATH):
        for name in options.networks:
            workload = make_workload(name, "cpu", options.quick)
            found = compare(workload, options.peers, options.repeats)
            report["networks"][name] = found | {"commit": commit()}
            write(options.json, report)
    order = [name for name in NETWORKS if name in report["networks"]]
    report["networks"] = {name: report["networks"][name] for name in order}
    print(tables(report["networks"]))
    return report


def compare(workload, peers, repeats):
    """Find what each quantity takes on one network by every tool."""
    names = layer_names(workload.model)
    groups = pick_layers(len(names), workload.peer_stride)
    chosen = [names[i] for i, _ in groups]
    weights = {names[i]: weight for i, weight in groups}
    reference = Reference.of(workload, chosen)
    entry = {
        "layers": chosen,
        "weights": list(weights.values()),
        "n_layers": len(names),
        "reference_estimated": [n for n, error in reference.density_errors.items() if error],
        "reference_error": max(reference.density_errors.values()),
        "reference_check": reference.check(workload),
        "quantities": {},
    }
    _say(workload.name, f"reference differs from ARPACK by {entry['reference_check']:.1e}")
    errors = EffortErrors(workload, reference)
    tools = {name: PEERS[name](workload) for name in peers}
    for tool in tools.values():
        tool.prepare(chosen)
    for quantity in QUANTITIES:
        if quantity == "trace":
            efforts = {layer: errors.needed_probes(layer) for layer in chosen}
        else:
            efforts = {layer: errors.least(quantity, layer) for layer in chosen}
        found = {"efforts": efforts, "seconds": {}, "ways": {}}
        for name, tool in tools.items():
            if quantity == "trace":
                seconds = _trace_seconds(tool, efforts, reference, weights, repeats)
            else:
                seconds = _peer_seconds(tool, quantity, efforts, weights, repeats)
            found["seconds"][name] = seconds
        ways = _our_ways(workload, reference, errors, quantity, chosen, repeats)
        found["ways"] = ways
        reached = {
            way: row["seconds"] for way, row in ways.items() if row["error"] <= QUANTITIES[quantity]
        }
        found["way"] = min(reached, key=reached.get) if reached else None
        found["seconds"]["hessdiag"] = reached[found["way"]] if reached else None
        entry["quantities"][quantity] = found
        _say(workload.name, f"{quantity}: {found['seconds']}, {found['way']}")
    return entry


def _peer_seconds(tool, quantity, efforts, weights, repeats):
    """Add up a peer's seconds over layers; None where its error is never small enough."""
    if None in efforts.values():
        return None
    total = 0.0
    for layer, (n_probes, n_steps) in efforts.items():
        n_timed = min(n_probes, max(1, MOST_TIMED // n_steps))
        n_steps = min(n_steps, sum(p.numel() for p in tool.parameters(layer)))

        def work(layer=layer, n_timed=n_timed, n_steps=n_steps):
            tool.quadrature(layer, n_timed, n_steps, 0)

        work()
        seconds = statistics.median(seconds_of(work) for _ in range(repeats))
        total += weights[layer] * seconds * n_probes / n_timed
    return total


def _trace_seconds(tool, needed, reference, weights, repeats):
    """Add up, over layers, a peer's seconds by whichever of its estimators is fastest there.

    Of random signs, as many products as their spread asks for. The others have the least of
    `SKETCH_PRODUCTS` whose error is small enough, over some seeds.
    """
    total = 0.0
    for layer, n_products in needed.items():
        # As many products as parameters give all of the diagonal.
        size = sum(p.numel() for p in tool.parameters(layer))
        n_products = min(n_products, size)
        n_timed = min(n_products, MOST_TIMED, size - 1)
        plain, *others = tool.trace_methods

        def signs(layer=layer, n_timed=n_timed, plain=plain):
            tool.trace(layer, n_timed, 0, plain)

        signs()
        best = statistics.median(seconds_of(signs) for _ in range(repeats)) * n_products / n_timed
        true = reference.spectra[layer].trace
        for method in others:
            for n_sketch in SKETCH_PRODUCTS:
                if n_sketch >= n_products:
                    break
                found, seconds = [], []
                for seed in range(SKETCH_SEEDS):

                    def sketch(
                        seed=seed, n_sketch=n_sketch, method=method, layer=layer, found=found
                    ):
                        found.append(tool.trace(layer, n_sketch, seed, method))

                    seconds.append(seconds_of(sketch))
                    if min(seconds) > best:
                        break
                if min(seconds) > best:
                    break
                errors = [(value - true) / true for value in found]
                if math.sqrt(statistics.fmean(e**2 for e in errors)) <= QUANTITIES["trace"]:
                    best = min(best, statistics.median(seconds))
                    break
        total += weights[layer] * best
    return total


def _our_ways(workload, reference, errors, quantity, chosen, repeats):
    """Time the ways that hessdiag has, over all layers; errors are those of the worst layer."""
    tool = Hessdiag(workload)
    settings = {}
    if quantity == "trace":
        needed = max(2, *(errors.needed_probes(layer) for layer in chosen))
        settings["traces"] = (tool.traces, {"n_probes": needed, "tolerance": None})
        settings["traces, until sure"] = (
            tool.traces,
            {"n_probes": max(needed, 20), "tolerance": QUANTITIES["trace"]},
        )
    else:
        grid = [
            (n_probes * n_steps, n_probes, n_steps)
            for n_steps in errors.runs
            for n_probes in N_PROBES
            if all(
                errors.error(quantity, layer, n_probes, n_steps) <= QUANTITIES[quantity]
                for layer in chosen
            )
        ]
        if grid:
            _, n_probes, n_steps = min(grid)
            settings[f"lanczos, {n_probes} x {n_steps}"] = (
                tool.spectra,
                {"method": "lanczos", "n_probes": n_probes, "n_lanczos_steps": n_steps},
            )
        settings["auto"] = (tool.spectra, {"method": "auto"})
    if len(tool.exact_names()) == len(layer_names(workload.model)):
        settings["exact"] = (tool.spectra, {"method": "exact"})
    ways = {}
    for way, (call, keywords) in settings.items():
        found = {}

        def work(call=call, keywords=keywords, found=found):
            found.update(call(**keywords))

        seconds = [seconds_of(work) for _ in range(repeats + 1)][1:]
        error = max(Errors.of(quantity, found[layer], reference.spectra[layer]) for layer in chosen)
        if way.startswith("lanczos"):
            # Of one run; what the effort is worth on average was found before.
            _, n_probes, n_steps = min(grid)
            error = max(errors.error(quantity, layer, n_probes, n_steps) for layer in chosen)
        elif way == "traces":
            error = min(error, QUANTITIES["trace"]) if _has_random_part(found) else error
        ways[way] = {"seconds": statistics.median(seconds), "error": error}
    return ways


def _has_random_part(traces):
    """Say whether traces rest on probes, whose number was chosen by their spread."""
    return any(trace.n_probes for trace in traces.values())


def tables(networks):
    """Return a table for each quantity."""
    parts = []
    for quantity, bound in QUANTITIES.items():
        peers = [p for p in RELEASED if any(_seconds(e, quantity, p) for e in networks.values())]
        rows = [["network", *[f"{p}, s" for p in peers], "hessdiag, s", "fastest peer / hessdiag"]]
        rows[0] += ["way", "peers' products, median layer"]
        for name, entry in networks.items():
            found = entry["quantities"][quantity]
            ours = found["seconds"]["hessdiag"]
            theirs = [s for p in peers if (s := found["seconds"].get(p)) is not None]
            efforts = [effort for effort in found["efforts"].values() if effort is not None]
            products = [math.prod(effort) if quantity != "trace" else effort for effort in efforts]
            rows.append(
                [
                    name,
                    *[_number(found["seconds"].get(p)) for p in peers],
                    _number(ours),
                    _number(min(theirs) / ours if theirs and ours else None),
                    found["way"] or "–",
                    _number(statistics.median(products) if products else None),
                ]
            )
        parts.append(f"Seconds to {WORDS[quantity].format(bound)}\n\n{markdown(rows)}")
    return "\n\n".join(parts)


def _seconds(entry, quantity, tool):
    """Read one time off the report."""
    return entry["quantities"][quantity]["seconds"].get(tool)


def _number(value):
    """Write a number, or a dash."""
    return "–" if value is None else format(value, ".3g")


def _say(name, words):
    """Tell what is known so far."""
    print(f"{name}: {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
