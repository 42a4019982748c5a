"""A fitted net as a description with tensors, and back."""

from __future__ import annotations

import inspect

import skorch
import torch
from torch.utils.data import DataLoader

from hessdiag.case_files._values import Builder, import_path, plain_tensor
from hessdiag.curvature.network import module_attributes

# Arguments of nets that say how they are trained, or that are described by themselves.
_LEFT_OUT = {
    "module",
    "criterion",
    "optimizer",
    "iterator_train",
    "iterator_valid",
    "dataset",
    "train_split",
    "callbacks",
    "warm_start",
    "verbose",
    "device",
    "compile",
    "use_caching",
    "torch_load_kwargs",
    "history",
    "classes",
}
_OF_LOADING = ("iterator_valid", "dataset")


def describe_net(net, describer, as_made):
    """Describe a net: classes, arguments, what is frozen.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net.
    describer : Describer
        Collects tensors and arrays.
    as_made : bool
        Whether to describe the module as it is now, rather than by the class that skorch was given.

    Returns
    -------
    description : dict
        JSON.
    """
    description = {"net": import_path("net", type(net))}
    for role in ("module", "criterion"):
        given, arguments = getattr(net, role), net.get_params_for(role)
        made = getattr(net, role + "_", None)
        by_class = isinstance(given, type) and not (as_made and role == "module")
        if by_class or not isinstance(made, torch.nn.Module):
            description[role] = import_path(role, given)
            description[f"{role}_arguments"] = {
                key: describer.value(value, f"{role}__{key}") for key, value in arguments.items()
            }
        else:
            made = getattr(made, "_orig_mod", made)
            description[role] = describer.module(made, role)
            description[f"{role}_arguments"] = {}
    description["frozen"] = [
        _prefix(attribute) + name
        for attribute in module_attributes(net)[0]
        for name, p in getattr(net, attribute).named_parameters()
        if not p.requires_grad
    ]
    tied = _tied_parameters(net)
    if tied:
        description["tied"] = tied
    own = _own_arguments(net)
    if own:
        description["net_arguments"] = {
            key: describer.value(value, key) for key, value in own.items()
        }
    for role, usual in zip(_OF_LOADING, (DataLoader, skorch.dataset.Dataset)):
        given, arguments = getattr(net, role), net.get_params_for(role)
        if given is not usual:
            description[role] = import_path(role, given)
        if arguments:
            description[f"{role}_arguments"] = {
                key: describer.value(value, f"{role}__{key}") for key, value in arguments.items()
            }
    return description


def state_of(net):
    """Collect all parameters and buffers of a net.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net.

    Returns
    -------
    state : dict of str to Tensor
        Those of ``module_`` by the names of its ``state_dict``; those of other modules and of
        criteria after the attribute's name and a colon.

    Raises
    ------
    ValueError
        If a module saves anything but tensors.
    """
    modules, criteria = module_attributes(net)
    state = {}
    for attribute in modules + criteria:
        part = getattr(net, attribute)
        part = getattr(part, "_orig_mod", part)
        if not isinstance(part, torch.nn.Module):
            continue
        prefix = _prefix(attribute)
        found = part.state_dict()
        others = {name: b for name, b in part.named_buffers() if name not in found}
        for name, value in [*found.items(), *((f"buffer:{n}", b) for n, b in others.items())]:
            if not isinstance(value, torch.Tensor):
                raise ValueError(
                    f"Expected tensors in the state of the network, found {name!r} of type "
                    f"{type(value).__name__}. Keep it as a buffer, or as an argument of the class."
                )
            state[prefix + name] = plain_tensor(value)
    return state


