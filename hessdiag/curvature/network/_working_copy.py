"""A private copy of a fitted net, on which everything is computed: the net stays as it is."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import torch

from hessdiag.curvature.composed import compose_bags, compose_weight_norms
from hessdiag.curvature.network._checks import module_attributes
from hessdiag.curvature.network._functions import bind_functions, bound_value, containers_of
from hessdiag.curvature.network._precision import bring_module, make_parameters_real

if TYPE_CHECKING:
    from skorch import NeuralNet

# Sides of weights below which nothing is gained by how they lie in memory.
LEAST_TURNED = 64


class Sent(Protocol):
    """One tensor of all that a net sends, as `SentOutput` is one."""

    def pick(self, tree: Any) -> torch.Tensor:
        """Take the tensor out of what the net sends."""

    def around(self, tensor: torch.Tensor) -> Any:
        """Give the loss what it takes: the tensor, where it stands."""


class WorkingCopy(torch.nn.Module):
    """A skorch net's modules and criterion, copied, in eval mode, in one dtype, on one device.

    As a module it maps a batch of inputs to the net's own ``infer``, so that
    ``torch.func.functional_call`` can swap its parameters.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net; it is not changed.
    device : torch.device, str or None, default=None
        Where to compute; None stays where the net is.
    dtype : torch.dtype, {"float32", "float64"} or None, default=None
        Precision; None takes the net's own, but never a half precision.

    Raises
    ------
    ValueError
        If `dtype` is another.
    """

    net: NeuralNet
    device: torch.device
    dtype: torch.dtype
    module_names: list[str]
    criterion_names: list[str]
    containers: list[tuple[Any, Any]]
    originals: dict[int, str]
    sent: Sent | None

    def __init__(
        self,
        net: NeuralNet,
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
    ) -> None:
        super().__init__()
        modules, criteria = module_attributes(net)
        memo: dict[int, Any] = {}
        originals = {}
        for name in modules + criteria:
            original = getattr(net, name)
            originals[name] = getattr(original, "_orig_mod", original)  # what torch.compile wraps
        copies = _copied(originals, memo)
        _check_apart(originals, copies)
        bound: dict[int, Any] = {}
        for name, duplicate in copies.items():
            _uncompile(duplicate)
            if isinstance(duplicate, torch.nn.Module):
                bind_functions(duplicate, memo, bound)
                _drop_backward_hooks(duplicate)
            else:
                copies[name] = bound_value(duplicate, memo, bound)
        first = next(p for name in modules for p in copies[name].parameters() if p.requires_grad)
        self.device = torch.device(first.device if device is None else device)
        self.dtype = _resolve_dtype(dtype, first.dtype)
        for duplicate in copies.values():
            if isinstance(duplicate, torch.nn.Module):
                bring_module(duplicate.eval(), self.dtype, self.device)
                make_parameters_real(duplicate)
                _unscale_gradients(duplicate)
                compose_weight_norms(duplicate)
                compose_bags(duplicate)
                _turn_weights(duplicate)
        twin = object.__new__(type(net))
        twin.__dict__.update(net.__dict__)
        # What hooks fill, and the net's own loss reads, is one.
        twin.__dict__.update({k: bound[id(v)] for k, v in vars(net).items() if id(v) in bound})
        twin.__dict__.update(copies)
        twin.__dict__["device"] = str(self.device)
        twin.__dict__["callbacks_"] = []
        self.__dict__["net"] = twin
        self.module_names = modules
        self.criterion_names = criteria
        for name in modules:
            self.add_module(name, copies[name])
        self.training = False
        self.__dict__["containers"] = [
            (container, container.copy())
            for name in modules
            for container in containers_of(copies[name])
        ]
        self.__dict__["sent"] = None
        self.__dict__["_bound"] = memo, bound
        self.__dict__["originals"] = {
            id(parameter): name
            for original in originals.values()
            if isinstance(original, torch.nn.Module)
            for name, parameter in original.named_parameters()
        }

    def reset(self) -> None:
        """Take out of lists and dicts what passes have left there, as activations.

        So it is not carried into the next pass, and those of a file, which a copy shares with its
        original, are as they were found.
        """
        for container, kept in self.containers:
            container.clear()
            (container.extend if isinstance(container, list) else container.update)(kept)

    def bound(self, function: Any) -> Any:
        """Let a function that is called beside the net reach this copy where it reaches the net.

        Parameters
        ----------
        function : callable
            As a scalar that reads a layer's parameters.

        Returns
        -------
        callable
            The same function of what this copy holds.
        """
        return bound_value(function, *self._bound)

    def straighten(self) -> bool:
        """Let all weights lie in memory as a module's own do.

        Returns
        -------
        bool
            Whether any lay otherwise.
        """
        turned = [p for p in self.parameters() if p.ndim == 2 and not p.data.is_contiguous()]
        for parameter in turned:
            parameter.data = parameter.data.contiguous()
        return bool(turned)

    def send(self, sent: Sent) -> None:
        """Send one tensor of all that the net sends, from now on.

        Parameters
        ----------
        sent : SentOutput
            Which one.
        """
        self.__dict__["sent"] = sent

    def around(self, outputs: Any) -> Any:
        """Give a loss what it takes: all that the net sends, where one tensor was chosen.

        Parameters
        ----------
        outputs : Tensor, or tuple of Tensor
            What this copy sends.

        Returns
        -------
        object
            What the net sends.
        """
        if self.sent is None or not isinstance(outputs, torch.Tensor):
            return outputs
        return self.sent.around(outputs)

    def forward(self, x: Any) -> Any:
        """Infer as the net itself does.

        Parameters
        ----------
        x : Tensor, or dict, list or tuple of Tensor
            Inputs.

        Returns
        -------
        Tensor, or tuple of Tensor
            Outputs.
        """
        self.reset()
        outputs = self.net.infer(x)
        return outputs if self.sent is None else self.sent.pick(outputs)

    def public_name(self, name: str) -> str:
        """Turn the name of a parameter or module in this copy into the one that users know.

        Parameters
        ----------
        name : str
            Name in this copy, such as "module_.0.weight".

        Returns
        -------
        str
            Name in the net's module, such as "0.weight".
        """
        head, _, tail = name.partition(".")
        if head == "module_":
            return tail
        return f"{head.removesuffix('_')}.{tail}" if tail else head.removesuffix("_")

    def parameters_by_name(self) -> dict[str, torch.nn.Parameter]:
        """Map public names to parameters; all names of tied parameters are listed.

        Returns
        -------
        dict of str to torch.nn.Parameter
            Parameters by public name.
        """
        return {
            self.public_name(name): parameter
            for name, parameter in self.named_parameters(remove_duplicate=False)
        }

    def modules_by_name(self) -> dict[str, torch.nn.Module]:
        """Map public names to modules, each once; the root module is called ''.

        Returns
        -------
        dict of str to torch.nn.Module
            Modules by public name.
        """
        return {
            self.public_name(name): module for name, module in self.named_modules() if name != ""
        }

    def root_kind(self) -> str:
        """Name the class of the net's (first) module.

        Returns
        -------
        str
            Name of a class.
        """
        return type(getattr(self, self.module_names[0])).__name__

    def loss(self, outputs: Any, y: Any, X: Any) -> torch.Tensor:
        """Evaluate the net's own loss through skorch.

        Parameters
        ----------
        outputs : Tensor, or tuple of Tensor
            Outputs of the net.
        y : Tensor, or dict, list or tuple of Tensor
            Targets.
        X : Tensor, or dict, list or tuple of Tensor
            Inputs.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        return self.net.get_loss(self.around(outputs), y, X=X, training=False)

    @contextlib.contextmanager
    def criterion_in(self, dtype: torch.dtype) -> Iterator[None]:
        """Hold the criterion's buffers in another dtype for a while.

        Parameters
        ----------
        dtype : torch.dtype
            Precision.

        Yields
        ------
        None
            The precision holds as long as the context is open.
        """
        criteria = [self.net.__dict__[name] for name in self.criterion_names]
        criteria = [c for c in criteria if isinstance(c, torch.nn.Module)]
        for criterion in criteria:
            bring_module(criterion, dtype)
        try:
            yield
        finally:
            for criterion in criteria:
                bring_module(criterion, self.dtype)

    @contextlib.contextmanager
    def held_in(self, dtype: torch.dtype) -> Iterator[None]:
        """Hold modules and criterion in another dtype for a while; numbers come back as they were.

        Parameters
        ----------
        dtype : torch.dtype
            Precision.

        Yields
        ------
        None
            The precision holds as long as the context is open.
        """
        if dtype == self.dtype:
            yield
            return
        modules = [getattr(self, name) for name in self.module_names]
        kept = [(p, p.data) for module in modules for p in module.parameters()]
        parts = [part for module in modules for part in module.modules()]
        buffers = [(part._buffers, dict(part._buffers)) for part in parts]
        try:
            with self.criterion_in(dtype):
                for module in modules:
                    bring_module(module, dtype)
                yield
        finally:
            for module in modules:
                bring_module(module, self.dtype)
            for parameter, data in kept:
                parameter.data = data
            for held, before in buffers:
                held.update(before)


