"""What is known of a net and its data: that which sizes, checks and products ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from hessdiag.curvature.network import Block, Chunk, OutputCurvature, Samples, WorkingCopy


class Problem(Protocol):
    """A net on its data, cut into layers, as `hessdiag.curvature.LocalCurvature` is one."""

    @property
    def working_copy(self) -> WorkingCopy:
        """The net's private copy."""

    @property
    def blocks(self) -> Sequence[Block]:
        """The layers, in forward order."""

    @property
    def widths(self) -> Mapping[str, int | None]:
        """How wide what each module sends is."""

    @property
    def entries(self) -> Mapping[str, float]:
        """How many numbers each module sends per sample."""

    @property
    def samples(self) -> Samples:
        """Inputs and targets, in chunks."""

    @property
    def chunks(self) -> Sequence[Chunk]:
        """The chunks of samples that pass through the net one after the other."""

    @property
    def offsets(self) -> Sequence[int]:
        """How many samples come before each chunk, and how many there are."""

    @property
    def n_samples(self) -> int:
        """Count the samples."""

    @property
    def X(self) -> Any:
        """All inputs; None where batches cannot be joined."""

    @property
    def y(self) -> Any:
        """All targets; None where batches cannot be joined."""

    @property
    def itemsize(self) -> int:
        """Bytes of a number in the precision that is computed in."""

    @property
    def first_chunk(self) -> int:
        """Samples that passed through the net at once at first."""

    @property
    def keeps_derivatives(self) -> bool:
        """Say whether products may record smooth functions with derivatives that are kept."""

    @property
    def is_separable(self) -> bool:
        """Say whether the scalar is a sum over samples of functions of each sample's outputs."""

    @property
    def n_outputs(self) -> int:
        """Count the outputs of one sample; 0 where they are not known."""

    @property
    def output_values(self) -> torch.Tensor | None:
        """Outputs (N, ...) in the coordinates that are examined; None where they are not known."""

    @property
    def outputs(self) -> OutputCurvature | None:
        """Loss, residuals and Hessians at the outputs; None where they are not to be had."""

    def outputs_of(self, X: Any) -> torch.Tensor:
        """Map inputs to outputs (n, D) in the coordinates examined.

        Parameters
        ----------
        X : Tensor, or dict, list or tuple of Tensor
            Inputs of n samples.

        Returns
        -------
        Tensor of shape (n, D)
            Outputs.
        """
