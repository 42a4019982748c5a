"""Why a copy does not run as its original does, or sends something else: the cause, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from hessdiag.curvature.network._checks import module_attributes, tensors_of
from hessdiag.curvature.network._forward_pass import hooked
from hessdiag.curvature.network._precision import in_precision
from hessdiag.curvature.network._working_copy import WorkingCopy

if TYPE_CHECKING:
    from skorch import NeuralNet

# By how much parameters differ, relative to their size, that were written anew.
WRITTEN = 1e-2


class OwnPrecisionError(ValueError):
    """A forward pass does not compute in the precision that it is to compute in."""


def check_differentiable(working_copy: WorkingCopy, X: Any, whole: bool = True) -> None:
    """Check that a forward pass runs where derivatives are recorded, and that they reach outputs.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net, which runs where none are recorded.
    X : tree of tensors
        Inputs of some samples.
    whole : bool, default=True
        Whether derivatives have to reach what the net sends, and not its layers' outputs alone.

    Raises
    ------
    ValueError
        If it fails, or its outputs have no derivatives.
    OwnPrecisionError
        If autocast is at work within it, which leaves float64 alone as it is.
    """
    try:
        with Autocast(working_copy.device.type) as autocast:
            outputs = working_copy(X)
    except Exception as error:
        remedy = "Let forward do the same whether derivatives are recorded or not."
        if "nference" in str(error):
            remedy = (
                "Write torch.no_grad() instead of torch.inference_mode() where nothing is "
                "trained, and neither where something is."
            )
        raise ValueError(
            "Expected a forward pass that derivatives can be taken of, found that it fails in "
            f"{_failing_module(working_copy, X)} where they are recorded: "
            f"{_first_line(error)}. {remedy}"
        ) from error
    if autocast.dtype is not None and working_copy.dtype != torch.float64:
        raise OwnPrecisionError(_of_autocast(autocast, working_copy))
    sent = [t for t in tensors_of(outputs) if t.is_floating_point() or t.is_complex()]
    if whole and sent and not any(t.requires_grad for t in sent):
        raise ValueError(
            "Expected outputs that have derivatives in the parameters, found that none reaches "
            "them: forward runs under torch.no_grad() or torch.inference_mode(), or detaches what "
            "it sends. Take that out of forward, and write it around calls of the net."
        )


def check_left_alone(net: NeuralNet, working_copy: WorkingCopy, X: Any) -> None:
    """Refuse a net whose forward pass sets its parameters by the batch that it is given.

    Parameters
    ----------
    net : skorch.NeuralNet
        The original.
    working_copy : WorkingCopy
        Its copy, which has run.
    X : tree of tensors
        Inputs of a few samples.

    Raises
    ------
    ValueError
        If parameters of the copy are others now, and others than after these few samples. What
        comes to the same whatever the batch, as where weights are kept within bounds, is none.
    """
    if not _written(net, working_copy):
        return
    fresh = WorkingCopy(net, device=working_copy.device, dtype=working_copy.dtype)
    try:
        with torch.no_grad():
            fresh(X)
    except Exception:
        return
    own = working_copy.parameters_by_name()
    names = [name for name, p in fresh.parameters_by_name().items() if _differ(p, own[name])]
    if names:
        listed = ", ".join(map(repr, names[:3])) + ("..." if names[3:] else "")
        raise ValueError(
            "Expected a net whose parameters are what they are, found that its forward pass sets "
            f"{listed} by the batch that it is given, as layers do that initialize themselves from "
            "data. Run the module on a batch of its training data before, so that this is done."
        )


def explain_failure(
    net: NeuralNet, working_copy: WorkingCopy, X: Any, error: BaseException | None
) -> str | None:
    """Say why a copy does not run in its precision, where its original runs in its own.

    Parameters
    ----------
    net : skorch.NeuralNet
        The original.
    working_copy : WorkingCopy
        Its copy.
    X : tree of tensors
        Inputs.
    error : Exception
        What the copy ended with.

    Returns
    -------
    str or None
        A message; None where it has nothing to do with precisions.
    """
    found: dict[torch.dtype, str] = {}
    for name, parameter in _parameters(net).items():
        if parameter.is_floating_point() or parameter.is_complex():
            found.setdefault(parameter.dtype, name.rpartition(".")[0])
    if "type" not in str(error) or set(found) == {working_copy.dtype}:
        return None
    kinds = " and ".join(f"{dtype} (layer {name!r})" for dtype, name in found.items())
    return (
        f"Expected a net that runs in one precision, here {working_copy.dtype}, found parameters "
        f"in {kinds}, and that a precision of its own is imposed on "
        f"{_failing_module(working_copy, X)}: {_first_line(error)}. Write casts in forward as "
        "x.to(layer.weight.dtype), or bring the module to one precision (module.float()) and leave "
        "casts out."
    )


def under_autocast(working_copy: WorkingCopy, X: Any) -> torch.dtype | None:
    """Find out whether a forward pass switches to another precision by itself.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net.
    X : tree of tensors
        Inputs.

    Returns
    -------
    torch.dtype or None
        The precision of torch.autocast within it; None where there is none.
    """
    with Autocast(working_copy.device.type) as autocast, torch.no_grad():
        working_copy(X)
    return autocast.dtype


def explain_difference(net: NeuralNet, working_copy: WorkingCopy, X: Any, size: float) -> str:
    """Say why a copy's outputs, with derivatives recorded, are not the net's own without.

    Parameters
    ----------
    net : skorch.NeuralNet
        The original.
    working_copy : WorkingCopy
        Its copy.
    X : tree of tensors
        Inputs.
    size : float
        By how much they differ, relative to their size.

    Returns
    -------
    str
        A message.
    """
    with torch.no_grad():
        plain = tensors_of(working_copy(X))
    recorded = tensors_of(working_copy(X))
    if any(_differ(a, b.detach()) for a, b in zip(plain, recorded)):
        return (
            "Expected the same outputs whether derivatives are recorded or not, found ones that "
            f"differ by {size:.2g} of their size: the forward pass looks at torch.is_grad_enabled()"
            ", or at requires_grad. Let it do the same in both, or look at self.training."
        )
    return (
        "Expected a copy of the net to give the net's own outputs in evaluation mode, "
        f"found ones that differ by {size:.2g} of their size. Keep all that the forward pass "
        "needs in parameters, buffers or plain attributes, which copy.deepcopy copies."
    )


class Autocast(TorchFunctionMode):
    """Note the first function that is called under autocast, and its precision.

    Parameters
    ----------
    device : str
        Type of the device that autocast is for.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device, self.name = device, ""
        self.dtype: torch.dtype | None = None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Look at one call, then let it go on."""
        if self.dtype is None and torch.is_autocast_enabled(self.device):
            self.name = getattr(func, "__name__", "")
            self.dtype = torch.get_autocast_dtype(self.device)
        return func(*args, **(kwargs or {}))


def _of_autocast(autocast, working_copy):
    """Say that autocast is at work."""
    return (
        f"Expected a forward pass in one precision, here {working_copy.dtype}, found that it has a "
        f"precision of its own: {autocast.name} runs under torch.autocast in {autocast.dtype}, in "
        "which derivatives have next to no digits. Pass dtype='float64', which autocast leaves as "
        "it is, or write torch.autocast around the steps of training instead."
    )


def _failing_module(working_copy, X):
    """Name the innermost module whose call fails."""
    names = {id(module): name for name, module in working_copy.modules_by_name().items()}
    running: list[Any] = []
    modules = [module for module in working_copy.modules() if module is not working_copy]
    with hooked(
        modules,
        before=lambda module, args, kwargs: running.append(module),
        after=lambda module, args, kwargs, output: running.pop() and None,
    ):
        try:
            working_copy(X)
        except Exception:
            module = running[-1] if running else None
            if module is None:
                return "forward"
            name = names.get(id(module))
            return f"layer {name!r}" if name else f"forward of {type(module).__name__}"
    return "forward"


def _parameters(net):
    """Map the names that users know to a net's parameters."""
    modules, _ = module_attributes(net)
    return {
        name if attribute == "module_" else f"{attribute.removesuffix('_')}.{name}": parameter
        for attribute in modules
        for name, parameter in getattr(net, attribute).named_parameters()
    }


def _written(net, working_copy):
    """Say whether parameters of a copy are no longer those of the original.

    Tables whose rows are shortened when they are looked up do not count.
    """
    own = working_copy.parameters_by_name()
    shortened = {
        id(part.weight) for part in working_copy.modules() if getattr(part, "max_norm", None)
    }
    return any(
        name in own and id(own[name]) not in shortened and _differ(own[name], parameter)
        for name, parameter in _parameters(net).items()
    )


def _differ(first, second):
    """Say whether two tensors differ by more than the rounding of any precision."""
    first, second = first.detach(), second.detach().to(first.device)
    if first.shape != second.shape or not (first.is_floating_point() or first.is_complex()):
        return False
    second = in_precision(second, first.dtype)
    if torch.equal(first, second):
        return False
    gap = (first - second).nan_to_num(0.0, 0.0, 0.0).double().norm()
    return bool(gap > WRITTEN * (1e-30 + second.nan_to_num(0.0, 0.0, 0.0).double().norm()))


def _first_line(error):
    """Say what an error says, in one sentence."""
    lines = str(error).splitlines()
    if not lines:
        return type(error).__name__
    return f"{type(error).__name__}: {lines[0].partition('. ')[0].rstrip('.')}"
