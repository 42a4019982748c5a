"""Local curvature matrices as operators: factors for Gauss-Newton, double backward for the rest."""

from __future__ import annotations

import math

import torch

from hessdiag.curvature.factors import OuterFactor, form_gram, gram_pays
from hessdiag.curvature.products import linear_hessians

__all__ = [
    "LocalOperators",
    "coincidence_threshold",
    "forms_matrices",
    "gaps_by_products",
    "gaps_of_few",
    "gaps_on_few",
    "large_enough_for_few",
    "random_vectors",
    "relative_size",
]


# Sample-wise Hessians of more entries than this (160 MB in float64) are not kept.
MAX_MATRIX_ENTRIES = 20_000_000
# Products with the residual part are first taken on so few samples where on all of them they would
# take more floating-point operations than this, some ten seconds' worth.
FEW_SAMPLES = 2
MAX_GAP_OPERATIONS = 2e11
# Share of the threshold below which a gap on few samples needs no second look.
CLEARLY = 0.5


def coincidence_threshold(dtype):
    """Relative gap below which Hessian and Gauss-Newton matrix are the same but for rounding."""
    return 1e-6 if dtype == torch.float64 else 1e-4


def gaps_on_few(problem, generator):
    """Return {name: gap} of the layers whose Hessian on a few samples is a Gauss-Newton matrix.

    Only where products on all samples take long; else nothing is returned. The samples are drawn at
    random. A layer is mistaken only if its residual part differs from zero on samples that were not
    drawn and on none that were.
    """
    return gaps_of_few(problem, generator) if large_enough_for_few(problem) else {}


def large_enough_for_few(problem):
    """Say whether products on all samples take so long that a few samples are asked first."""
    if 3 * len(problem.blocks) * problem.operations() <= MAX_GAP_OPERATIONS:
        return False
    return problem.n_samples > 2 * FEW_SAMPLES


def gaps_by_products(problem, generator):
    """Return {name: |R v| / |H v|} for one random v per layer, by passes through the net alone.

    So where output Hessians are too large to be formed. Nothing depends on it there, so that a few
    samples, drawn at random, are enough.
    """
    some = problem
    if problem.n_samples > 2 * FEW_SAMPLES:
        drawn = torch.randperm(problem.n_samples, generator=generator)[:FEW_SAMPLES]
        some = problem.restrict(drawn)
    vectors = random_vectors(some.blocks, generator)
    parts = some.residual_products().products(vectors)
    wholes = some.whole_products().products(vectors)
    return {name: relative_size(part, wholes[name]) for name, part in parts.items()}


def gaps_of_few(problem, generator):
    """Return {name: gap} of the layers without a part beyond Gauss-Newton on a few samples."""
    few = problem
    if problem.n_samples > 2 * FEW_SAMPLES:
        chosen = torch.randperm(problem.n_samples, generator=generator)[:FEW_SAMPLES]
        few = problem.restrict(chosen)
    if few.outputs is None:
        return {}
    factors = few.factors(weighted=True)
    part = LocalOperators(few.blocks, factors, few.outputs.signs, few.residual_products())
    threshold = CLEARLY * coincidence_threshold(few.working_copy.dtype)
    gaps = part.measure_gaps(generator)
    return {name: gap for name, gap in gaps.items() if gap <= threshold}


def relative_size(part, whole):
    """Size of a part beside the whole's; 0 where there is no part, NaN where undefined."""
    size, part = float(whole.norm()), float(part.norm())
    if size == 0:
        return 0.0 if part == 0 else math.inf
    return part / size


def random_vectors(blocks, generator):
    """Draw one random vector (1, p) for every block: {name: v}."""
    vectors = {}
    for block in blocks:
        first = block.parameters[0]
        v = torch.randn(1, block.n_params, generator=generator, dtype=torch.float64)
        vectors[block.name] = v.to(device=first.device, dtype=first.dtype)
    return vectors


def forms_matrices(n_samples, width, n_products):
    """Say whether sample-wise Hessians (N, width, width) take less than products one by one."""
    return n_samples * width**2 <= MAX_MATRIX_ENTRIES and width <= n_products


