"""Arguments as JSON: plain values as they are, arrays and tensors beside it, modules by class."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.modules.container import ModuleDict, ModuleList, Sequential

from hessdiag.case_files._constructors import constructor_arguments
from hessdiag.case_files._trust import checked, import_class

_PLAIN = (bool, int, float, str, type(None))


class Describer:
    """Turns arguments and modules into JSON; numbers by the thousand are put beside it.

    Attributes
    ----------
    tensors, arrays : dict
        What goes into the files of parameters and data, by the names that the JSON gives them.
    """

    def __init__(self):
        self.tensors, self.arrays = {}, {}
        self._described = {}

    def value(self, value, name):
        """Describe an argument; `name` is what messages call it."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is list:
            return [self.value(item, name) for item in value]
        if kind in (tuple, torch.Size):
            return {"$tuple": [self.value(item, name) for item in value]}
        if kind is dict:
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {key: self.value(item, name) for key, item in value.items()}
            pairs = [[self.value(k, name), self.value(v, name)] for k, v in value.items()]
            return {"$dict": pairs}
        if isinstance(value, np.generic) and value.dtype.kind in "biuf":
            return {"$numpy": [value.dtype.str, value.item()]}
        if isinstance(value, torch.Tensor) and value.layout is torch.strided:
            return {"$tensor": self._put(self.tensors, "argument", plain_tensor(value))}
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return {"$array": self._put(self.arrays, "argument", value)}
        if isinstance(value, type) and issubclass(value, torch.nn.Module):
            return {"$class": import_path("module", value)}
        if isinstance(value, torch.nn.Module):
            return {"$module": self.module(value, name)}
        raise ValueError(
            f"Expected a plain value (number, string, list), an array, a tensor or a module for "
            f"{name}, found {kind.__name__}. Let the class make it from plain arguments."
        )

    def module(self, module, name="module"):
        """Describe a module by its class and what that was called with."""
        if id(module) in self._described:
            return {"again": self._described[id(module)]}
        self._described[id(module)] = len(self._described)
        kind = type(module)
        description = {"class": import_path("module", kind)}
        if kind.__init__ in (Sequential.__init__, ModuleList.__init__, ModuleDict.__init__):
            description["children"] = [
                [key, self.module(child, f"{name}.{key}")] for key, child in module._modules.items()
            ]
            return description
        arguments = constructor_arguments(module, name)
        description["arguments"] = {
            key: self.value(value, f"{key} of {name}") for key, value in arguments.items()
        }
        return description

    def _put(self, where, stem, value):
        """Keep numbers under a name."""
        key = f"{stem}:{len(where)}"
        where[key] = value
        return key


class Builder:
    """Makes of descriptions what they describe.

    Parameters
    ----------
    tensors, arrays : dict
        What stands beside the JSON.
    import_class : callable
        Returns the class of a role and an import path.
    """

    def __init__(self, tensors, arrays, import_class):
        self._tensors, self._arrays, self._import_class = tensors, arrays, import_class
        self._built = []

    def value(self, described):
        """Make an argument."""
        if isinstance(described, list):
            return [self.value(item) for item in described]
        if not isinstance(described, dict):
            return described
        if len(described) == 1:
            ((tag, content),) = described.items()
            make = {
                "$tuple": lambda: tuple(self.value(item) for item in content),
                "$dict": lambda: {self.value(k): self.value(v) for k, v in content},
                "$numpy": lambda: np.dtype(content[0]).type(content[1]),
                "$tensor": lambda: self._tensors[content].clone(),
                "$array": lambda: self._arrays[content],
                "$class": lambda: self._import_class("module", content),
                "$module": lambda: self.module(content),
            }.get(tag)
            if make is not None:
                return make()
        return {key: self.value(item) for key, item in described.items()}

    def module(self, described):
        """Make a module."""
        if "again" in described:
            return self._built[described["again"]]
        kind = self._import_class("module", described["class"])
        place = len(self._built)
        self._built.append(None)
        if "children" in described:
            children = {key: self.module(child) for key, child in described["children"]}
            named = issubclass(kind, (Sequential, ModuleDict))
            made = kind() if named else kind(list(children.values()))
            for key, child in children.items() if named else ():
                made.add_module(key, child)
        else:
            made = kind(**{key: self.value(v) for key, v in described["arguments"].items()})
        self._built[place] = made
        return made


def plain_tensor(tensor):
    """Return a tensor that shares its memory with no other."""
    return tensor.detach().cpu().resolve_conj().resolve_neg().clone().contiguous()


def import_path(role, kind):
    """`package.module:Class` of a class that another process can import."""
    if not isinstance(kind, type) or kind.__module__ == "__main__" or "<" in kind.__qualname__:
        raise ValueError(
            f"Expected an importable class, found {kind!r}. Define the class in a file of its own "
            "(not in a notebook, a script or a function)."
        )
    path = f"{checked(role, kind).__module__}:{kind.__qualname__}"
    try:
        found = import_class(role, path)
    except ValueError:
        found = None
    if found is not kind:
        raise ValueError(
            f"Expected an importable class, found {kind!r}, which is not what its module has by "
            "its name: parametrized, traced and decorated modules are such. Save the network as "
            "it was before, or define its class in a file of its own."
        )
    return path
