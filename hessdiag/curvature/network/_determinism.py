"""Two forward passes must agree; where they do not, the first layer to differ is named."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from hessdiag.curvature.network._checks import tensors_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hessdiag.curvature.network._data import Chunk
    from hessdiag.curvature.network._working_copy import WorkingCopy

# Functions of torch that draw random numbers, those that do so in training alone before others.
_DROPOUT = frozenset(
    ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
)
_DRAWS = _DROPOUT | frozenset(
    ("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal")
    + ("bernoulli", "multinomial", "poisson", "gumbel_softmax", "rrelu", "normal_", "uniform_")
    + ("bernoulli_", "exponential_", "random_", "cauchy_", "geometric_", "log_normal_")
)


def check_deterministic(working_copy: WorkingCopy, chunk: Chunk, outputs: Any) -> None:
    """Run a chunk again and compare with its outputs; name the culprit where they differ.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net.
    chunk : Chunk
        Samples.
    outputs : Tensor, or dict, list or tuple of Tensor
        What the net sent for them before.

    Raises
    ------
    ValueError
        If what it sends now is different; the error names the first layer where it is.
    """
    before = generator_states()
    with torch.no_grad():
        again = working_copy(chunk.X)
    moved = generator_states() != before
    if all(_are_same(a, b) for a, b in zip(tensors_of(outputs), tensors_of(again))):
        if not (moved and draws(lambda: working_copy(chunk.X))):
            return
        raise ValueError(
            "Expected a net that draws no random numbers in evaluation mode, found that its "
            f"forward pass does, though two of them gave the same{_remedy(working_copy, chunk)}"
        )
    raise ValueError(
        "Expected the same outputs from two forward passes in evaluation mode, found different "
        f"ones; the first to differ is {_name_culprit(working_copy, chunk)}"
        f"{_remedy(working_copy, chunk)}"
    )


def draws(run: Callable[[], Any]) -> bool:
    """Say whether some work draws random numbers that no seed of its own fixes.

    Parameters
    ----------
    run : callable
        The work; it is done once, and twice more where a generator has moved.

    Returns
    -------
    bool
        Whether generators move, and to other states from other seeds.
    """
    start = generator_states()
    try:
        with torch.no_grad():
            run()
            if generator_states() == start:
                return False
            ends = []
            for seed in (1, 2):
                torch.manual_seed(seed)
                np.random.seed(seed)  # noqa: NPY002
                random.seed(seed)
                run()
                ends.append(generator_states())
        return ends[0] != ends[1]
    except Exception:
        return False
    finally:
        torch.set_rng_state(torch.tensor(list(start[0]), dtype=torch.uint8))
        np.random.set_state(start[1])  # noqa: NPY002
        random.setstate(start[2])


def generator_states() -> tuple[Any, ...]:
    """Read the states of the generators of torch, numpy and Python, as what can be compared.

    Returns
    -------
    tuple
        Another one once one of them has moved.
    """
    kind, keys, *others = np.random.get_state()  # noqa: NPY002
    numpy_state = (kind, tuple(np.asarray(keys).tolist()), *others)
    return torch.get_rng_state().numpy().tobytes(), numpy_state, random.getstate()


class _Draws(TorchFunctionMode):
    """Collect the functions that draw random numbers."""

    def __init__(self):
        super().__init__()
        self.names = {}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        # Dropout in evaluation mode draws nothing.
        idle = name in _DROPOUT and not (kwargs or {}).get("training", (*args, True, True)[2])
        if name in _DRAWS and not idle:
            self.names[name] = True
        return func(*args, **(kwargs or {}))


def _remedy(working_copy, chunk):
    """Name what draws random numbers, and say what to do."""
    with _Draws() as draws, torch.no_grad():
        working_copy(chunk.X)
    names = list(draws.names)
    if names and not _DROPOUT.issuperset(names):
        listed = ", ".join(name for name in names if name not in _DROPOUT)
        return (
            f". Make it respect module.eval(): random numbers are drawn by {listed}, of which "
            "there should be none where self.training is False. Of a distribution, take the mean."
        )
    if names:
        return ". Make it respect module.eval(), for example by dropout(x, training=self.training)."
    return (
        ". Make it respect module.eval(): draw no random numbers, count no calls and keep nothing "
        "of the last batch where self.training is False, as in dropout(x, training=self.training)."
    )


def _are_same(a, b):
    """Compare two outputs up to rounding of the largest; integers do not count."""
    if not (a.is_floating_point() or a.is_complex()) or a.numel() == 0:
        return True
    a, b = a.detach(), b.detach()
    rounding = 10 * torch.finfo(a.dtype).eps * float(a.abs().nan_to_num(0.0, 0.0).max())
    return torch.allclose(a, b, rtol=1e-6, atol=rounding, equal_nan=True)


def _name_culprit(working_copy, chunk):
    """Find the first module that sends something different from what it sent before."""
    names = {id(m): name for name, m in working_copy.modules_by_name().items()}
    runs = []
    for _ in range(2):
        sent, handles = [], []

        def note(module, args, output, sent=sent):
            copies = [t.clone() for t in tensors_of(output)]
            sent.append((names[id(module)], type(module).__name__, copies))

        for module in working_copy.modules():
            if module is not working_copy:
                handles.append(module.register_forward_hook(note))
        try:
            with torch.no_grad():
                working_copy(chunk.X)
        finally:
            for handle in handles:
                handle.remove()
        runs.append(sent)
    for (name, kind, first), (_, _, second) in zip(*runs):
        if any(not torch.equal(a, b) for a, b in zip(first, second)):
            return f"the output of {kind}" + (f" {name!r}" if name else "")
    return "the net's own infer, outside of its modules"
