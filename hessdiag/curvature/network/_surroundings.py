"""What surrounds a computation: set for it, and put back at the end."""

from __future__ import annotations

import contextlib
import random
import threading
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

# What torch says of its own ways, and of a loss that whoever trained with it has been told before.
_ADVICE = ("There is a performance drop because", "reduction: 'mean' divides the total loss by")


@contextlib.contextmanager
def second_derivatives_named() -> Iterator[None]:
    """Say so where torch has no second derivative of an operation, or is given two precisions.

    Yields
    ------
    None
        While the work is done.

    Raises
    ------
    ValueError
        With what torch says.
    """
    try:
        yield
    except RuntimeError as error:
        said = str(error).splitlines()[0].rstrip(".") if str(error) else ""
        if lacks_second_derivatives(error):
            raise ValueError(
                "Expected a net and a loss whose operations have second derivatives, found that "
                f"torch has none: {said}. Replace the operation, or leave out with layers=[...] "
                "what depends on it."
            ) from error
        if any(words in said for words in _OF_PRECISIONS):
            raise ValueError(
                "Expected a forward pass in one precision, found that it imposes one of its own on "
                f"a part, by torch.autocast or by casts: {said}. Take these out of forward, and "
                "write autocast around the steps of training; or pass dtype='float64', in which "
                "autocast does nothing."
            ) from error
        raise


# What torch says where precisions are mixed.
_OF_PRECISIONS = ("the same dtype", "expected scalar type", "same data type")


def lacks_second_derivatives(error: RuntimeError) -> bool:
    """Say whether an error of torch is that an operation has no second derivative.

    Parameters
    ----------
    error : RuntimeError
        What torch ended with.

    Returns
    -------
    bool
        Whether it says so.
    """
    said = str(error)
    return "is not implemented" in said or "is not differentiable with respect to" in said


# Random states and torch's switches are the process's own: one thread at a time sets them.
_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def untouched_surroundings(device: torch.device | str | None = None) -> Iterator[None]:
    """Compute with autograd on and math attention, and put all random states back at the end.

    Threads wait for each other here, as what is set holds for the whole process.

    Parameters
    ----------
    device : torch.device, str or None, default=None
        Where the work is done.

    Yields
    ------
    None
        The settings hold as long as the context is open.
    """
    with _ONE_AT_A_TIME, _set_surroundings(device):
        try:
            yield
        except SystemExit as error:
            raise ValueError(
                "Expected a net and data whose code goes on, found that it ends the process "
                f"(SystemExit: {error.code}). Take the exit out."
            ) from error


@contextlib.contextmanager
def _set_surroundings(device):
    """Set and put back, for whoever has the lock."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    on_cuda = device is not None and torch.device(device).type == "cuda"
    devices = range(torch.cuda.device_count()) if on_cuda or torch.cuda.is_initialized() else []
    fast_path = torch.backends.mha.get_fastpath_enabled()
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=devices))
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            # What is not finite is looked for, and not left to a switch of the caller's.
            stack.enter_context(np.errstate(all="ignore"))
            stack.enter_context(warnings.catch_warnings())
            for advice in _ADVICE:
                warnings.filterwarnings("ignore", message=advice)
            # Fused attention and cuDNN's recurrent kernels have no second derivative.
            stack.enter_context(sdpa_kernel([SDPBackend.MATH]))
            if devices:
                stack.enter_context(torch.backends.cudnn.flags(enabled=False))
            stack.enter_context(_full_precision())
            torch.backends.mha.set_fastpath_enabled(False)
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


@contextlib.contextmanager
def _full_precision():
    """Multiply matrices in the precision they have: neither in TF32 or bfloat16, nor autocast."""
    settings = _precisions_by_device()
    before = [setting.fp32_precision for setting in settings]
    try:
        named = torch.get_float32_matmul_precision()
    except RuntimeError:  # set by the newer names alone
        named = "highest"
    torch.set_float32_matmul_precision("highest")
    try:
        with contextlib.ExitStack() as stack:
            for device in ("cpu", "cuda"):
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        torch.set_float32_matmul_precision(named)
        for setting, value in zip(settings, before):
            setting.fp32_precision = value


def _precisions_by_device():
    """List the settings of each device's precision; torch before 2.9 has one for all alone."""
    settings = (torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None))
    return [setting for setting in settings if hasattr(setting, "fp32_precision")]