class LocalOperators:
    """Products with, and dense forms of, every layer's ``J' B diag(s) B' J + R``.

    `weighted_factors` {name: factor of B' J} may be None where the scalar is no function of the
    outputs; `beyond` (HessianProducts) then is of the whole Hessian, and else of the residual part
    R, or None where only Gauss-Newton matrices are wanted. Where R is not zero, call
    `measure_gaps` and `prepare_hessians` before any product is taken. `coincident` names the layers
    where R is zero, `seen` holds {name: (v, H v)} for a random v of the others.
    """

    def __init__(self, blocks, weighted_factors, signs, beyond):
        self.blocks = {block.name: block for block in blocks}
        self.factors = None if weighted_factors is None else dict(weighted_factors)
        self.signs = signs
        self.beyond = beyond
        self.coincident = set()
        self.spaces = {}
        self.linear = {}
        self.whole = None
        # Columns of a Hessian that are formed at once.
        self.vectors_at_once = 64
        self.seen = {}

    def by_factor(self, name):
        """Say whether a layer's matrix is a Gauss-Newton matrix, known by its factor."""
        if self.factors is None or self.factors[name] is None:
            return False
        return self.beyond is None or name in self.coincident

    def in_output_space(self, name):
        """Say whether Lanczos runs on B' J J' B, being smaller than the Gauss-Newton matrix."""
        if name in self.spaces:
            return self.spaces[name]
        if self.signs is not None or not self.by_factor(name):
            return False
        factor = self.factors[name]
        n_rows = factor.n_samples * factor.n_outputs
        # Rows of a dense Jacobian are read once per product among parameters, twice among outputs.
        if factor.prefers_dense:
            n_rows *= 8
        return 0 < n_rows < self.blocks[name].n_params

    def output_products(self, name, vectors):
        """Multiply vectors (k, N R) by B' J J' B, which has a Gauss-Newton matrix's eigenvalues."""
        factor = self.factors[name]
        outputs = vectors.view(len(vectors), factor.n_samples, factor.n_outputs)
        return factor.gram_products(outputs).reshape(len(vectors), -1)

    def gauss_newton(self, name, vectors):
        """Multiply vectors (k, p) by the Gauss-Newton matrix of one layer."""
        return self.factors[name].gauss_newton(vectors, self.signs)

    def measure_gaps(self, generator):
        """Return {name: |R v| / |H v|} for one random v per layer, and note where it vanishes."""
        gaps = {}
        known = [block for name, block in self.blocks.items() if self.factors[name] is not None]
        vectors = random_vectors(known, generator)
        for name, rest in self.beyond.products(vectors).items():
            if not rest.any() and self.factors[name].is_finite:
                gaps[name] = 0.0
                self.coincident.add(name)
                continue
            image = rest + self.gauss_newton(name, vectors[name])
            gaps[name] = relative_size(rest, image)
            if gaps[name] <= coincidence_threshold(rest.dtype):
                self.coincident.add(name)
            else:
                self.seen[name] = (vectors[name], image)
        return gaps

    def measure_network_gap(self, beyond, block, generator):
        """Return |R v| / |H v| for one random v over all layers, `beyond` being of all as one."""
        if any(factor is None for factor in self.factors.values()):
            return math.nan
        (v,) = random_vectors([block], generator).values()
        parts = v.split([b.n_params for b in self.blocks.values()], dim=1)
        sent = sum(self.factors[name].matvec(part) for name, part in zip(self.blocks, parts))
        if self.signs is not None:
            sent = sent * self.signs.to(sent.dtype)
        curved = torch.cat([self.factors[name].rmatvec(sent) for name in self.blocks], dim=1)
        rest = beyond.products({block.name: v})[block.name]
        return relative_size(rest, rest + curved)

    def prepare_hessians(self, problem, n_products, whole=None):
        """Set up products with the whole Hessian of layers where Gauss-Newton is not enough.

        Double backward through the scalar itself serves all layers; for linear layers, Hessians of
        what they send are built sample by sample where that pays.

        `n_products` is the number of products that Lanczos would take. What is built must give the
        products that were `seen`. What only gaps were measured with is let go. `whole`, if given,
        are products with the Hessians of some blocks that have been recorded already.
        """
        chosen = []
        self.vectors_at_once = problem.vectors_at_once()
        for name, block in self.blocks.items():
            factor = self.factors[name]
            plain = isinstance(factor, OuterFactor) and factor.is_plain
            pays = plain and forms_matrices(factor.n_samples, factor.width, n_products)
            if pays and name in self.seen:
                chosen.append(block)
        if len(self.coincident) < len(self.blocks):
            bent = [b for name, b in self.blocks.items() if name not in self.coincident]
            enough = whole is not None and all(block.name in whole.blocks for block in bent)
            self.whole = whole if enough else problem.whole_products(bent)
        built = linear_hessians(problem, chosen, self.factors) if chosen else {}
        for name, hessian in built.items():
            vector, expected = self.seen[name]
            tolerance = 1e-9 if vector.dtype == torch.float64 else 1e-3
            if (hessian.products(vector) - expected).norm() <= tolerance * expected.norm():
                self.linear[name] = hessian
        self.beyond, self.seen = None, {}
        for name in self.blocks.keys() - self.coincident:
            self.factors[name] = None

    def let_go(self, name):
        """Let go of what only the products of one layer need: no more are due."""
        self.linear.pop(name, None)
        if self.factors is not None:
            self.factors[name] = None

    def shares_recording(self, name):
        """Say whether a layer's products take less time together with other layers'."""
        if name in self.linear or self.by_factor(name):
            return False
        return (self.beyond if self.whole is None else self.whole).records_anew

    def condense(self, name, n_products):
        """Bring the factor of a layer that many products are due with into its cheapest form."""
        # Decided once: a narrowed factor no longer multiplies vectors among parameters.
        self.spaces[name] = self.in_output_space(name)
        factor = self.factors[name]
        # In output space only the Gram matrix matters.
        if self.in_output_space(name):
            factor = factor.narrowed()
            if not factor.prefers_dense and gram_pays(factor, n_products):
                self.factors[name] = form_gram(factor)
                return
        self.factors[name] = factor.condensed()

    def products(self, vectors):
        """Return {name: A v} for {name: v (k, p)}."""
        images, rest = {}, {}
        for name, v in vectors.items():
            if name in self.linear:
                images[name] = self.linear[name].products(v)
            elif self.by_factor(name):
                images[name] = self.gauss_newton(name, v)
            else:
                rest[name] = v
        if rest:
            images |= (self.beyond if self.whole is None else self.whole).products(rest)
        return images

    def dense(self, name):
        """Return the matrix (p, p) of one layer."""
        if name in self.linear:
            return self.linear[name].dense()
        if not self.by_factor(name):
            products = self.beyond if self.whole is None else self.whole
            return products.dense(name, self.vectors_at_once)
        rows = self.factors[name].dense()
        left = rows if self.signs is None else rows * self.signs.to(rows.dtype)[:, :, None]
        p = self.factors[name].n_params
        return left.reshape(-1, p).T @ rows.reshape(-1, p)
