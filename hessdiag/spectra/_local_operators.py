"""Local curvature matrices as operators: factors for Gauss-Newton, double backward for the rest."""

from __future__ import annotations

import math

import torch

__all__ = ["LocalOperators", "coincidence_threshold"]


def coincidence_threshold(dtype):
    """Relative gap below which Hessian and Gauss-Newton matrix are the same but for rounding."""
    return 1e-6 if dtype == torch.float64 else 1e-4


class LocalOperators:
    """Products with, and dense forms of, every layer's ``J' B diag(s) B' J + R``.

    `weighted_factors` {name: factor of B' J} may be None where the scalar is no function of the
    outputs; `beyond` (HessianProducts) then is the whole Hessian, and else the residual part R, or
    None where only Gauss-Newton matrices are wanted.
    """

    def __init__(self, blocks, weighted_factors, signs, beyond):
        self.blocks = {block.name: block for block in blocks}
        self.factors = weighted_factors
        self.signs = signs
        self.beyond = beyond
        self.coincident = set()

    def by_factor(self, name):
        """Say whether a layer's matrix is a Gauss-Newton matrix, known by its factor."""
        return self.factors is not None and (self.beyond is None or name in self.coincident)

    def output_products(self, name, vectors):
        """Multiply vectors (k, N R) by B' J J' B, which has a Gauss-Newton matrix's eigenvalues."""
        factor = self.factors[name]
        outputs = vectors.view(len(vectors), factor.n_samples, factor.n_outputs)
        return factor.matvec(factor.rmatvec(outputs)).reshape(len(vectors), -1)

    def gauss_newton(self, name, vectors):
        """Multiply vectors (k, p) by the Gauss-Newton matrix of one layer."""
        factor = self.factors[name]
        image = factor.matvec(vectors)
        if self.signs is not None:
            image = image * self.signs.to(image.dtype)
        return factor.rmatvec(image)

    def measure_gaps(self, generator):
        """Return {name: |R v| / |H v|} for one random v per layer, and note where it vanishes."""
        vectors = {}
        for name, block in self.blocks.items():
            first = block.parameters[0]
            v = torch.randn(1, block.n_params, generator=generator, dtype=torch.float64)
            vectors[name] = v.to(device=first.device, dtype=first.dtype)
        gaps = {}
        for name, rest in self.beyond.products(vectors).items():
            whole = rest + self.gauss_newton(name, vectors[name])
            size, part = float(whole.norm()), float(rest.norm())
            gaps[name] = part / size if size != 0 else (0.0 if part == 0 else math.inf)
            if gaps[name] <= coincidence_threshold(rest.dtype):
                self.coincident.add(name)
        return gaps

    def products(self, vectors):
        """Return {name: A v} for {name: v (k, p)}."""
        images = {}
        if self.beyond is not None:
            bent = {name: v for name, v in vectors.items() if name not in self.coincident}
            images = self.beyond.products(bent) if bent else {}
        if self.factors is not None:
            for name, v in vectors.items():
                image = self.gauss_newton(name, v)
                images[name] = images[name] + image if name in images else image
        return images

    def dense(self, name):
        """Return the matrix (p, p) of one layer."""
        matrix = 0.0
        if self.beyond is not None and name not in self.coincident:
            matrix = self.beyond.dense(name)
        if self.factors is not None:
            factor = self.factors[name]
            rows = factor.dense()
            left = rows if self.signs is None else rows * self.signs.to(rows.dtype)[:, :, None]
            p = factor.n_params
            matrix = matrix + left.reshape(-1, p).T @ rows.reshape(-1, p)
        return matrix
