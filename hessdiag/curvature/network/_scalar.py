"""The number that is differentiated: the net's own loss through skorch, or a callable."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from hessdiag.curvature.network._checks import tensors_of
from hessdiag.curvature.network._copy_check import check_leaves
from hessdiag.curvature.network._determinism import draws, generator_states
from hessdiag.curvature.network._loss_inputs import LossInputError, LossInputs
from hessdiag.curvature.network._precision import match_floats
from hessdiag.curvature.network._sent_outputs import leaves_of

if TYPE_CHECKING:
    from hessdiag.curvature.network._working_copy import WorkingCopy


class Scalar:
    """A function (outputs, y, X) -> 0-d tensor, with errors that say what was given.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net.
    scalar : "loss" or callable
        The net's own loss, or a function (output, y) -> 0-d tensor.

    Raises
    ------
    ValueError
        If it is neither.
    """

    def __init__(self, working_copy: WorkingCopy, scalar: str | Callable[..., Any]) -> None:
        if scalar != "loss" and not callable(scalar):
            raise ValueError(
                "Expected scalar='loss', a callable (output, y) -> 0-d tensor, or a mapping of "
                f"layer names to such callables, found {scalar!r}. Pass one of these."
            )
        self.working_copy = working_copy
        self.scalar = scalar if isinstance(scalar, str) else working_copy.bound(scalar)
        # What `check` finds: torch's own losses that are called, and the class that they leave out.
        self.functions: tuple[str, ...] = ()
        self.ignore_index: int | None = None

    @property
    def is_loss(self) -> bool:
        """Say whether this is the net's own loss."""
        return not callable(self.scalar)

    @property
    def criterion(self) -> Any:
        """The criterion behind the loss; None for a callable."""
        return getattr(self.working_copy.net, "criterion_", None) if self.is_loss else None

    @property
    def name(self) -> str:
        """Name of the criterion or of the callable."""
        if self.is_loss:
            return getattr(self.criterion, "__name__", type(self.criterion).__name__)
        return getattr(self.scalar, "__name__", type(self.scalar).__name__)

    def __call__(self, outputs: Any, y: Any, X: Any) -> Any:
        """Evaluate; outputs may be of another precision than targets."""
        targets = match_floats(y, _floating_dtype(outputs))
        try:
            if callable(self.scalar):
                value = self.scalar(self.working_copy.around(outputs), targets)
            else:
                value = self.working_copy.loss(outputs, targets, X)
        except LossInputError:
            raise
        except Exception as error:
            raise self._explain(outputs, y, error) from error
        return value

    def check(self, outputs: Any, y: Any, X: Any) -> torch.Tensor:
        """Evaluate once, look at what the loss is given, and check that the result is one number.

        Parameters
        ----------
        outputs : Tensor, or dict, list or tuple of Tensor
            Outputs of the net.
        y : Tensor, or dict, list or tuple of Tensor
            Targets.
        X : Tensor, or dict, list or tuple of Tensor
            Inputs.

        Returns
        -------
        Tensor of shape ()
            The value, as a function of leaves in place of the outputs.

        Raises
        ------
        ValueError
            If it is not one finite number that derivatives reach, if the function fails on what it
            is given, or if one of torch's own losses is given what does not suit it.
        """
        leaves = leaves_of(outputs)
        given, before = LossInputs(leaves, y), generator_states()
        with warnings.catch_warnings(), torch.enable_grad(), given:
            # A loss that leaves torch is refused below.
            warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad")
            value = self(leaves, y, X)
        moved = generator_states() != before
        self.functions, self.ignore_index = tuple(given.functions), given.ignore_index
        if not isinstance(value, torch.Tensor) or value.ndim:
            found = (
                f"a tensor of shape {tuple(value.shape)}"
                if isinstance(value, torch.Tensor)
                else f"an object of type {type(value).__name__}"
            )
            raise ValueError(
                f"Expected a loss that is one number (a 0-d tensor), found {found} from "
                f"{self.name}. Reduce it, for example with criterion__reduction='mean'."
            )
        if value.is_complex():
            raise ValueError(
                f"Expected a loss that is a real number, found {complex(value.detach()):.3g} from "
                f"{self.name}. Return its real part or its absolute value."
            )
        if not value.is_floating_point() or not value.requires_grad:
            raise ValueError(
                f"Expected a loss that has derivatives in the outputs, found that none reaches "
                f"them in {self.name}, which returns {float(value):.3g}. Return a function of the "
                "outputs, not a constant, a count, or what was detached or taken out of torch."
            )
        if not torch.isfinite(value):
            raise ValueError(self._why_not_finite(outputs, value))
        check_leaves(self.working_copy, value, f"the loss {self.name}")
        if moved and draws(lambda: self(outputs, y, X)):
            raise ValueError(
                f"Expected a loss that draws no random numbers, found that {self.name} does. Take "
                "them out, or draw them once, as part of the data."
            )
        return value

    def _why_not_finite(self, outputs, value):
        """Say what may be behind a loss that is no finite number."""
        tensors = [t for t in tensors_of(outputs) if t.is_floating_point() and t.ndim]
        spoiled = [t for t in tensors if not torch.isfinite(t).all()]
        if spoiled:
            rows = ~torch.isfinite(spoiled[0].reshape(len(spoiled[0]), -1)).all(dim=1)
            return (
                f"Expected finite outputs, found NaN or infinite ones for {int(rows.sum())} of "
                f"{len(rows)} samples, and a loss of {float(value.detach())} from {self.name}. The "
                "training has probably diverged, or a logarithm is taken of zero: mend the net, or "
                "leave these samples out."
            )
        return (
            f"Expected a finite loss on the given data, found {float(value)} from {self.name}. "
            "Look at the targets (all ignored, or of weight zero?) and at the outputs (a logarithm "
            "taken twice?): of a net without a loss nothing can be said."
        )

    def _explain(self, outputs, y, error):
        """Wrap the criterion's own error with what it was given."""
        given = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in tensors_of(outputs))
        targets = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in tensors_of(y))
        return ValueError(
            f"Expected targets that {self.name} can take, found outputs {given} with targets "
            f"{targets or type(y).__name__}: {type(error).__name__}: {error}. Class indices are "
            "due as int64 from 0 to the number of outputs - 1; class probabilities and regression "
            "targets as floats in the shape of the outputs."
        )


def _floating_dtype(outputs):
    """Return the precision of what a net sends: that of its first tensor of such numbers."""
    tensors = tensors_of(outputs)
    floating = [t.dtype for t in tensors if t.is_floating_point() or t.is_complex()]
    return floating[0] if floating else torch.get_default_dtype()