def build_net(description, tensors, arrays, import_class):
    """Make a net of its description.

    Parameters
    ----------
    description : dict
        As from `describe_net`.
    tensors : dict of str to Tensor
        As from `state_of`, with those that are arguments.
    arrays : dict of str to ndarray
        Those that are arguments.
    import_class : callable
        Returns the class of a role and an import path.

    Returns
    -------
    net : skorch.NeuralNet
        Initialized, with the parameters of `tensors`.
    """
    builder = Builder(tensors, arrays, import_class)
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and overwritten below
        arguments = {}
        for role in ("module", "criterion"):
            described = description[role]
            is_class = isinstance(described, str)
            arguments[role] = (
                import_class(role, described) if is_class else builder.module(described)
            )
            arguments |= _arguments_for(role, description, builder)
        for key, value in description.get("net_arguments", {}).items():
            if key in _LEFT_OUT or "__" in key or key.startswith("_"):
                raise ValueError(
                    f"Expected arguments of the net's own class, found {key!r}. Write the case "
                    "again with hessdiag.save_case."
                )
            arguments[key] = builder.value(value)
        for role in _OF_LOADING:
            if role in description:
                arguments[role] = import_class(role, description[role])
            arguments |= _arguments_for(role, description, builder)
        net = import_class("net", description["net"])(train_split=None, verbose=0, **arguments)
        net.initialize()
    modules, criteria = module_attributes(net)
    for attribute in modules + criteria:
        part = getattr(net, attribute)
        if isinstance(part, torch.nn.Module):
            _fill(part, _of_one(tensors, _prefix(attribute)))
    for first, *others in description.get("tied", []):
        parameter = _owner(net, first).get_parameter(first.rpartition(":")[2])
        for name in others:
            place, _, key = name.rpartition(":")[2].rpartition(".")
            owner = _owner(net, name).get_submodule(place)
            if not torch.equal(owner.get_parameter(key), parameter):
                raise RuntimeError(f"{first} and {name} are said to be one and differ")
            owner._parameters[key] = parameter
    for name in description["frozen"]:
        _owner(net, name).get_parameter(name.rpartition(":")[2]).requires_grad_(False)
    return net


def _tied_parameters(net):
    """Names of parameters that are one, in groups."""
    groups: dict[int, list[str]] = {}
    for attribute in module_attributes(net)[0]:
        for name, p in getattr(net, attribute).named_parameters(remove_duplicate=False):
            groups.setdefault(id(p), []).append(_prefix(attribute) + name)
    return [names for names in groups.values() if len(names) > 1]


def _owner(net, name):
    """The module of a net that a name in a file belongs to."""
    attribute, colon, _ = name.rpartition(":")
    return getattr(net, attribute if colon else "module_")


def _arguments_for(role, description, builder):
    """Arguments that skorch passes on, by the names that it takes them by."""
    described = description.get(f"{role}_arguments", {})
    return {f"{role}__{key}": builder.value(value) for key, value in described.items()}


def _own_arguments(net):
    """Arguments of a class of the user's that may change what is computed."""
    kind = type(net)
    if kind.__module__.startswith("skorch."):
        return {}
    defaults = {}
    for base in reversed(kind.__mro__[:-1]):
        if "__init__" in vars(base):
            defaults |= {
                name: p.default for name, p in inspect.signature(base.__init__).parameters.items()
            }
    found = net.get_params(deep=False)
    return {
        name: value
        for name, value in found.items()
        if name not in _LEFT_OUT
        and "__" not in name
        and not name.startswith("_")
        and not name.endswith("_")
        and not (name in defaults and _is_default(value, defaults[name]))
    }


def _is_default(value, default):
    """Say whether a value is the one that is taken where none is given."""
    plain = (bool, int, float, str)
    return value is default or (
        type(value) in plain and type(value) is type(default) and value == default
    )


def _prefix(attribute):
    """What the names of a module's tensors begin with in a file."""
    return "" if attribute == "module_" else f"{attribute}:"


def _of_one(tensors, prefix):
    """What belongs to one module, by the names of its own."""
    if prefix:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return {
        key: value for key, value in tensors.items() if ":" not in key or key.startswith("buffer:")
    }


def _fill(module, state):
    """Load parameters and buffers in the precision that they were saved in."""
    named = dict([*module.named_parameters(), *module.named_buffers()])
    for name, tensor in named.items():
        if name in state:
            tensor.data = tensor.data.to(state[name].dtype)
    for key in [key for key in state if key.startswith("buffer:")]:
        owner, _, name = key.removeprefix("buffer:").rpartition(".")
        buffers = module.get_submodule(owner)._buffers
        if name not in buffers:
            raise KeyError(key)
        buffers[name] = state.pop(key)
    module.load_state_dict(state)
