"""Jacobians of layers that multiply by a matrix: sums of outer products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from hessdiag.curvature.factors._dense_factor import DenseFactor
from hessdiag.curvature.factors._factor import Factor
from hessdiag.curvature.factors._gram_by_positions import MAX_BLOCK_ENTRIES, gram_by_positions

#: Dense Jacobians of more entries than this are not kept for products.
MAX_KEPT_ENTRIES = 50_000_000
# Products of a matrix product that take as long as what is done with each entry of its result.
ELEMENTWISE = 30
# Sides of Gram matrices beyond which looking for fewer columns costs more than it saves.
MAX_NARROWED = 1024
# Fewer positions than this cost less to copy than to multiply sample by sample.
COPIED_POSITIONS = 64
# Matrix products take least time where rows hold a multiple of so many numbers.
COLUMNS_IN_STEP = 16


class OuterFactor(Factor):
    """A Jacobian that is a sum of outer products: of what a layer receives and what it sends on.

    For weights of shape (G O, I), with G groups, J[n, c, (g, o), i] is the sum over t of
    S[n, c, g, t, o] a[n, g, t, i]; for the bias the same with a = 1. T positions share the weights
    (a convolution's pixels, a sequence's tokens); T = 1 for a plain linear layer, whose Gram matrix
    (S S') o (a a' + 1) needs no Jacobian at all.

    Parameters
    ----------
    inputs : Tensor of shape (N, G, T, I)
        What the layer receives, `a`.
    sweeps : Tensor of shape (N, D, G, T, O)
        How the outputs depend on what it sends, `S`.
    pieces : sequence of {"weight", "bias"}
        Its parameters, in the block's order.
    transposed : bool, default=False
        Whether the weights are of shape (I, O), as an embedding's.
    """

    def __init__(
        self,
        inputs: torch.Tensor,
        sweeps: torch.Tensor,
        pieces: Sequence[str],
        transposed: bool = False,
    ) -> None:
        self.inputs = inputs  # (N, G, T, I)
        self.sweeps = sweeps  # (N, D, G, T, O)
        self.pieces = tuple(pieces)  # of "weight", "bias", in the block's order
        self.transposed = transposed  # weights of shape (I, O), as an embedding's
        self.dtype, self.epsilon = sweeps.dtype, torch.finfo(sweeps.dtype).eps
        self.n_samples, self.n_outputs = sweeps.shape[:2]
        self.groups, self.positions, self.width = sweeps.shape[2:]
        self.fan_in = inputs.shape[3]
        sizes = {
            "weight": self.groups * self.width * self.fan_in,
            "bias": self.groups * self.width,
        }
        self.n_params = sum(sizes[piece] for piece in self.pieces)
        self.sizes = [sizes[piece] for piece in self.pieces]

    @property
    def is_plain(self) -> bool:
        """Say whether this is a linear layer's, called once on one vector per sample."""
        return self.positions == 1 and self.groups == 1 and not self.transposed

    def gram(self) -> torch.Tensor:
        """Return J J' (N D, N D) in float64, by whichever way costs less.

        Returns
        -------
        Tensor of shape (N * D, N * D)
            The Gram matrix.
        """
        by_positions, by_jacobian = self._operations(self.n_samples)
        if self.positions == 1 or by_positions < by_jacobian:
            return sum(self.gram_of_group(g, torch.float64) for g in range(self.groups))
        return self._gram_by_jacobian()

    def gram_operations(self, n_samples: int) -> float:
        """Count the multiplications of the way that costs less.

        Parameters
        ----------
        n_samples : int
            Samples, which need not be those of this factor.

        Returns
        -------
        float
            Multiplications of matrix products, or what takes as long.
        """
        by_positions, by_jacobian = self._operations(n_samples)
        return by_positions if self.positions == 1 else min(by_positions, by_jacobian)

    def _operations(self, n_samples):
        """Count multiplications by pairs of positions, and by the Jacobian."""
        n_rows, t = float(n_samples * self.n_outputs), self.positions
        pairs = n_rows**2 * t * (t + 1) / 2
        products = self.width + self.fan_in / self.n_outputs**2
        by_positions = self.groups * pairs * (products + ELEMENTWISE)
        return by_positions, n_rows * self.n_params * (t + n_rows)

    def gram_of_group(self, g: int, dtype: torch.dtype) -> torch.Tensor:
        """Return what one group adds to J J' (N D, N D), by pairs of positions.

        Parameters
        ----------
        g : int
            Number of the group.
        dtype : torch.dtype
            Precision of the sums.

        Returns
        -------
        Tensor of shape (N * D, N * D)
            Its share of the Gram matrix.
        """
        weight, bias = "weight" in self.pieces, "bias" in self.pieces
        return gram_by_positions(self.sweeps[:, :, g], self.inputs[:, g], weight, bias, dtype)

    def _gram_by_jacobian(self):
        """Accumulate the products of slices of the Jacobian that fit in memory."""
        n_rows = self.n_samples * self.n_outputs
        gram = self.sweeps.new_zeros(n_rows, n_rows, dtype=torch.float64)
        step = max(1, int(MAX_BLOCK_ENTRIES // max(1, n_rows * self.fan_in)))
        for g in range(self.groups):
            for start in range(0, self.width, step):
                sweeps = self.sweeps[:, :, g, :, start : start + step]
                if "weight" in self.pieces:
                    rows = torch.einsum("ncto,nti->ncoi", sweeps, self.inputs[:, g])
                    rows = rows.reshape(n_rows, -1).double()
                    gram += rows @ rows.T
                if "bias" in self.pieces:
                    rows = sweeps.sum(dim=2).reshape(n_rows, -1).double()
                    gram += rows @ rows.T
        return gram

    def matvec(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return J v for vectors (k, p) as (k, N, D).

        Parameters
        ----------
        vectors : Tensor of shape (k, p)
            Vectors in the parameters.

        Returns
        -------
        Tensor of shape (k, N, D)
            Their images.
        """
        k, g = len(vectors), self.groups
        sent: Any = 0.0
        for piece, part in zip(self.pieces, vectors.split(self.sizes, dim=1)):
            if piece == "weight" and g == 1:
                # All vectors in one product, and what follows finds them side by side.
                weights = self._unflatten(part).reshape(k * self.width, self.fan_in)
                sent = sent + (self.inputs.reshape(-1, self.fan_in) @ weights.T).view(
                    self.n_samples, self.positions, k, 1, self.width
                )
            elif piece == "weight":
                weights = self._unflatten(part)
                sent = sent + torch.einsum("kgoi,ngti->ntkgo", weights, self.inputs)
            else:
                sent = sent + part.view(k, g, self.width)
        sent = sent.expand(self.n_samples, self.positions, k, g, self.width)
        # (N, k, G T O) times (N, G T O, D): with the vectors on the right it takes three times as
        # long.
        order = (0, 2, 3, 4, 1) if self._positions_last else (0, 2, 3, 1, 4)
        sent = sent.permute(order).reshape(self.n_samples, k, -1)
        return (sent @ self._flat_sweeps().mT).transpose(0, 1)

    def rmatvec(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return J' u for outputs (k, N, D) as (k, p).

        Parameters
        ----------
        outputs : Tensor of shape (k, N, D)
            Vectors in the outputs.

        Returns
        -------
        Tensor of shape (k, p)
            Their images.
        """
        k, g = len(outputs), self.groups
        sent = outputs.transpose(0, 1) @ self._flat_sweeps()
        if self._positions_last:
            sent = sent.view(self.n_samples, k, g, self.width, self.positions).mT
        else:
            sent = sent.view(self.n_samples, k, g, self.positions, self.width)
        parts = []
        for piece in self.pieces:
            if piece == "weight" and g == 1:
                weights = self._weights_from(sent)
                parts.append(self._flatten(weights.view(k, 1, self.width, self.fan_in)))
            elif piece == "weight":
                weights = torch.einsum("nkgto,ngti->kgoi", sent, self.inputs)
                parts.append(self._flatten(weights))
            else:
                parts.append(sent.sum(dim=(0, 3)).reshape(k, -1))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _weights_from(self, sent):
        """Sum what is sent (N, k, 1, T, O) times what is received over samples and positions."""
        k = sent.shape[1]
        if self.positions < COPIED_POSITIONS or self.inputs.is_contiguous():
            rows = sent.permute(0, 2, 3, 1, 4).reshape(-1, k * self.width)
            return rows.T @ self.inputs.reshape(-1, self.fan_in)
        # Sample by sample, so that neither side is copied into another order.
        total = sent.new_zeros(k * self.width, self.fan_in)
        columns = sent[:, :, 0].mT.reshape(self.n_samples, k * self.width, self.positions)
        for part, received in zip(columns, self.inputs[:, 0]):
            total.addmm_(part, received)
        return total

    @property
    def _positions_last(self):
        """Say whether positions, not units, are neighbours in memory: so convolutions send."""
        return self.positions > 1 and self.sweeps.mT.is_contiguous()

    def _flat_sweeps(self):
        """View the sweeps as (N, D, G T O), or as (N, D, G O T), as they lie in memory."""
        sweeps = self.sweeps.mT if self._positions_last else self.sweeps
        return sweeps.reshape(self.n_samples, self.n_outputs, -1)

    def dense(self) -> torch.Tensor:
        """Return J (N, D, p).

        Returns
        -------
        Tensor of shape (N, D, p)
            The Jacobian.
        """
        parts = []
        for piece in self.pieces:
            if piece == "weight":
                if self.positions == 1 and self.groups == 1:
                    sweeps, inputs = self.sweeps[:, :, 0, 0], self.inputs[:, 0, 0]
                    weights = (sweeps[:, :, :, None] * inputs[:, None, None, :]).unsqueeze(2)
                elif self._positions_last and self.groups == 1:
                    sweeps = self._flat_sweeps().view(self.n_samples, -1, self.positions)
                    weights = (sweeps @ self.inputs[:, 0]).view(
                        self.n_samples, self.n_outputs, 1, self.width, self.fan_in
                    )
                else:
                    weights = torch.einsum("ncgto,ngti->ncgoi", self.sweeps, self.inputs)
                if self.transposed:
                    weights = weights.transpose(-1, -2)
                parts.append(weights.reshape(self.n_samples, self.n_outputs, -1))
            else:
                bias = self.sweeps.sum(dim=3)
                parts.append(bias.reshape(self.n_samples, self.n_outputs, -1))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    def weighted(self, factors: torch.Tensor) -> OuterFactor:
        """Return the factor of B' J for B (N, D, R).

        Parameters
        ----------
        factors : Tensor of shape (N, D, R)
            Columns to apply to each sample's outputs.

        Returns
        -------
        OuterFactor
            A factor with R outputs.
        """
        factors = factors.to(self.sweeps.dtype)
        n_samples, n_outputs = self.n_samples, self.n_outputs
        sweeps = factors.mT @ self.sweeps.reshape(n_samples, n_outputs, -1)
        sweeps = sweeps.reshape(n_samples, -1, *self.sweeps.shape[2:])
        return OuterFactor(self.inputs, sweeps, self.pieces, self.transposed)

    def condensed(self) -> OuterFactor | DenseFactor:
        """Return the form in which products cost least.

        Products by positions cost N G T O (I + D) operations, those with a dense Jacobian N D p.

        Returns
        -------
        OuterFactor or DenseFactor
            A factor of the same Jacobian.
        """
        if self.prefers_dense:
            return DenseFactor(self.dense())
        sweeps = self.sweeps if self._positions_last else self.sweeps.contiguous()
        if sweeps is self.sweeps and self.inputs.is_contiguous():
            return self
        return OuterFactor(self.inputs.contiguous(), sweeps, self.pieces, self.transposed)

    @property
    def prefers_dense(self) -> bool:
        """Say whether products with a dense Jacobian cost less than those by positions."""
        n, c = self.n_samples, self.n_outputs
        by_positions = n * self.groups * self.positions * self.width * (self.fan_in + c)
        return n * c * self.n_params < min(by_positions, MAX_KEPT_ENTRIES)

    def narrowed(self) -> OuterFactor:
        """Return a factor with the same Gram matrix and fewer parameters, where that is easy.

        It is that of J Q for orthonormal columns Q whose span holds the rows of J but for rounding:
        units that are silent on all samples go, and where each sample has one position, so do all
        directions that neither what is received nor the sweeps ever take.

        Returns
        -------
        OuterFactor
            A factor of a Jacobian whose rows have the same inner products.
        """
        n, c, t = self.n_samples, self.n_outputs, self.positions
        if self.groups > 1:
            return self
        extent = _extent(self.sweeps)
        if not torch.isfinite(extent).all() or (t > 1 and bool((extent > 0).all())):
            return self
        if not torch.isfinite(self.inputs.sum()):
            return self
        inputs = self.inputs.new_ones(n * t, 1)
        if "weight" in self.pieces:
            inputs = self.inputs.reshape(n * t, -1)
            if "bias" in self.pieces:
                inputs = torch.cat([inputs, inputs.new_ones(n * t, 1)], dim=1)
        inputs = _without_silent_columns(inputs)
        active = extent > 0
        active[0] |= ~active.any()
        sweeps = self.sweeps[..., active].reshape(n * c * t, -1)
        if t == 1:
            inputs, sweeps = _with_fewest_columns(inputs), _with_fewest_columns(sweeps)
            inputs, sweeps = _rounded_up(inputs), _rounded_up(sweeps)
        return OuterFactor(inputs.reshape(n, 1, t, -1), sweeps.reshape(n, c, 1, t, -1), ("weight",))

    def _flatten(self, weights):
        """Turn weights (k, G, O, I) into the parameter's own flat order."""
        if self.transposed:
            weights = weights.transpose(-1, -2)
        return weights.reshape(len(weights), -1)

    def _unflatten(self, flat):
        """Turn a flat parameter (k, G O I) into weights (k, G, O, I)."""
        k = len(flat)
        if self.transposed:
            return flat.view(k, self.groups, self.fan_in, self.width).transpose(-1, -2)
        return flat.view(k, self.groups, self.width, self.fan_in)

    @staticmethod
    def joined(parts: Sequence[OuterFactor]) -> OuterFactor:
        """Join the factors of several chunks, padding positions with zeros where they differ.

        Parameters
        ----------
        parts : sequence of OuterFactor
            Factors of one layer, on samples that follow each other.

        Returns
        -------
        OuterFactor
            The factor on all samples.
        """
        positions = max(part.positions for part in parts)

        def padded(tensor, axis, have):
            if have == positions:
                return tensor
            shape = list(tensor.shape)
            shape[axis] = positions - have
            return torch.cat([tensor, tensor.new_zeros(shape)], dim=axis)

        first = parts[0]
        inputs = torch.cat([padded(part.inputs, 2, part.positions) for part in parts])
        sweeps = torch.cat([padded(part.sweeps, 3, part.positions) for part in parts])
        return OuterFactor(inputs, sweeps, first.pieces, first.transposed)

    @staticmethod
    def added(parts: Sequence[OuterFactor]) -> OuterFactor:
        """Add the factors of several calls on the same samples: more positions.

        Parameters
        ----------
        parts : sequence of OuterFactor
            Factors of one layer, on the same samples.

        Returns
        -------
        OuterFactor
            The factor of the sum of their Jacobians.
        """
        inputs = torch.cat([part.inputs for part in parts], dim=2)
        sweeps = torch.cat([part.sweeps for part in parts], dim=3)
        return OuterFactor(inputs, sweeps, parts[0].pieces, parts[0].transposed)


def _extent(tensor):
    """Return the largest size of an entry along the last axis; NaN and infinity show."""
    axes = tuple(range(tensor.ndim - 1))
    return torch.maximum(tensor.amax(dim=axes), -tensor.amin(dim=axes))


def _without_silent_columns(matrix):
    """Drop the columns that are zero throughout, but for one."""
    active = _extent(matrix) > 0
    active[0] |= ~active.any()
    return matrix if bool(active.all()) else matrix[:, active]


def _rounded_up(matrix):
    """Append columns of zeros where matrix products then take less time, for all their number."""
    missing = -matrix.shape[1] % COLUMNS_IN_STEP
    if not missing or matrix.shape[1] < 3 * COLUMNS_IN_STEP:
        return matrix
    return torch.cat([matrix, matrix.new_zeros(len(matrix), missing)], dim=1)


def _with_fewest_columns(matrix):
    """Return X Q for X (m, d), Q orthonormal, with X Q Q' X' = X X' but for rounding."""
    n_rows, n_columns = matrix.shape
    if min(n_rows, n_columns) > MAX_NARROWED:
        return matrix
    epsilon = torch.finfo(matrix.dtype).eps
    wide = n_rows < n_columns
    gram = matrix.double() @ matrix.double().T if wide else (matrix.T @ matrix).double()
    values, vectors = torch.linalg.eigh(gram)
    kept = values > epsilon * values[-1]
    kept[-1] = True
    vectors = vectors[:, kept]
    if wide:
        return (vectors * values[kept].clamp_min(0).sqrt()).to(matrix.dtype)
    return matrix @ vectors.to(matrix.dtype)
