"""The same work by every tool on one network: times, memory, agreement, exact spectra."""

from __future__ import annotations

import statistics
import sys
import traceback

from _measure import peak_of, seconds_of, training_step
from _networks import layer_names
from _tools import PEERS, Hessdiag

from hessdiag.testing import AllocatedBytes

__all__ = ["compare"]

# What a bounded run may take, in training steps.
STEPS_ALLOWED = 3


def compare(workload, peers, repeats, device, stride=None):
    """Run all tools on one network and return its entry of the report."""
    run = _Comparison(workload, peers, device, stride)
    run.warm_up()
    n_repeats = min(repeats, workload.max_repeats or repeats)
    # Memory of short work is looked at in a run of its own, as that asks for clean ground before
    # every layer, which costs time; long work does not notice.
    if not run.is_long:
        run.once(0, run.note_peak)
    for repeat in range(n_repeats):
        run.once(repeat, run.note_both if run.is_long else run.note_seconds)
    run.compare_eigenvalues()
    run.exact(n_repeats)
    run.bounded()
    return run.report(n_repeats)


class _Comparison:
    """What is found on one network."""

    def __init__(self, workload, peers, device, stride):
        self.workload, self.device = workload, device
        self.layers = layer_names(workload.model)
        self.groups = pick_layers(len(self.layers), stride or workload.peer_stride)
        self.hessdiag = Hessdiag(workload)
        self.peers = {name: PEERS[name](workload) for name in peers}
        self.settings = {
            "method": "lanczos",
            "n_probes": workload.n_probes,
            "n_lanczos_steps": workload.n_steps,
        }
        names = ["hessdiag", *peers]
        self.seconds = {name: [] for name in names}
        self.peaks = {name: [] for name in names}
        self.lambdas = {name: {} for name in names}
        self.layer_seconds = {name: {} for name in peers}
        self.reasons = {}
        self.agreement = {}
        self.exact_found = {}
        self.bounded_found = {}

    def attempt(self, name, work):
        """Run `work`; where a tool cannot, note why and go on without it."""
        if name in self.reasons:
            return None
        try:
            return work()
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.reasons[name] = f"{type(error).__name__}: {error}"
            return None

    def warm_up(self):
        """Let every tool do a little of its work, and choose its ways, off the clock."""
        step = training_step(self.workload)
        step()
        little = {**self.settings, "n_lanczos_steps": 2, "n_probes": 1}
        self.attempt("hessdiag", lambda: self.hessdiag.spectra(**little))
        for name, peer in self.peers.items():
            timed = [self.layers[i] for i, _ in self.groups]
            self.attempt(name, lambda p=peer, t=timed: p.prepare(t))
            self.attempt(name, lambda p=peer, t=timed: p.max_eigenvalue(t[0], 1, 2))
        del step
        step = training_step(self.workload)
        # What is resident varies by a third; the peak is the most that was seen.
        steps = [peak_of(step, self.device) for _ in range(3)]
        self.step_seconds = min(seconds for seconds, _ in steps)
        self.step_peak = max(peak for _, peak in steps)

    @property
    def is_long(self):
        """Say whether the work takes minutes, so that peers are timed on some layers only."""
        return len(self.groups) < len(self.layers)

    def note_seconds(self, work):
        """Run `work` and return its seconds alone."""
        return seconds_of(work), None

    def note_peak(self, work):
        """Run `work` and return its peak of memory alone."""
        return None, peak_of(work, self.device)[1]

    def note_both(self, work):
        """Run `work` and return its seconds and its peak of memory."""
        return peak_of(work, self.device)

    def once(self, repeat, note):
        """Run every tool once, in turn, and take down what `note` returns."""
        self.attempt("hessdiag", lambda: self._run_hessdiag(note))
        for name, peer in self.peers.items():
            self.attempt(name, lambda n=name, p=peer: self._run_peer(n, p, repeat, note))

    def _run_hessdiag(self, note):
        found = {}
        seconds, peak = note(lambda: found.update(self.hessdiag.spectra(**self.settings)))
        self._take_down("hessdiag", [1], [seconds], [peak])
        self.lambdas["hessdiag"] = {name: s.max_eigenvalue for name, s in found.items()}

    def _run_peer(self, name, peer, repeat, note):
        n_probes, n_steps = self.workload.n_probes, self.workload.n_steps
        found, pairs = self.lambdas[name], []
        for i, _ in self.groups:
            layer = self.layers[i]

            def work(layer=layer):
                found[layer] = peer.max_eigenvalue(layer, n_probes, n_steps, repeat)

            pairs.append(note(work))
            if pairs[-1][0] is not None:
                self.layer_seconds[name].setdefault(layer, []).append(pairs[-1][0])
        seconds, peaks = zip(*pairs)
        self._take_down(name, [weight for _, weight in self.groups], seconds, peaks)

    def _take_down(self, name, weights, seconds, peaks):
        """Keep the weighted sum of seconds and the largest peak, where they were noted."""
        if seconds[0] is not None:
            self.seconds[name].append(sum(w * s for w, s in zip(weights, seconds)))
            print(f"  {name}: {self.seconds[name][-1]:.3g} s", file=sys.stderr, flush=True)
        if peaks[0] is not None:
            self.peaks[name].append(max(peaks))

    def fastest_peer(self, mended=False):
        """Name the peer with the smallest median time; None where none ran.

        Those that had to be mended to run at all count only if asked for, or if there is no other.
        """
        ran = {n: _median(self.seconds[n]) for n in self.peers if n not in self.reasons}
        ran = {n: seconds for n, seconds in ran.items() if seconds is not None}
        released = {n: seconds for n, seconds in ran.items() if PEERS[n].as_released}
        medians = ran if mended or not released else released
        return min(medians, key=medians.get) if medians else None

    def compare_eigenvalues(self):
        """Compare largest eigenvalues layer by layer; run longer first where they need it."""
        if "hessdiag" in self.reasons:
            return
        ours, theirs = self.lambdas["hessdiag"], {n: self.lambdas[n] for n in self.peers}
        if self.workload.agreement is not None:
            n_steps, n_layers = self.workload.agreement
            step = max(1, len(self.layers) // n_layers)
            chosen, name = self.layers[step // 2 :: step], self.fastest_peer()
            if name is None:
                return
            settings = {**self.settings, "n_lanczos_steps": n_steps, "layers": chosen}
            spectra = self.attempt("agreement", lambda: self.hessdiag.spectra(**settings))
            if spectra is None:
                return
            ours = {layer: spectrum.max_eigenvalue for layer, spectrum in spectra.items()}
            peer, n_probes = self.peers[name], self.workload.n_probes
            theirs = {name: {l_: peer.max_eigenvalue(l_, n_probes, n_steps) for l_ in chosen}}
        for name, found in theirs.items():
            for layer, value in found.items():
                if layer in ours and value:
                    gap = abs(ours[layer] - value) / abs(value)
                    self.agreement.setdefault(name, {})[layer] = gap

    def exact(self, n_repeats):
        """Time the exact spectra that hessdiag gives, and the fastest peer on the same samples."""
        n_samples = self.workload.exact_samples
        tool = Hessdiag(self.workload, n_samples)
        names = self.attempt("exact", tool.exact_names)
        found = {"seconds": None, "layers": len(names or []), "n_layers": len(self.layers)}
        found["n_samples"] = n_samples or len(self.workload.X)
        self.exact_found = found
        if not names:
            return

        def work():
            return seconds_of(lambda: tool.spectra(method="exact", layers=names))

        # Long work is not repeated here: what is warm from before is warm enough.
        n_runs = 1 if self.is_long else n_repeats + 1
        times = [self.attempt("exact", work) for _ in range(n_runs)][-n_repeats:]
        if "exact" not in self.reasons:
            found["seconds"] = _median(times)
            print(f"  exact: {found['seconds']:.3g} s", file=sys.stderr, flush=True)
        name = self.fastest_peer()
        if name is not None and n_samples is not None:
            peer, workload = PEERS[name](self.workload, n_samples), self.workload
            peer.prepare(self.layers)
            found["peer_seconds"] = sum(
                weight
                * seconds_of(
                    lambda i=i: peer.max_eigenvalue(
                        self.layers[i], workload.n_probes, workload.n_steps
                    )
                )
                for i, weight in self.groups
            )
        elif name is not None:
            found["peer_seconds"] = _median(self.seconds[name])

    def bounded(self):
        """Run the same work once within the memory of a few training steps."""
        allowed = STEPS_ALLOWED * self.step_peak
        settings = {**self.settings, "max_memory": allowed * 2**20}
        found = self.bounded_found = {"max_memory_mib": allowed}

        def work():
            found["stated_mib"] = self.hessdiag.stated_peak(**settings)
            # What libraries allocate at their first use is theirs for good: so counted first.
            with AllocatedBytes() as count:
                self.hessdiag.spectra(**settings)
            found["allocated_mib"] = count.peak / 2**20
            found["seconds"], found["peak_mib"] = peak_of(
                lambda: self.hessdiag.spectra(**settings), self.device
            )

        self.attempt("bounded", work)

    def report(self, n_repeats):
        """Return this network's entry of the report."""
        medians = {
            name: None if name in self.reasons else _median(times)
            for name, times in self.seconds.items()
        }
        ours, ratios = medians["hessdiag"], {}
        for mended in (False, True):
            fastest = self.fastest_peer(mended)
            ratios[mended] = medians[fastest] / ours if fastest is not None and ours else None
        peaks = {
            name: None if name in self.reasons or not found else max(found)
            for name, found in self.peaks.items()
        }
        peaks["training_step"] = self.step_peak
        gaps = [gap for found in self.agreement.values() for gap in found.values()]
        workload = self.workload
        return {
            "seconds": medians,
            "ratio_to_fastest_peer": ratios[False],
            "ratio_with_mended_peers": ratios[True],
            "peak_mib": peaks,
            "max_rel_diff_lambda_max": max(gaps, default=None),
            "exact_seconds": self.exact_found["seconds"],
            "exact_layers": self.exact_found["layers"],
            "bounded": self.bounded_found,
            "details": {
                "fastest_peer": self.fastest_peer(),
                "reasons": self.reasons,
                "repeats": n_repeats,
                "all_seconds": self.seconds,
                "n_samples": len(workload.X),
                "n_layers": len(self.layers),
                "n_params": sum(p.numel() for p in workload.model.parameters()),
                "n_probes": workload.n_probes,
                "n_lanczos_steps": workload.n_steps,
                "training_step_seconds": self.step_seconds,
                "peer_layers_timed": [self.layers[i] for i, _ in self.groups],
                "peer_layer_weights": [weight for _, weight in self.groups],
                "peer_layer_seconds": self.layer_seconds,
                "batched_products": {
                    name: peer.batched
                    for name, peer in self.peers.items()
                    if hasattr(peer, "batched")
                },
                "lambda_max": self.lambdas,
                "rel_diff_lambda_max": self.agreement,
                "agreement": workload.agreement
                and dict(zip(("n_lanczos_steps", "n_layers"), workload.agreement)),
                "exact": self.exact_found,
            },
        }


def pick_layers(n_layers, stride):
    """Pick one layer of every `stride` consecutive ones, with the number that it stands for.

    The place within the group moves on from group to group, so that no period of the
    architecture is met at always the same kind of layer.
    """
    picked = []
    for g, start in enumerate(range(0, n_layers, stride)):
        size = min(stride, n_layers - start)
        picked.append((start + g % size, size))
    return picked


def _median(values):
    """Return the median, or None of nothing."""
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None
