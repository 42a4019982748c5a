"""What is examined: a fitted skorch net and the data it is examined on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch

from hessdiag.cases._estimators import taken_apart
from hessdiag.cases._held_back import part_trained_on
from hessdiag.cases._loader import collected
from hessdiag.cases._module_net import inputs_of, net_around, targets_for
from hessdiag.curvature import prepare
from hessdiag.curvature.containers import plain_containers
from hessdiag.curvature.network import (
    OwnPrecisionError,
    TooCoarseError,
    check_data,
    check_net,
    module_attributes,
    untouched_surroundings,
)
from hessdiag.digests import content_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, eq=False)
class NetworkCase:
    """A fitted skorch net with the data to examine it on.

    A list of cases is what every estimator of this package takes as its ``X``. Modules that were
    trained by other means come in by `from_module` and `from_loader`.

    Parameters
    ----------
    net : skorch.NeuralNet, or fitted estimator that holds one
        Fitted (or initialized and loaded) net: a classifier, binary classifier, regressor, or any
        other skorch net whose loss is one number. A pipeline, a search, a
        ``TransformedTargetRegressor`` and their like are taken apart: the case is that of the net
        within, and of what the steps before it make of `X` and `y`.
    X : array-like, dict, DataFrame, tensor or Dataset of length n_samples
        Data the net was trained on, as its ``fit`` takes them; a net takes a frame column by
        column, as skorch does.
    y : array-like of length n_samples or None
        Targets; None where `X` is a Dataset that yields them.
    name : str, default=None
        How to call this case in tables and reports.
    held_back : {"drop", "keep"}, default="drop"
        What to do with samples that the net's ``train_split`` held back from training; skorch
        holds back a fifth unless it is told otherwise. A diagnosis is about training data, so
        they are left out: `X` and `y` may be what the net was fitted on, or the part that it was
        trained on, which the net's history tells apart. ``"keep"`` examines all that is given.
    output : str, int or None, default=None
        Where the net sends several tensors, the name of the one that the loss is taken of, as in
        `hessdiag.spectra.layer_spectra`; None finds it.

    Attributes
    ----------
    n_held_back : int
        Number of samples that were left out.
    notes : tuple of str
        What reports say of how the case came about.

    Raises
    ------
    TypeError
        If `net` is not a skorch net and holds none, or `X` is no data.
    sklearn.exceptions.NotFittedError
        If `net` is not fitted; it is also skorch's ``NotInitializedError``.
    ValueError
        If `net` has no trainable parameters, or is an estimator with several nets; if `X` and `y`
        are empty or of different length; if samples were held back and cannot be found again.

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
    held_back: Literal["drop", "keep"] = "drop"
    output: str | int | None = None
    n_held_back: int = field(init=False, default=0)
    notes: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self):
        """Find the net and what it was trained on, and check what can be without running it."""
        if not isinstance(self.held_back, str) or self.held_back not in ("drop", "keep"):
            raise ValueError(
                f"Expected held_back='drop' or 'keep', found {self.held_back!r}. Pass 'keep' to "
                "examine all that is given."
            )
        net, X, y = taken_apart(self.net, self.X, self.y)
        check_net(net)
        with untouched_surroundings(None):
            X, y = plain_containers(X, y)
        check_data(net, X, y)
        X, y, n_held_back, notes = part_trained_on(net, X, y, self.held_back)
        vars(self).update(net=net, X=X, y=y, n_held_back=n_held_back, notes=notes)

    @classmethod
    def from_module(
        cls,
        module: torch.nn.Module,
        X: Any,
        y: Any = None,
        *,
        loss: torch.nn.Module | type[torch.nn.Module] | Callable[..., Any] | None = None,
        name: str | None = None,
        output: str | int | None = None,
    ) -> NetworkCase:
        """Make a case of any torch module, however it was trained.

        The module is taken as it is: nothing is copied, moved, reset or trained, and it stays in
        training or evaluation mode. It is examined in evaluation mode, on a copy.

        Parameters
        ----------
        module : torch.nn.Module
            The trained module.
        X : array-like, DataFrame, tensor, dict, tuple or Dataset of length n_samples
            Data it was trained on. A tuple of arrays, or a dict by name, stands for several inputs
            of ``forward``; a frame is taken as one array.
        y : array-like of length n_samples or None, default=None
            Targets; None where `X` is a Dataset that yields them.
        loss : torch.nn.Module, class of one, or callable
            The loss it was trained with, which must be given: with its class weights and other
            settings; or a function (output, y) -> 0-d tensor.
        name : str or None, default=None
            How to call this case in tables and reports.
        output : str, int or None, default=None
            Where the module sends several tensors, the name or place of the one that the loss is
            taken of; None finds it.

        Returns
        -------
        case : NetworkCase
            Its net is a ``skorch.NeuralNet`` around the module.

        Raises
        ------
        TypeError
            If `module` is no module, or `loss` no loss.
        ValueError
            If the module cannot take `X`, or the loss cannot take `y`, as in `check_case`.

        See Also
        --------
        from_loader : The same, for data in batches.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from hessdiag.cases import NetworkCase
        >>> X, y = np.eye(4, dtype="float32"), np.array([0, 1, 2, 0])
        >>> module = torch.nn.Linear(4, 3)
        >>> NetworkCase.from_module(module, X, y, loss=torch.nn.CrossEntropyLoss(), name="mine")
        NetworkCase('mine', NeuralNet of Linear, 4 samples)
        """
        net = net_around(module, loss)
        return cls._checked(net, inputs_of(module, X), y, name, output)

    @classmethod
    def from_loader(
        cls,
        module: torch.nn.Module,
        loader: Iterable[Any],
        *,
        loss: torch.nn.Module | type[torch.nn.Module] | Callable[..., Any] | None = None,
        name: str | None = None,
        unpack: Callable[[Any], tuple[Any, Any]] | None = None,
        output: str | int | None = None,
    ) -> NetworkCase:
        """Make a case of any torch module and the loader that it was trained on.

        All samples are drawn once and kept. Their order does not matter, nor does a last batch
        that the loader drops while it trains; each sample counts once, whatever the sampler.

        Parameters
        ----------
        module : torch.nn.Module
            The trained module; it is taken as it is, as in `from_module`.
        loader : torch.utils.data.DataLoader or iterable of batches
            The training data, without random augmentation.
        loss : torch.nn.Module, class of one, or callable
            The loss it was trained with, as in `from_module`.
        name : str or None, default=None
            How to call this case in tables and reports.
        unpack : callable or None, default=None
            Function of a batch that returns (X, y). None takes batches (X, y), batches (X1, X2, y)
            whose inputs go to ``forward`` in that order, and dicts of which all entries but one
            are inputs of ``forward``.
        output : str, int or None, default=None
            Where the module sends several tensors, the name or place of the one that the loss is
            taken of; None finds it.

        Returns
        -------
        case : NetworkCase
            Its net is a ``skorch.NeuralNet`` around the module.

        Raises
        ------
        TypeError
            If `loader` is no loader, `module` no module, or `loss` no loss.
        ValueError
            If samples change from draw to draw, batches are of another form or cannot be joined,
            the module cannot take the inputs, or the loss the targets.

        Examples
        --------
        >>> import torch
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> from hessdiag.cases import NetworkCase
        >>> data = TensorDataset(torch.eye(4), torch.tensor([0, 1, 2, 0]))
        >>> loader = DataLoader(data, batch_size=3, shuffle=True)
        >>> NetworkCase.from_loader(torch.nn.Linear(4, 3), loader, loss=torch.nn.CrossEntropyLoss())
        NetworkCase(NeuralNet of Linear, 4 samples)
        """
        net = net_around(module, loss)
        X, y, notes = collected(module, loader, unpack)
        case = cls._checked(net, X, y, name, output)
        vars(case).update(notes=notes + case.notes)
        return case

    @classmethod
    def _checked(cls, net, X, y, name, output):
        """Make a case of a net that was made for it, and check it whole."""
        with untouched_surroundings(None):
            X, y = plain_containers(X, y)
        return check_case(cls(net, X, targets_for(net, y), name, output=output))

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
        state = {key: value for key, value in vars(self).items() if key != "net"}
        return _rebuild_case, (type(self.net), dict(vars(self.net)), state)

    def digest(self) -> str:
        """Return a digest of everything the examination depends on.

        Parameters and buffers, architecture, the code of one's own classes and functions with what
        it reads, hooks, all that is held on modules, criterion, and data count; what training or
        prediction leave behind (history, optimizer, train/eval mode) does not.

        Returns
        -------
        str
            32 hexadecimal digits (BLAKE2b), the same in every process.

        Raises
        ------
        hessdiag.digests.NotDigestibleError
            If something may hold what cannot be seen; such a case is examined each time.

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
        return content_digest(self.net, self.X, self.y, self.output)

    def __repr__(self):
        """Show name, classes and size."""
        modules, _ = module_attributes(self.net)
        name = "" if self.name is None else f"{self.name!r}, "
        try:
            n_samples = len(self.X if self.y is None else self.y)
            size = f"{n_samples} samples"
        except TypeError:
            size = "a stream of samples"
        module = getattr(self.net, modules[0])
        module = type(getattr(module, "_orig_mod", module)).__name__
        if self.n_held_back:
            size += f" and {self.n_held_back} held back"
        return f"NetworkCase({name}{type(self.net).__name__} of {module}, {size})"


def _rebuild_case(net_class, net_state, state):
    """Make a case of what `NetworkCase.__reduce_ex__` took apart."""
    net, case = net_class.__new__(net_class), object.__new__(NetworkCase)
    vars(net).update(net_state)
    vars(case).update(state, net=net)
    return case


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
        prepared = partial(
            prepare,
            case.net,
            case.X,
            case.y,
            layers=layers,
            batch_size=batch_size,
            max_memory=max_memory,
            output=case.output,
        )
        try:
            problem = prepared()
        except (OwnPrecisionError, TooCoarseError):
            problem = prepared(dtype="float64")
        problem.working_copy.reset()
    return case
