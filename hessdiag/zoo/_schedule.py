"""CosineSchedule: a learning rate that falls to nothing over a run."""

from __future__ import annotations

import math

from skorch.callbacks import Callback


class CosineSchedule(Callback):
    """Let the learning rate fall along half a cosine, from step to step.

    It hangs on the optimizer's own steps, whatever runs them.

    Parameters
    ----------
    n_steps : int
        Steps of the run; the step after the last would have a rate of zero.
    """

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def on_train_begin(self, net, **kwargs):
        """Begin at the full rate."""
        optimizer = net.optimizer_
        rates = [group["lr"] for group in optimizer.param_groups]
        done = 0

        def lower(*_):
            nonlocal done
            done += 1
            share = 0.5 * (1 + math.cos(math.pi * min(done / self.n_steps, 1.0)))
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = share * rate

        self.hook_ = optimizer.register_step_post_hook(lower)

    def on_train_end(self, net, **kwargs):
        """Let go of the optimizer."""
        self.hook_.remove()
        del self.hook_
