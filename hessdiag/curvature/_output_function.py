"""The scalar as a function of the outputs alone, and its derivatives in them."""

from __future__ import annotations

import functools
from typing import Any

import torch

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

# Roundings of terms that cancel, which are left of their sum.
ROUNDINGS, FEW = 100, 4


class OutputFunction:
    """A scalar as a function of the outputs of all samples.

    `values` (N, ...) are the outputs of the net, in the coordinates that are examined: `link` maps
    the net's own to these. `couples` says whether samples interact in the scalar; if not, it is a
    sum of functions of each sample's outputs. `forms_hessians` says whether second derivatives in
    the outputs may be formed, where they are not too large. `precision` is what the scalar is
    computed in, at the coarsest.
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
        precision: torch.dtype = torch.float64,
    ) -> None:
        self.working_copy = working_copy
        self.scalar = scalar
        self.link = link
        self.values = values
        self.samples = samples
        self.couples = couples
        self.forms_hessians = forms_hessians
        self.precision = precision

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
        return output_curvature(self, self.values, self.precision, self.floors) if fit else None

    @functools.cached_property
    def products(self) -> OutputProducts:
        """Residuals, and products with the Hessians at the outputs, which are never formed."""
        return OutputProducts(self, self.values)

    def floors(self) -> torch.Tensor:
        """Return the curvature (N,) of each sample that may be rounding, as far as that is known.

        Terms that have the size of a sample's curvature where outputs are moderate may cancel, as
        they do in a softmax that is sure of a class: their rounding stays.

        Returns
        -------
        Tensor of shape (N,)
            Sizes of eigenvalues.
        """
        sizes = _product_sizes(self._at_moderate_outputs)
        return ROUNDINGS * torch.finfo(self.precision).eps * self.n_outputs**0.5 * sizes

    def rounding(self, of_outputs: float) -> tuple[float, float]:
        """Say how much of first and second derivatives is rounding.

        Rounded outputs z move the first by ``Lambda z``; and both have the rounding of terms that
        are as large as they are themselves where outputs are moderate.

        Parameters
        ----------
        of_outputs : float
            Rounding of the outputs, relative to their size.

        Returns
        -------
        of_residuals, of_curvature : float
            Relative to the size of all; 0 where there are no derivatives at all.
        """
        epsilon, z = torch.finfo(self.precision).eps, flatten_outputs(self.values).double()
        if self.curvature is None:
            residuals, image = self.products.residuals, self.products.products(z[None], 0)[0]
        else:
            residuals = self.curvature.residuals
            image = (self.curvature.hessians @ z[:, :, None])[:, :, 0]
        scales = self._at_moderate_outputs.residuals.norm(dim=1).nan_to_num(0.0, 0.0, 0.0)
        moves = of_outputs * image.norm(dim=1) + FEW * epsilon * scales
        return _share(moves, residuals), _share(self.floors(), self._curvature_sizes)

    @property
    def is_flat(self) -> bool:
        """Say whether there are no second derivatives at any sample's outputs, but first ones."""
        known = self.products if self.curvature is None else self.curvature
        return bool(known.residuals.any()) and not self._curvature_sizes.any()

    @functools.cached_property
    def _curvature_sizes(self) -> torch.Tensor:
        """Sizes (N,) of samples' second derivatives; of products where these are not formed."""
        if self.curvature is None:
            return _product_sizes(self.products)
        return self.curvature.hessians.flatten(1).norm(dim=1)

    @functools.cached_property
    def _at_moderate_outputs(self) -> OutputProducts:
        """Derivatives where the largest output of every sample is 1, if it is more here."""
        flat = flatten_outputs(self.values).double()
        return OutputProducts(self, flat / flat.abs().amax(dim=1, keepdim=True).clamp(min=1.0))

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
            self.precision,
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
            precision=self.precision,
        )


def _product_sizes(products):
    """Return the lengths (N,) of products of samples' Hessians with a random vector.

    None of its numbers is small, and no two are alike, as the same for all may have no product.
    """
    residuals, generator = products.residuals, torch.Generator().manual_seed(0)
    sizes = torch.rand(residuals.shape, generator=generator, dtype=torch.float64) + 0.5
    signs = torch.randint(0, 2, residuals.shape, generator=generator, dtype=torch.int8)
    vector = torch.where(signs > 0, sizes, -sizes).to(residuals)
    return products.products(vector[None], 0)[0].norm(dim=1).nan_to_num(0.0, 0.0, 0.0)


def _share(part, whole):
    """Return the length of a part beside that of the whole; 0 where there is no whole."""
    size = float(whole.norm())
    return float(part.norm()) / size if size > 0 else 0.0
