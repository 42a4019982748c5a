"""The number that is differentiated: the net's own loss through skorch, or a callable."""

from __future__ import annotations

import torch

from hessdiag.curvature.network._checks import tensors_of
from hessdiag.curvature.network._precision import match_floats


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

    def __init__(self, working_copy, scalar):
        if scalar != "loss" and not callable(scalar):
            raise ValueError(
                "Expected scalar='loss', a callable (output, y) -> 0-d tensor, or a mapping of "
                f"layer names to such callables, found {scalar!r}. Pass one of these."
            )
        self.working_copy = working_copy
        self.scalar = scalar

    @property
    def is_loss(self):
        """Say whether this is the net's own loss."""
        return not callable(self.scalar)

    @property
    def criterion(self):
        """The criterion behind the loss; None for a callable."""
        return getattr(self.working_copy.net, "criterion_", None) if self.is_loss else None

    @property
    def name(self):
        """Name of the criterion or of the callable."""
        if self.is_loss:
            return getattr(self.criterion, "__name__", type(self.criterion).__name__)
        return getattr(self.scalar, "__name__", type(self.scalar).__name__)

    def __call__(self, outputs, y, X):
        """Evaluate; outputs may be of another precision than targets."""
        targets = match_floats(y, tensors_of(outputs)[0].dtype)
        try:
            if self.is_loss:
                value = self.working_copy.loss(outputs, targets, X)
            else:
                value = self.scalar(outputs, targets)
        except Exception as error:
            raise self._explain(outputs, y, error) from error
        return value

    def check(self, outputs, y, X):
        """Evaluate once, and check that the result is one number.

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
            The value.

        Raises
        ------
        ValueError
            If it is not one number, or the function fails on what it is given.
        """
        value = self(outputs, y, X)
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
        return value

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