def _resolve_dtype(dtype, found):
    """Choose the dtype to compute in: the net's own, but never a half precision."""
    found = found.to_real()
    if dtype is None:
        return torch.float32 if found in (torch.float16, torch.bfloat16) else found
    resolved = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if resolved not in (torch.float32, torch.float64):
        raise ValueError(
            f"Expected dtype None, 'float32' or 'float64', found {dtype!r}. "
            "Use 'float64' for exact numbers, None to follow the net."
        )
    return resolved


def _uncompile(module):
    """Put back what torch.compile wraps, within a module, and let calls in place be as written."""
    if not isinstance(module, torch.nn.Module):
        return
    for part in list(module.modules()):
        part._compiled_call_impl = None
        for name, child in part._modules.items():
            part._modules[name] = getattr(child, "_orig_mod", child)


def _unscale_gradients(module):
    """Let tables that are looked up have derivatives.

    Gradients that are divided by how often a row occurs, as in training, are those of no function.
    """
    for part in module.modules():
        if isinstance(part, (torch.nn.Embedding, torch.nn.EmbeddingBag)):
            part.scale_grad_by_freq = False


def _turn_weights(module):
    """Let wide linear layers' weights lie column after column: products take less time so.

    The processor's products with both the weights and their transpose gain 4 to 13 %.
    """
    looked_up = {
        id(parameter)
        for part in module.modules()
        if not isinstance(part, torch.nn.Linear)
        for parameter in part.parameters(recurse=False)
    }
    for part in module.modules():
        weight = part._parameters.get("weight") if isinstance(part, torch.nn.Linear) else None
        if weight is None or weight.device.type != "cpu" or id(weight) in looked_up:
            continue
        if min(weight.shape) >= LEAST_TURNED:
            weight.data = weight.data.t().contiguous().t()


