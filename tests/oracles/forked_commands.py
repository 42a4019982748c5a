"""Commands as processes of their own without the seconds that imports take.

Reads one JSON object a line: `arguments`, `folder`, `stdout` and `stderr` (paths). For each, forks
a process that works in the folder with these outputs, writes an "x" to standard output, and runs
the command line as a program of its own does; then says its exit code. Its diagnoser is a small
one.
"""

import contextlib
import json
import os
import sys

import torch

import hessdiag as hd
import hessdiag.zoo
from hessdiag.cli import run
from hessdiag.diagnosis import TableClassifier
from hessdiag.testing import make_cases


def small():
    return hd.FitDiagnoser(TableClassifier(5, random_state=0)).fit(*make_cases(6, n_samples=20))


def work(arguments, folder, stdout, stderr):
    os.chdir(folder)
    sys.path[0] = folder
    sys.argv[1:] = arguments
    for path, number in ((os.devnull, 0), (stderr, 2), (stdout, 1)):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
        descriptor = os.open(path, flags)
        os.dup2(descriptor, number)
        os.close(descriptor)
    with contextlib.suppress(OSError):
        os.write(1, b"x")
    run()


if __name__ == "__main__":
    torch.set_num_threads(1)
    diagnoser = small()
    hessdiag.zoo.load_reference_diagnoser = lambda: diagnoser
    # Not the buffer that forked processes would share.
    with open(os.dup(0)) as requests:
        while line := requests.readline():
            if process := os.fork():
                status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                print(status, flush=True)
            else:
                work(**json.loads(line))
