"""The scalar as a function of the outputs alone, and its derivatives in them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from hessdiag.curvature.network import (
    Link,
    OutputCurvature,
    Samples,
    Scalar,
    WorkingCopy,
    flatten_outputs,
    output_curvature,
    output_hessians_fit,
)
from hessdiag.curvature.products import OutputProducts

if TYPE_CHECKING:
    import torch


class OutputFunction:
    """A scalar as a function of the outputs of all samples.

    `values` (N, ...) are the outputs of the net, in the coordinates that are examined: `link` maps
    the net's own to these. `couples` says whether samples interact in the scalar; if not, it is a
    sum of functions of each sample's outputs. `forms_hessians` says whether second derivatives in
    the outputs may be formed, where they are not too large.
    """

    def __init__(
        self,
        working_copy: WorkingCopy,
        scalar: Scalar,
        link: Link,
        values: torch.Tensor,
        samples: Samples,
        couples: bool = False,
        forms_hessians: bool = True,
    ) -> None:
        self.working_copy = working_copy
        self.scalar = scalar
        self.link = link
        self.values = values
        self.samples = samples
        self.couples = couples
        self.forms_hessians = forms_hessians

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Evaluate at any outputs of all samples, in the coordinates examined."""
        return self.at(outputs, self.samples.y, self.samples.X)

    def at(self, outputs: torch.Tensor, y: Any, X: Any) -> torch.Tensor:
        """Evaluate at outputs in the coordinates examined, in their precision."""
        values = self.link.inverse(outputs.reshape(len(outputs), *self.values.shape[1:]))
        with self.working_copy.criterion_in(values.dtype):
            return self.scalar(values, y, X)

    @property
    def n_outputs(self) -> int:
        """Count the outputs of one sample."""
        return flatten_outputs(self.values).shape[1]

    @property
    def hessians_fit(self) -> bool:
        """Say whether the second derivatives in the outputs can be formed."""
        return self.forms_hessians and output_hessians_fit(self.values)

    @functools.cached_property
    def curvature(self) -> OutputCurvature | None:
        """Loss, residuals and Hessians at the outputs; None where these cannot be formed."""
        fit = self.hessians_fit and not self.couples
        return output_curvature(self, self.values) if fit else None

    @functools.cached_property
    def products(self) -> OutputProducts:
        """Residuals, and products with the Hessians at the outputs, which are never formed."""
        return OutputProducts(self, self.values)

    def take(self, samples: Samples, indices: torch.Tensor) -> OutputFunction:
        """Return the same function of some samples' outputs."""
        return OutputFunction(
            self.working_copy,
            self.scalar,
            self.link,
            self.values[indices],
            samples,
            self.couples,
            self.forms_hessians,
        )

    def without_hessians(self) -> OutputFunction:
        """Return the same function, whose second derivatives are never formed."""
        return OutputFunction(
            self.working_copy,
            self.scalar,
            self.link,
            self.values,
            self.samples,
            self.couples,
            forms_hessians=False,
        )