def _copied(originals, memo):
    """Copy modules and criteria; of tensors that they keep from a pass, the graph is not copied."""
    plain = torch.Tensor.__deepcopy__

    def without_graph(tensor, memo):
        if tensor.is_leaf:
            return plain(tensor, memo)
        if id(tensor) not in memo:
            memo[id(tensor)] = tensor.detach().clone()
        return memo[id(tensor)]

    torch.Tensor.__deepcopy__ = without_graph
    try:
        return {name: copy.deepcopy(original, memo) for name, original in originals.items()}
    except Exception as error:
        raise ValueError(
            "Expected a net that copy.deepcopy can copy, as all is computed on a copy, found "
            f"{type(error).__name__}: {str(error).partition(chr(10))[0].rstrip('.')}. Keep "
            "locks, files and the like out of its modules, or give them a __deepcopy__ method."
        ) from error
    finally:
        torch.Tensor.__deepcopy__ = plain


def _check_apart(originals, copies):
    """Refuse copies that share modules or parameters with their originals."""
    own = {}
    for original in originals.values():
        if isinstance(original, torch.nn.Module):
            own |= {id(part): name for name, part in original.named_modules()}
            own |= {id(p): name for name, p in original.named_parameters()}
    for duplicate in copies.values():
        if not isinstance(duplicate, torch.nn.Module):
            continue
        for part in (*duplicate.modules(), *duplicate.parameters()):
            if id(part) in own:
                raise ValueError(
                    "Expected a net whose copy is another one, found that copy.deepcopy returns "
                    f"{own[id(part)] or 'the module'!r} itself. Let its __deepcopy__ make a copy, "
                    "so that the net is left as it is."
                )


def _drop_backward_hooks(module):
    """Leave out hooks of backward passes: derivatives are those of the function itself."""
    for part in module.modules():
        part._backward_hooks.clear()
        part._backward_pre_hooks.clear()
