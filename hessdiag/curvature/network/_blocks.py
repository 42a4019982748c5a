"""Which parameters make a layer, and in which order the layers come."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from hessdiag.curvature.network._working_copy import WorkingCopy


@dataclass(frozen=True)
class Block:
    """A group of parameters treated as one layer.

    Parameters
    ----------
    name : str
        Name of the layer.
    kind : str
        Class of its module.
    parameter_names : tuple of str
        Public names of the parameters.
    parameters : tuple of torch.nn.Parameter
        The parameters, in the same order.
    module : torch.nn.Module or None
        The one module that owns them all; None where there is none.
    """

    name: str
    kind: str
    parameter_names: tuple[str, ...]
    parameters: tuple[torch.nn.Parameter, ...]
    module: torch.nn.Module | None

    @property
    def n_params(self) -> int:
        """Count the entries of all parameters."""
        return sum(p.numel() for p in self.parameters)


def select_blocks(
    working_copy: WorkingCopy,
    forward_order: Sequence[str],
    layers: str | Iterable[str] | Mapping[str, Any] | None = None,
) -> list[Block]:
    """Cut the trainable parameters into blocks, in forward order, and freeze all others.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net; parameters outside of the blocks no longer require gradients.
    forward_order : sequence of str
        Names of modules, in the order of their first calls.
    layers : None, str, sequence of str or dict, default=None
        Names or patterns of layers; or a dict of block name to names or patterns of parameters;
        None takes every module that owns trainable parameters.

    Returns
    -------
    list of Block
        The layers; a tied parameter belongs to the first of them.

    Raises
    ------
    ValueError
        If a name or pattern matches nothing, none is given, or a parameter is in two blocks.
    """
    blocks = _default_blocks(working_copy, forward_order)
    if isinstance(layers, dict):
        blocks = _named_blocks(working_copy, layers)
    elif layers is not None:
        if not isinstance(layers, (str, list, tuple, set)):
            raise ValueError(
                f"Expected layers to be None, a name or pattern, a list of these or a dict, found "
                f"{layers!r}. Pass layers=None for all layers."
            )
        patterns = [layers] if isinstance(layers, str) else list(layers)
        if not patterns:
            raise ValueError(
                "Expected at least one layer name or pattern, found an empty list of layers. "
                "Pass layers=None for all layers."
            )
        names = [block.name for block in blocks]
        for pattern in patterns:
            if not any(matches(name, pattern) for name in names):
                raise ValueError(
                    f"Expected layer names or patterns that match, found {pattern!r}, which "
                    f"matches none of the layers with trainable parameters: {', '.join(names)}. "
                    "Use one of these names, or a pattern such as '*'."
                )
        blocks = [b for b in blocks if any(matches(b.name, p) for p in patterns)]
    chosen = {id(p) for block in blocks for p in block.parameters}
    for parameter in working_copy.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    return blocks


def _default_blocks(working_copy, forward_order):
    """Make one block of every module that directly owns trainable parameters."""
    owners = {}
    for name, parameter in working_copy.parameters_by_name().items():
        if parameter.requires_grad and parameter.numel():
            owners.setdefault(owner_of(name), []).append((name, parameter))
    modules = working_copy.modules_by_name()
    called = {name: position for position, name in enumerate(forward_order)}
    registered = {name: position for position, name in enumerate(modules)}

    def position(owner):
        """Sort by the first call; an owner that is never called stands behind its parent."""
        name = owner
        while name not in called and "." in name:
            name = name.rpartition(".")[0]
        return called.get(name, len(called)), registered.get(owner, len(registered))

    blocks, taken = [], set()
    for owner in sorted(owners, key=position):
        members = [(n, p) for n, p in owners[owner] if id(p) not in taken]
        if not members:
            continue
        taken.update(id(p) for _, p in members)
        module = modules.get(owner)
        blocks.append(
            Block(
                name=owner or "module",
                kind=type(module).__name__.removeprefix("Parametrized"),
                parameter_names=tuple(n for n, _ in members),
                parameters=tuple(p for _, p in members),
                module=module,
            )
        )
    return blocks


def _named_blocks(working_copy, layers):
    """Make the blocks that a dict of block name -> parameter names or patterns asks for."""
    available = {
        name: p for name, p in working_copy.parameters_by_name().items() if p.requires_grad
    }
    blocks, taken = [], {}
    modules = working_copy.modules_by_name()
    for block_name, patterns in layers.items():
        patterns = [patterns] if isinstance(patterns, str) else list(patterns)
        members = {}
        if not patterns:
            raise ValueError(
                f"Expected at least one parameter name or pattern in block {block_name!r}, found "
                "none. Name its parameters, or leave the block out."
            )
        for pattern in patterns:
            matched = [n for n in available if matches(n, pattern) or owner_of(n) == pattern]
            if not matched:
                raise ValueError(
                    f"Expected parameter names or patterns that match, found {pattern!r} in "
                    f"block {block_name!r}, which matches none of the trainable parameters: "
                    f"{', '.join(available)}. Use one of these names, or a pattern such as '*'."
                )
            for name in matched:
                parameter = available[name]
                if taken.setdefault(id(parameter), block_name) != block_name:
                    raise ValueError(
                        f"Expected every parameter in at most one block, found {name!r} in "
                        f"{taken[id(parameter)]!r} and {block_name!r}. Remove it from one."
                    )
                if all(p is not parameter for p in members.values()):
                    members[name] = parameter
        owners = {owner_of(n) for n in members}
        module = modules.get(owners.pop()) if len(owners) == 1 else None
        blocks.append(
            Block(
                name=str(block_name),
                kind="Block" if module is None else type(module).__name__,
                parameter_names=tuple(members),
                parameters=tuple(members.values()),
                module=module,
            )
        )
    if not blocks:
        raise ValueError(
            "Expected at least one block of parameters, found an empty dict of layers. "
            "Pass layers=None for all layers."
        )
    return blocks


def owner_of(parameter_name: str) -> str:
    """Name the module that owns a parameter; a parametrization counts as its layer's.

    Parameters
    ----------
    parameter_name : str
        Public name of a parameter.

    Returns
    -------
    str
        Public name of the module; "" for the root.
    """
    head, found, _ = ("." + parameter_name).partition(".parametrizations.")
    if found:
        return head.removeprefix(".")
    return parameter_name.rpartition(".")[0]


def matches(name: str, pattern: str) -> bool:
    """Compare a name with a pattern, a plain name being its own pattern.

    Parameters
    ----------
    name : str
        A name.
    pattern : str
        A name, or a pattern as of a shell.

    Returns
    -------
    bool
        Whether they match.
    """
    return name == pattern or fnmatch.fnmatchcase(name, pattern)
