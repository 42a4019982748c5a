"""Of all tensors that a net sends, the one that its loss is taken of, and the others around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch

from hessdiag.curvature.network._data import concatenate
from hessdiag.curvature.network._loss_inputs import LossInputError

if TYPE_CHECKING:
    from hessdiag.curvature.network._samples import Samples
    from hessdiag.curvature.network._working_copy import WorkingCopy


class NamedScalar(Protocol):
    """A function (outputs, y, X) -> 0-d tensor with a name, as `Scalar` is one."""

    @property
    def name(self) -> str:
        """Name of the criterion or of the callable."""

    def __call__(self, outputs: Any, y: Any, X: Any) -> Any:
        """Evaluate."""


class SentOutput:
    """One tensor of all that a net sends, by its name, and what the loss finds around it.

    Parameters
    ----------
    name : str
        Name of the tensor, such as "logits" or "0".
    tree : object
        What the net sends for some samples; None where the loss takes the tensor alone.
    n_samples : int
        How many samples those are.
    """

    def __init__(self, name: str, tree: Any = None, n_samples: int = 0) -> None:
        self.name = name
        self.alone = tree is None
        # Shapes will do: what stands there is never read.
        self._tree = None if tree is None else _mapped(tree, lambda t: _Shape(t, n_samples))

    def pick(self, tree: Any) -> torch.Tensor:
        """Take the tensor out of what the net sends.

        Parameters
        ----------
        tree : object
            What the net sends.

        Returns
        -------
        Tensor
            The one that the loss is taken of.
        """
        return named_tensors(tree)[self.name]

    def around(self, tensor: torch.Tensor) -> Any:
        """Give the loss what it takes: the tensor, where it stands, among others without numbers.

        Parameters
        ----------
        tensor : Tensor of shape (N, ...)
            The output.

        Returns
        -------
        object
            What the net sends, but for NaN in all other tensors.
        """
        if self.alone:
            return tensor
        return _replaced(
            self._tree,
            lambda name, shape: tensor if name == self.name else shape.filled(tensor),
            _Shape,
        )


class _Shape:
    """Stands for a tensor that is not read."""

    def __init__(self, tensor, n_samples):
        self.dtype = tensor.dtype
        self.by_sample = tensor.ndim > 0 and len(tensor) == n_samples
        self.shape = tensor.shape[1:] if self.by_sample else tensor.shape

    def filled(self, like):
        """Make a tensor of no meaning, with as many rows as there are samples."""
        shape = (len(like), *self.shape) if self.by_sample else self.shape
        number = float("nan") if self.dtype.is_floating_point or self.dtype.is_complex else 0
        return torch.full(shape, number, dtype=self.dtype, device=like.device)


def named_tensors(tree: Any) -> dict[str, torch.Tensor]:
    """Name the tensors of nested mappings, lists, tuples and dataclasses.

    Parameters
    ----------
    tree : object
        What a net sends.

    Returns
    -------
    dict of str to Tensor
        Such as "logits", or "0" for the first of a tuple; "hidden.1" for one further down.
    """
    return dict(_walk(tree, "", torch.Tensor))


def leaves_of(tree: Any) -> Any:
    """Copy what a net sends, with derivatives in each tensor of it and in nothing behind.

    Parameters
    ----------
    tree : object
        What the net sends.

    Returns
    -------
    object
        A tree of the same classes; its tensors are no leaves themselves, so that a loss may work on
        them in place.
    """

    def leaf(tensor):
        fit = tensor.is_floating_point() or tensor.is_complex()
        return tensor.detach().clone().requires_grad_(fit).clone()

    with torch.enable_grad():
        return _mapped(tree, leaf)


def send_one(
    working_copy: WorkingCopy,
    scalar: NamedScalar,
    samples: Samples,
    collected: list[Any],
    output: str | int | None = None,
) -> tuple[list[Any], str | None]:
    """Let a net that sends several tensors send the one alone that its scalar is taken of.

    The scalar is evaluated on leaves for all of them: where exactly one has a derivative, and the
    others are not read either, it is a function of that one.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net; from now on it sends the one, where there is one.
    scalar : Scalar
        What is differentiated.
    samples : Samples
        Inputs and targets.
    collected : list
        What the net sends for each chunk.
    output : str, int or None, default=None
        Name of the tensor; None finds it.

    Returns
    -------
    collected : list
        What the net now sends for each chunk.
    reason : str or None
        Why it sends more than one tensor still.

    Raises
    ------
    ValueError
        If there is no tensor of this name, or the scalar depends on others too.
    """
    if all(isinstance(sent, torch.Tensor) for sent in collected):
        if output is not None and str(output) != "0":
            raise ValueError(
                f"Expected output to name one of several tensors that the net sends, found "
                f"output={output!r} and a net that sends one tensor alone. Leave output at None."
            )
        return collected, None
    names = list(named_tensors(collected[0]))
    wanted = None if output is None else _resolved(output, names)
    tree = _joined(collected)
    if tree is None or samples.y is None:
        sent, reason = None, "the batches cannot be joined"
    else:
        sent, reason = _sent_output(scalar, samples, tree, wanted)
    if sent is None:
        if wanted is not None:
            raise ValueError(
                f"Expected a loss that is a function of output {wanted!r} alone, found that "
                f"{reason}. Leave output at None to differentiate it as it is, or leave the other "
                "terms out of get_loss."
            )
        return collected, reason
    working_copy.send(sent)
    return [sent.pick(tree) for tree in collected], None


def _sent_output(scalar, samples, tree, wanted):
    """Return the `SentOutput` of a scalar, or None and the reason."""
    tensors, given = named_tensors(tree), leaves_of(tree)
    leaves = named_tensors(given)
    try:
        value = scalar(given, samples.y, samples.X)
    except LossInputError:
        raise
    except Exception as error:
        if wanted is None:
            listed = ", ".join(repr(name) for name in tensors)
            raise ValueError(
                f"Expected a loss that takes what the net sends, a {type(tree).__name__} of "
                f"{listed}, found that {scalar.name} fails on it: {_first_line(error)}. Name the "
                f"tensor that it is taken of, such as output={next(iter(tensors), '0')!r}, or pick "
                "it in the net's get_loss."
            ) from error
        # The criterion takes the tensor by itself.
        return SentOutput(wanted), None
    if not isinstance(value, torch.Tensor) or value.ndim or not value.requires_grad:
        return None, "the module returns more than one tensor"
    known = [name for name, leaf in leaves.items() if leaf.requires_grad]
    gradients = torch.autograd.grad(value, [leaves[name] for name in known], allow_unused=True)
    reached = [name for name, gradient in zip(known, gradients) if gradient is not None]
    listed = ", ".join(repr(name) for name in reached)
    if wanted is not None and wanted not in reached:
        return None, f"it depends on {listed or 'none of its tensors'}"
    if not reached:
        return None, "the loss is taken of none of the tensors that the module returns"
    if len(reached) > 1:
        return None, f"the loss is taken of more than one tensor ({listed})"
    sent = SentOutput(reached[0], tree, samples.n_samples)
    if tensors[sent.name].ndim == 0 or len(tensors[sent.name]) != samples.n_samples:
        return None, f"{sent.name!r} does not have one row per sample"
    try:
        again = scalar(sent.around(leaves[sent.name]), samples.y, samples.X)
        same = torch.allclose(again, value, rtol=1e-6, atol=0, equal_nan=True)
    except Exception:
        same = False
    if not same:
        return None, f"the loss reads more than {sent.name!r}"
    return sent, None


def _resolved(output, names):
    """Find the tensor that is meant among the names."""
    name = str(output)
    if isinstance(output, bool) or not isinstance(output, (str, int)) or name not in names:
        raise ValueError(
            f"Expected output to name one of the tensors that the net sends, found "
            f"output={output!r}. Choose one of {', '.join(repr(n) for n in names)}."
        )
    return name


def _joined(collected):
    """Join what the net sends for each chunk; None where that is not possible."""
    if len(collected) == 1:
        return collected[0]
    parts = [named_tensors(tree) for tree in collected]
    if any(part.keys() != parts[0].keys() for part in parts):
        return None
    joined = {name: concatenate([part[name] for part in parts]) for name in parts[0]}
    if any(tensor is None for tensor in joined.values()):
        return None
    return _replaced(collected[0], lambda name, _: joined[name])


def _first_line(error):
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _parts(tree):
    """Return {key: part} of a container; None for anything else."""
    if isinstance(tree, Mapping):
        return dict(tree.items())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return dict(zip(tree._fields, tree))
    if isinstance(tree, (list, tuple)):
        return dict(enumerate(tree))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)}
    return None


def _walk(tree, name, kind):
    """Yield (name, leaf) of all leaves of a kind."""
    if isinstance(tree, kind):
        yield name or "0", tree
        return
    for key, part in (_parts(tree) or {}).items():
        yield from _walk(part, f"{name}.{key}" if name else str(key), kind)


def _mapped(tree, function):
    """Apply a function to all tensors of a tree."""
    return _replaced(tree, lambda _, tensor: function(tensor))


def _replaced(tree, function, kind=torch.Tensor, name=""):
    """Return a tree of the same classes with ``function(name, leaf)`` in place of each leaf."""
    if isinstance(tree, kind):
        return function(name or "0", tree)
    parts = _parts(tree)
    if parts is None:
        return tree
    found = {
        key: _replaced(part, function, kind, f"{name}.{key}" if name else str(key))
        for key, part in parts.items()
    }
    if isinstance(tree, Mapping):
        return _mapping_like(tree, found)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*found.values())
    if isinstance(tree, (list, tuple)):
        return type(tree)(found.values())
    return dataclasses.replace(tree, **found)


def _mapping_like(tree, found):
    """Make a mapping of the class of another."""
    if type(tree) is dict:
        return found
    for make in (lambda: type(tree)(**found), lambda: type(tree)(found)):
        try:
            made = make()
        except Exception:
            continue
        if isinstance(made, Mapping) and dict(made.items()).keys() == found.keys():
            return made
    return found
