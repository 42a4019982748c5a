"""Interrupts from the keyboard at a moment that a test chooses."""

from contextlib import contextmanager
from itertools import count

from torch.optim.optimizer import register_optimizer_step_post_hook


@contextmanager
def interrupted_at_step(number):
    """Interrupt after so many steps of whatever optimizers; say afterwards if there were fewer."""
    steps = count(1)

    def at_step(*_):
        if next(steps) == number:
            raise KeyboardInterrupt

    handle = register_optimizer_step_post_hook(at_step)
    try:
        yield
    finally:
        handle.remove()
    assert next(steps) > number, "fewer steps were taken"
