"""Work in a process of its own, watched, and cut where it goes beyond its limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _measure import high_water

__all__ = ["run_apart"]

WORK = Path(__file__).with_name("_real_work.py")
# Seconds between two looks.
PAUSE = 0.1
# Nothing may be fetched, and threads of numpy's library are counted at its start.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_apart(task, limit, most_memory):
    """Do a task in another process.

    Parameters
    ----------
    task : dict
        As in `_real_work.do`.
    limit : float
        Seconds for training, and again for the work; then the process is ended.
    most_memory : float
        GB that the process may take; then it is ended.

    Returns
    -------
    dict
        What `_real_work.do` found, and ``seconds_process``; where the process was ended, what was
        known when the work began, and ``cut``, which says why.
    """
    environment = os.environ | OFFLINE | dict.fromkeys(THREADS, str(task["threads"]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
        start = time.perf_counter()
        with (folder / "log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, str(WORK), str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
            try:
                cut, peak = _watch(process, folder / "ready.json", limit, most_memory)
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
        seconds = time.perf_counter() - start
        found = _read(folder / "ready.json") | _read(folder / "done.json")
        if not (folder / "done.json").exists():
            found["peak_gb"] = peak
            if cut is None:
                cut = f"ended with code {process.returncode}"
                found["log"] = (folder / "log").read_text(encoding="utf-8")[-2000:]
            found["cut"] = cut
    return found | {"seconds_process": seconds}


def _watch(process, ready, limit, most_memory):
    """Wait for a process; return why it is to be ended (None where it ends), and GB it took."""
    start, begun, peak = time.perf_counter(), False, 0.0
    while process.poll() is None:
        peak = max(peak, high_water(process.pid) / 1e9)
        if not begun and ready.exists():
            start, begun = time.perf_counter(), True
        if time.perf_counter() - start > limit:
            return f"cut after {limit:g} s" + ("" if begun else " of training"), peak
        if peak > most_memory:
            return f"cut at {most_memory:g} GB", peak
        time.sleep(PAUSE)
    return None, peak


def _read(path):
    """Read what a process left; nothing where it left none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
