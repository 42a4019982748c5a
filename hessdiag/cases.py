"""What is examined: a fitted skorch net and the data it is examined on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from skorch.utils import is_dataset

from hessdiag.curvature import prepare
from hessdiag.curvature.network import (
    check_data,
    check_net,
    module_attributes,
    untouched_surroundings,
)


@dataclass(frozen=True, eq=False)
class NetworkCase:
    """A fitted skorch net with the data to examine it on.

    A list of cases is what every estimator of this package takes as its ``X``.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted (or initialized and loaded) net: a classifier, binary classifier, regressor, or any
        other skorch net whose loss is one number.
    X : array-like, dict, DataFrame, tensor or Dataset of length n_samples
        Data the net was trained on, as its ``fit`` takes them.
    y : array-like of length n_samples or None
        Targets; None where `X` is a Dataset that yields them.
    name : str, default=None
        How to call this case in tables and reports.
    output : str, int or None, default=None
        Where the net sends several tensors, the name of the one that the loss is taken of, as in
        `hessdiag.spectra.layer_spectra`; None finds it.

    Raises
    ------
    TypeError
        If `net` is not a skorch net.
    sklearn.exceptions.NotFittedError
        If `net` is not fitted; it is also skorch's ``NotInitializedError``.
    ValueError
        If `net` has no trainable parameters, or `X` and `y` are empty or of different length.

    See Also
    --------
    hessdiag.examination.examine : Examines the net of a case.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.cases import NetworkCase
    >>> X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> NetworkCase(net, X, y, name="tiny")
    NetworkCase('tiny', NeuralNetRegressor of Linear, 4 samples)
    """

    net: Any
    X: Any
    y: Any = None
    name: str | None = None
    output: str | int | None = None

    def __post_init__(self):
        """Check what can be checked without running the net."""
        check_net(self.net)
        check_data(self.net, self.X, self.y)

    def __reduce_ex__(self, protocol):
        """Let classes of a script travel to worker processes.

        skorch pickles its modules by themselves, and so names their classes: a class of
        ``__main__`` cannot be found by that name elsewhere. Attribute by attribute, joblib's
        workers get the class itself.
        """
        modules, criteria = module_attributes(self.net)
        parts = [getattr(self.net, name) for name in modules + criteria]
        classes = [type(m) for part in parts if hasattr(part, "modules") for m in part.modules()]
        if not any(kind.__module__ == "__main__" for kind in [type(self.net), *classes]):
            return super().__reduce_ex__(protocol)
        net = type(self.net), dict(vars(self.net))
        return _rebuild_case, (*net, self.X, self.y, self.name, self.output)

    def digest(self) -> str:
        """Return a digest of everything the examination depends on.

        Parameters and buffers, architecture, criterion with its settings, and data count; what
        training or prediction leave behind (history, optimizer, train/eval mode) does not.

        Returns
        -------
        str
            32 hexadecimal digits (BLAKE2b), the same in every process.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from skorch import NeuralNetRegressor
        >>> from hessdiag.cases import NetworkCase
        >>> X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
        >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
        >>> case = NetworkCase(net, X, y)
        >>> before = case.digest()
        >>> _ = net.predict(X)
        >>> case.digest() == before
        True
        """
        digest = hashlib.blake2b(digest_size=16)
        _feed_text(digest, _class_name(self.net))
        modules, criteria = module_attributes(self.net)
        for attribute in modules + criteria:
            part = getattr(self.net, attribute)
            _feed_text(digest, attribute)
            _feed_callable(digest, getattr(part, "_orig_mod", part))
        _feed_data(digest, self.X)
        _feed_data(digest, self.y)
        if self.output is not None:
            _feed_text(digest, f"output={self.output!r}")
        return digest.hexdigest()

    def __repr__(self):
        """Show name, classes and size."""
        modules, _ = module_attributes(self.net)
        name = "" if self.name is None else f"{self.name!r}, "
        try:
            size = f"{len(self.X if self.y is None else self.y)} samples"
        except TypeError:
            size = "a stream of samples"
        module = type(getattr(self.net, modules[0])).__name__
        return f"NetworkCase({name}{type(self.net).__name__} of {module}, {size})"


def _rebuild_case(net_class, state, X, y, name, output=None):
    """Make a case of what `NetworkCase.__reduce_ex__` took apart."""
    net = net_class.__new__(net_class)
    vars(net).update(state)
    return NetworkCase(net, X, y, name, output)


def check_case(
    case: NetworkCase,
    layers: str | Sequence[str] | Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    max_memory: float | None = None,
) -> NetworkCase:
    """Check all that can be checked before long work starts.

    Runs the net forward, twice, on a private copy; the net is left as it was.

    Parameters
    ----------
    case : NetworkCase
        What is to be examined.
    layers : str, list of str, dict or None, default=None
        Layers to examine, as in `hessdiag.spectra.layer_spectra`.
    batch_size : int or None, default=None
        Samples that pass through the net at once, as in `hessdiag.spectra.layer_spectra`.
    max_memory : float or None, default=None
        Bytes to keep within, as in `hessdiag.spectra.layer_spectra`.

    Returns
    -------
    NetworkCase
        The same case.

    Raises
    ------
    TypeError
        If `case` is not a `NetworkCase`.
    ValueError
        If parameters or data are NaN or infinite, a layer pattern matches nothing, the loss is not
        one number or cannot be evaluated on `y`, two forward passes differ, or the net's
        validation iterator shuffles.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.cases import NetworkCase, check_case
    >>> X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> check_case(NetworkCase(net, X, y))
    NetworkCase(NeuralNetRegressor of Linear, 4 samples)
    """
    if not isinstance(case, NetworkCase):
        raise TypeError(
            f"Expected a NetworkCase, found an object of type {type(case).__name__}. "
            "Wrap the net with its data: NetworkCase(net, X, y)."
        )
    with untouched_surroundings(None):
        prepare(
            case.net,
            case.X,
            case.y,
            layers=layers,
            batch_size=batch_size,
            max_memory=max_memory,
            output=case.output,
        )
    return case


def _class_name(instance):
    """Name the class of an object in full."""
    return f"{type(instance).__module__}.{type(instance).__qualname__}"


def _feed_text(digest, text):
    """Add a text; memory addresses in it do not count."""
    digest.update(re.sub(r" at 0x[0-9a-fA-F]+", "", text).encode() + b"\0")


def _feed_callable(digest, part):
    """Add a module or a criterion: class, structure, settings, parameters and buffers."""
    if not isinstance(part, torch.nn.Module):
        name = getattr(part, "__qualname__", None)
        _feed_text(digest, repr(part) if name is None else f"{part.__module__}.{name}")
        return
    _feed_text(digest, _class_name(part))
    _feed_text(digest, repr(part))
    for name, module in part.named_modules():
        _feed_text(digest, f"{name}:{_class_name(module)}")
        for key in sorted(vars(module)):
            value = vars(module)[key]
            if key != "training" and isinstance(value, (bool, int, float, str, tuple, type(None))):
                _feed_text(digest, f"{key}={value!r}")
    for name, tensor in [*part.named_parameters(), *part.named_buffers()]:
        _feed_text(digest, f"{name}:{getattr(tensor, 'requires_grad', False)}")
        _feed_data(digest, tensor)


def _feed_data(digest, data):
    """Add data of any form that skorch takes, by its content."""
    feed = partial(_feed_data, digest)
    if data is None:
        _feed_text(digest, "None")
    elif isinstance(data, torch.Tensor):
        tensor = data.detach().cpu()
        if tensor.layout is not torch.strided:
            tensor = tensor.to_dense()
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        feed(tensor.resolve_conj().numpy())
    elif isinstance(data, dict):
        for key in sorted(data, key=str):
            _feed_text(digest, str(key))
            feed(data[key])
    elif is_dataset(data):
        _feed_text(digest, f"{_class_name(data)}:{len(data)}")
        for index in range(len(data)):
            feed(data[index])
    elif hasattr(data, "tocsr") and hasattr(data, "indptr"):
        _feed_text(digest, f"sparse {data.shape}")
        for part in (data.data, data.indices, data.indptr):
            feed(part)
    elif hasattr(data, "columns") and hasattr(data, "iloc"):
        for column in data.columns:
            _feed_text(digest, str(column))
            feed(np.asarray(data[column]))
    elif isinstance(data, (list, tuple)) and any(
        isinstance(item, (list, tuple, dict, np.ndarray, torch.Tensor)) for item in data
    ):
        _feed_text(digest, f"sequence {len(data)}")
        for item in data:
            feed(item)
    else:
        array = np.asarray(data)
        _feed_text(digest, f"{array.dtype.str} {array.shape}")
        if array.dtype.hasobject:
            _feed_text(digest, repr(array.tolist()))
        else:
            digest.update(np.ascontiguousarray(array).tobytes())
