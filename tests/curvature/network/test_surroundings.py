"""Threads that examine at once: results and switches are as if they had come one by one."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

import hessdiag as hd
from hessdiag.testing import make_case, state_changes, surroundings_state


def test_threads_get_what_they_would_get_alone():
    cases = [make_case(n_samples=20, width=3, random_state=seed) for seed in range(4)]

    def traces(case):
        found = hd.layer_traces(case.net, case.X, case.y, method="hutchinson", n_probes=3)
        return [trace.trace for trace in found.values()]

    alone = [traces(case) for case in cases]
    before = surroundings_state(numpy_generator=False)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            np.testing.assert_array_equal(list(threads.map(traces, cases)), alone)
    assert state_changes(before, surroundings_state(numpy_generator=False)) == []
    assert torch.backends.mha.get_fastpath_enabled() == fast_path
