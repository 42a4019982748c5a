"""Clocks, memory and the description of the machine."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

__all__ = [
    "commit",
    "high_water",
    "limit_threads",
    "machine",
    "peak_of",
    "quiet_memory",
    "seconds_of",
]


def synchronize():
    """Wait for the accelerator, if there is one in use."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def seconds_of(work):
    """Run `work` once and return its wall-clock time."""
    synchronize()
    start = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - start


@contextlib.contextmanager
def limit_threads(n_threads):
    """Let torch and the BLAS behind numpy and scipy use this many threads."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(n_threads):
            yield
    finally:
        torch.set_num_threads(before)


def quiet_memory():
    """Give freed memory back to the system, so that the next peak is the next work's own."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def peak_of(work, device):
    """Run `work`; return its seconds and how many MiB memory rose above the level before it.

    On CUDA as torch counts it. On Linux by the kernel's high-water mark of resident memory, which
    costs nothing; elsewhere by a thread that looks every 5 ms.
    """
    quiet_memory()
    if str(device).startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        seconds = seconds_of(work)
        return seconds, (torch.cuda.max_memory_allocated() - before) / 2**20
    if _reset_high_water():
        before = high_water()
        seconds = seconds_of(work)
        return seconds, (high_water() - before) / 2**20
    import psutil

    process, stop = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch():
        nonlocal peak
        while not stop.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        seconds = seconds_of(work)
    finally:
        stop.set()
        watcher.join()
    return seconds, (max(peak, process.memory_info().rss) - before) / 2**20


def _reset_high_water():
    """Set the kernel's high-water mark back to what is resident now; say whether that worked."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return abs(high_water() - _of_status("VmRSS")) < 2 * 2**20
    except (OSError, ValueError):
        return False


def high_water(pid="self"):
    """Return the most bytes that a process has held in memory, as far as the kernel tells.

    Of this process also where there is no such file to read.
    """
    try:
        return _of_status("VmHWM", pid)
    except (OSError, ValueError):
        if pid != "self":
            return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _of_status(name, pid="self"):
    """Read a size in bytes from what Linux says of a process."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith(name):
                return 1024 * int(line.split()[1])
    raise ValueError(f"no {name}")


def training_step(workload):
    """Return a function that does one step of training on all samples (a fresh Adam)."""
    model, criterion = workload.model, workload.criterion
    X, y = workload.tensors()

    def step():
        optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
        criterion(model(X), y).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def machine(device, n_threads):
    """Describe the machine: nothing that names it."""
    described = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
        "threads": n_threads,
        "device": str(device),
        "load_at_start": [round(x, 2) for x in os.getloadavg()],
    }
    if str(device).startswith("cuda"):
        described["accelerator"] = torch.cuda.get_device_name()
    return described


def commit():
    """Name the commit that is measured, and say where files differ from it; None outside git."""

    def git(*arguments):
        folder = Path(__file__).parents[1]
        found = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
        return found.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "hessdiag", "*.py")
        return git("rev-parse", "--short=12", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor():
    """Name the model of the processor."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
