"""Digester: walks through any object by its content, and refuses what it cannot see through."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import logging
import operator
import pathlib
import re
import sys
import types
import uuid
import weakref

import numpy as np
import torch

from hessdiag.digests._code import feed_class, feed_function, holds_only_attributes, name_of
from hessdiag.digests._outside import is_outside
from hessdiag.digests._reads import feed_module_object


class NotDigestibleError(ValueError):
    """Raise where something holds a state that cannot be seen, so that equal is not known.

    See Also
    --------
    hessdiag.cases.NetworkCase.digest : Raises it.

    Examples
    --------
    >>> from hessdiag.digests import NotDigestibleError
    >>> issubclass(NotDigestibleError, ValueError)
    True
    """


_TEXTS = (
    pathlib.PurePath,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    range,
    slice,
    np.dtype,
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
    torch.finfo,
    torch.iinfo,
    types.GenericAlias,
    types.UnionType,
    type(Ellipsis),
    type(NotImplemented),
)
_MODULES_OF_TEXTS = ("typing", "torch._ops")
_BUILT_IN = (
    types.BuiltinFunctionType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    np.ufunc,
)
# Contexts that remember what was before them.
_SWITCHES = (torch.autocast, torch.utils._contextlib._DecoratorContextManager)
_BY_REDUCTION = (operator.itemgetter, operator.attrgetter, operator.methodcaller)

# What is kept on a module for saving and loading alone, or by running and compiling it.
_OF_NO_EFFECT = {
    "training",
    "_compiled_call_impl",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
}
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_FLAGS_OF_HOOKS = (
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
)
# Methods that have been called when a module is there, or that only people read.
_NOT_CALLED = ("__init__", "__repr__", "extra_repr")
# Of a traced module its code says all.
_OF_TRACING = {"_graph", "_code", "meta", "_tracer_cls", "_tracer_extras", "_lineno_map"}


class Digester:
    """Takes in objects one after the other, each by its content.

    Two objects that are the same one, such as tied weights, differ from two equal ones.

    Parameters
    ----------
    seen : dict, default=None
        What another digester has taken in so far.
    """

    def __init__(self, seen=None):
        self._hash = hashlib.blake2b(digest_size=16)
        # The objects themselves are held: an id is one object's as long as that exists.
        self._seen = {} if seen is None else dict(seen)
        self._path = []
        # Modules that were searched for what was put there.
        self.scanned = set()

    def hexdigest(self):
        """Return the digest of all that was taken in."""
        return self._hash.hexdigest()

    def put(self, tag, content=b""):
        """Take in a kind and some bytes or text, so that no two sequences of them look alike."""
        content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        content = memoryview(content).cast("B") if len(content) else b""
        self._hash.update(f"{tag}:{len(content)}:".encode())
        self._hash.update(content)

    def refuse(self, thing):
        """Raise, with the place of what was found."""
        place = ".".join(map(str, self._path)) or "the network"
        raise NotDigestibleError(
            "Expected a network of modules, tensors, functions and plain values, whose content can "
            f"be digested, found an object of type {name_of(type(thing))} in {place}, which may "
            "hold what cannot be seen. Keep plain values there; until then nothing that is found "
            "out about this network is kept for the next time."
        )

    def refuse_reading(self, name):
        """Raise where code reads what is not part of the network, by the name that it has there."""
        place = ".".join(map(str, self._path)) or "the network"
        raise NotDigestibleError(
            "Expected a network whose code reads only what it holds and what its modules define, "
            f"so that its content can be digested, found that {place} reads {name!r}, by which it "
            "can come to depend on files, on the environment or on variables that cannot be seen. "
            "Read that where the network is made, and keep plain values on it; until then nothing "
            "that is found out about this network is kept for the next time."
        )

    def feed_uncalled(self, function, name):
        """Take in a function that examining a network does not call."""
        if id(function) in self._seen:
            self.feed(function, name)
            return
        self._path.append(name)
        self._seen[id(function)] = len(self._seen), function
        feed_function(self, function, is_called=False)
        self._path.pop()

    def feed_class_of(self, thing, not_called):
        """Take in the class of an object that is made already, and functions that nobody calls."""
        kind = type(thing)
        if id(kind) in self._seen:
            self.feed(kind)
            return
        self._seen[id(kind)] = len(self._seen), kind
        feed_class(self, kind, not_called)

    def feed(self, thing, name=None):
        """Take in an object of any kind."""
        if name is not None:
            self._path.append(name)
        kind = type(thing)
        if thing is None or kind in (bool, int, float, complex, str):
            self.put(kind.__name__, thing if kind is str else repr(thing))
        elif kind in (bytes, bytearray):
            self.put(kind.__name__, thing)
        elif kind in (tuple, torch.Size):
            self._feed_all(kind.__name__, thing)
        elif kind.__module__ == "torch._ops" and not _is_of_torch(thing):
            self.refuse(thing)
        elif isinstance(thing, _TEXTS) or kind.__module__ in _MODULES_OF_TEXTS:
            self.put(name_of(kind), repr(thing))
        elif isinstance(thing, np.generic):
            self.put(thing.dtype.str, thing.tobytes())
        elif id(thing) in self._seen:
            self.put("again", str(self._seen[id(thing)][0]))
        else:
            self._seen[id(thing)] = len(self._seen), thing
            self._feed_new(thing)
        if name is not None:
            self._path.pop()

    def _feed_new(self, thing):
        """Take in an object that was not met before."""
        if is_outside(thing):
            self.refuse_reading(getattr(thing, "__name__", type(thing).__name__))
        if isinstance(thing, torch.Tensor):
            self._feed_tensor(thing)
        elif isinstance(thing, np.ndarray):
            self._feed_array(thing)
        elif isinstance(thing, torch.nn.Module):
            self._feed_module(thing)
        elif isinstance(thing, type):
            feed_class(self, thing)
        elif isinstance(thing, types.FunctionType):
            feed_function(self, thing)
        elif isinstance(thing, types.MethodType):
            self._feed_all("method", (thing.__func__, thing.__self__))
        elif isinstance(thing, _BUILT_IN):
            owner = getattr(thing, "__self__", None)
            home = getattr(thing, "__objclass__", None)
            if isinstance(thing, np.ufunc) and not _is_shipped(thing):
                self.refuse(thing)
            self.put("built in", f"{getattr(thing, '__module__', '')}.{thing.__name__}")
            self.feed(None if isinstance(owner, types.ModuleType) else owner)
            self.put("of", "" if home is None else name_of(home))
        elif isinstance(thing, functools.partial):
            self._feed_all("partial", (thing.func, thing.args, thing.keywords, vars(thing)))
        elif isinstance(thing, _BY_REDUCTION):
            self.feed(thing.__reduce__())
        elif isinstance(thing, (staticmethod, classmethod)):
            self._feed_all(type(thing).__name__, (thing.__func__,))
        elif isinstance(thing, property):
            self._feed_all("property", (thing.fget, thing.fset))
        elif isinstance(thing, functools._lru_cache_wrapper):
            self._feed_all("cached", (thing.__wrapped__,))
        elif isinstance(thing, functools.cached_property):
            self._feed_all("cached", (thing.func,))
        else:
            self._feed_container(thing)

    def _feed_container(self, thing):
        """Take in what holds others, or stands for them."""
        kind = type(thing)
        if isinstance(thing, dict):
            self._feed_all("dict", (kind, getattr(thing, "default_factory", None)))
            self.feed_pairs(thing.items())
            self._feed_attributes(thing)
        elif isinstance(thing, (list, tuple, collections.deque)):
            self._feed_all("sequence", (kind, getattr(thing, "maxlen", None), *thing))
            self._feed_attributes(thing)
        elif isinstance(thing, (set, frozenset)):
            self.feed(kind)
            self._feed_unordered(thing)
        elif isinstance(thing, types.MappingProxyType):
            self.put("mappingproxy")
            self.feed_pairs(thing.items())
        elif isinstance(thing, types.SimpleNamespace):
            self.put("namespace")
            self.feed_pairs(sorted(vars(thing).items()))
        elif isinstance(thing, enum.Enum):
            self._feed_all("enum", (kind, thing.name, thing.value))
        elif isinstance(thing, (str, int, float, complex, bytes)):
            base = next(b for b in (str, int, float, complex, bytes) if isinstance(thing, b))
            self._feed_all("value", (kind, base.__repr__(thing)))
            self._feed_attributes(thing)
        elif isinstance(thing, re.Pattern):
            self._feed_all("pattern", (thing.pattern, thing.flags))
        elif isinstance(thing, logging.Logger):
            self.put("logger", thing.name)
        elif isinstance(thing, types.ModuleType):
            feed_module_object(self, thing)
        elif isinstance(thing, weakref.ref):
            self._feed_all("weak", (thing(),))
        elif isinstance(thing, (np.random.Generator, np.random.RandomState)):
            state = thing if isinstance(thing, np.random.RandomState) else thing.bit_generator
            state = state.get_state() if hasattr(state, "get_state") else state.state
            self._feed_all("generator", (kind.__name__, state))
        elif isinstance(thing, torch.Generator):
            self._feed_all("generator", (str(thing.device), thing.get_state()))
        elif holds_only_attributes(kind):
            self.put("object")
            self.feed(kind)
            self._feed_attributes(thing)
        else:
            self.refuse(thing)

    def feed_pairs(self, pairs):
        """Take in keys and values, in the order in which they come."""
        pairs = list(pairs)
        self.put("pairs", str(len(pairs)))
        for key, value in pairs:
            self.feed(key)
            self.feed(value, key)

    def _feed_all(self, tag, things):
        """Take in several objects, in their order."""
        self.put(tag, str(len(things)))
        for index, thing in enumerate(things):
            self.feed(thing, index)

    def _feed_unordered(self, things):
        """Take in objects whose order means nothing, and differs between processes."""
        digests = []
        for thing in things:
            apart = Digester(self._seen)
            apart._path = self._path
            apart.feed(thing)
            digests.append(apart.hexdigest())
        self.put("unordered", " ".join(sorted(digests)))

    def _feed_attributes(self, thing):
        """Take in all attributes of an object, whatever holds them."""
        found = dict(getattr(thing, "__dict__", {}))
        for kind in type(thing).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            for slot in [slots] if isinstance(slots, str) else slots:
                name = slot
                if slot.startswith("__") and not slot.endswith("__"):
                    name = f"_{kind.__name__.lstrip('_')}{slot}"
                if name not in ("__dict__", "__weakref__") and hasattr(thing, name):
                    found[name] = getattr(thing, name)
        if isinstance(thing, _SWITCHES):
            found = {key: value for key, value in found.items() if not key.startswith("prev")}
        self.feed_pairs(sorted(found.items()))

    def _feed_tensor(self, tensor):
        """Take in a tensor: its numbers, and what the user has put on it."""
        kinds = (torch.Tensor, torch.nn.Parameter)
        if type(tensor) not in kinds or tensor.is_meta or tensor.is_quantized or tensor.is_nested:
            self.refuse(tensor)
        self.put("tensor", f"{type(tensor).__name__} {tensor.dtype} {tuple(tensor.shape)}")
        self.put("trained", str(tensor.requires_grad if tensor.is_leaf else None))
        self.put_numbers(tensor)
        hooks = tensor._backward_hooks or {}
        self.feed_pairs(sorted(vars(tensor).items()))
        self._feed_all("hooks", list(hooks.values()))

    def put_numbers(self, tensor):
        """Take in the numbers of a tensor on any device."""
        tensor = tensor.detach()
        if tensor.layout is not torch.strided:
            sparse = tensor.to_sparse_coo().coalesce()
            for part in (sparse.indices(), sparse.values()):
                self.put_numbers(part)
            return
        tensor = tensor.resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        self.put("numbers", tensor.view(torch.uint8).numpy() if tensor.numel() else b"")

    def _feed_array(self, array):
        """Take in an array by its entries."""
        self.put("array", f"{name_of(type(array))} {array.dtype.str} {array.shape}")
        if array.dtype.hasobject:
            self._feed_all("entries", array.ravel().tolist())
        else:
            self.put("numbers", np.ascontiguousarray(array).tobytes())
        if isinstance(array, np.ma.MaskedArray):
            self.put("mask", np.ma.getmaskarray(array).tobytes())

    def _feed_module(self, module):
        """Take in a module: class, settings, parameters, hooks, and all else that it holds."""
        if isinstance(module, torch.jit.ScriptModule):
            self.refuse(module)
        wrapped = module._modules.get("_orig_mod")  # what torch.compile wraps
        if wrapped is not None and type(module).__name__ == "OptimizedModule":
            self.feed(wrapped)
            return
        self.put("nn.Module")
        self.feed_class_of(module, _NOT_CALLED)
        skipped = _OF_NO_EFFECT
        if isinstance(module, torch.fx.GraphModule):
            self.put("traced", module.code)
            skipped = skipped | _OF_TRACING
        attributes = {key: value for key, value in vars(module).items() if key not in skipped}
        self._feed_hooks(attributes)
        self.feed_pairs(sorted(attributes.items()))

    def _feed_hooks(self, attributes):
        """Take in hooks in their order, without the numbers they go by, and take them out."""
        hooks = {name: attributes.pop(name, None) or {} for name in _HOOKS}
        flags = {name: attributes.pop(name, None) or {} for name in _FLAGS_OF_HOOKS}
        for name, found in hooks.items():
            called = [
                (hook, [key in flag for flag in flags.values()]) for key, hook in found.items()
            ]
            self.feed(name)
            self._feed_all("hooks", called)


def _is_shipped(function):
    """Say whether a universal function is one that numpy or scipy brings."""
    places = (sys.modules.get(name) for name in ("numpy", "scipy.special"))
    return any(getattr(place, function.__name__, None) is function for place in places)


def _is_of_torch(operator):
    """Say whether an operator is one that torch brings."""
    name = getattr(operator, "_qualified_op_name", None) or getattr(operator, "_name", "")
    return name.partition("::")[0] in ("aten", "prim", "prims", "quantized", "mkldnn")
