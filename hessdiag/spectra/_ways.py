"""The ways to a layer's spectrum: each knows what it costs, and carries itself out.

A way is made for one layer from its `LayerSizes` and `Surroundings`; what it says it takes is what
its execution takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hessdiag.spectra._exact import dense_spectrum, ggn_spectrum, slice_bytes
from hessdiag.spectra._lanczos import lanczos, quadrature
from hessdiag.spectra._operators import joint_products
from hessdiag.spectra.results import Spectrum

# Vectors that are multiplied at once where a Hessian is formed.
VECTORS_AT_ONCE = 64
# Arrays of the matrix's own size that a decomposition holds: it, a copy, the library's.
COPIES = 3
# Vectors beside its basis that Lanczos holds for every probe.
EXTRA_VECTORS = 5
# Operations of products by passes through the net that may form a Hessian: some ten seconds' worth.
MAX_DENSE_OPERATIONS = 5e10
# Rows of a dense Jacobian are read once per product among parameters, twice among outputs, where
# they do not stay in the processor's cache.
DENSE_AMONG_OUTPUTS = 8


@dataclass(frozen=True)
class LayerSizes:
    """What the cost of a layer's spectrum depends on.

    `n_rows` is N times the rank of the output Hessians; `by_factor` says whether a Gauss-Newton
    matrix is wanted, or the Hessian is one; `kept` counts the bytes of its factor. A `plain` one's
    Gram matrix needs no Jacobian; one that `prefers_dense` is multiplied as a dense Jacobian. Only
    where the loss is convex may Lanczos run among the outputs.
    """

    n_params: int
    n_rows: int
    by_factor: bool
    kept: float = 0.0
    itemsize: int = 8
    convex: bool = True
    plain: bool = False
    prefers_dense: bool = False


@dataclass(frozen=True)
class Surroundings:
    """Bytes that a way takes beside its own: `capture` builds the factor, in chunks.

    `graph` is kept for products with Hessians, to which every vector multiplied at once adds
    `vector`; at most `most_vectors` are. `limit` is what all together may take; None sets no bound.
    One product by passes through the net takes `product` floating-point operations.
    """

    capture: float = 0.0
    graph: float = 0.0
    vector: float = 0.0
    most_vectors: int = VECTORS_AT_ONCE
    limit: float | None = None
    product: float = 0.0


@dataclass(frozen=True)
class Way:
    """A way to a spectrum: floating-point operations, peak of bytes, side of its matrix.

    `by_factor` says whether products are by a factor; `n_vectors` how many are taken at once;
    `limit` what all may take, None for no bound.
    """

    name: ClassVar[str]
    is_exact: ClassVar[bool] = True

    operations: float
    bytes: float
    side: int
    by_factor: bool = False
    n_vectors: int = 1
    limit: float | None = None


class FactorWay(Way):
    """Eigenvalues of a Gauss-Newton matrix from its factor, the smaller side of the two.

    An eigen-decomposition without vectors takes 4/3 n^3 operations at about a third of the speed
    of a matrix product; hence the factor 4.
    """

    name = "factors"

    @classmethod
    def among(cls, sizes, settings, around):
        """List this way, where a layer has it."""
        if not sizes.by_factor:
            return []
        p, m = sizes.n_params, sizes.n_rows
        side = max(1, min(p, m))
        operations = 4 * side**3 + 2 * m * side * side
        rows = 0.0 if sizes.plain and p > m else (sizes.itemsize + 8) * m * p
        own = sizes.kept + COPIES * 8 * side**2 + min(rows, slice_bytes(around.limit))
        return [cls(operations, max(around.capture, own), side, True, limit=around.limit)]

    def spectrum(self, operator, settings, gap):
        """Compute the spectrum of a `FactorOperator`."""
        limit = None if self.limit is None else settings.max_memory
        return ggn_spectrum(
            operator.factor, operator.signs, settings.curvature, gap, limit, settings.resolution
        )


class DenseWay(Way):
    """Eigenvalues of a matrix that is formed, column by column."""

    name = "dense"

    @classmethod
    def among(cls, sizes, settings, around):
        """List this way, where a layer has it."""
        if settings.curvature != "hessian" and sizes.by_factor:
            return []
        p, m = sizes.n_params, sizes.n_rows
        held, each = around.graph + COPIES * 8 * p**2, around.vector + 2 * sizes.itemsize * p
        k = _largest(min(p, around.most_vectors), held, each, around.limit)
        operations = 4 * p**3 + 2 * m * p**2
        return [cls(operations, held + k * each, p, False, k, around.limit)]

    def spectrum(self, operator, settings, gap):
        """Compute the spectrum of an operator whose matrix can be formed."""
        matrix = operator.dense(self.n_vectors)
        return dense_spectrum(matrix, settings.curvature, gap, settings.resolution)


class LanczosWay(Way):
    """Stochastic Lanczos quadrature, by a factor or by passes through the net.

    By a factor it runs among the parameters or, if `side` is smaller, among the outputs.
    """

    name = "lanczos"
    is_exact = False

    @classmethod
    def among(cls, sizes, settings, around):
        """List these ways: by the factor, if there is one, and by passes through the net."""
        p, m, found = sizes.n_params, sizes.n_rows, []
        if sizes.by_factor:
            rows = m * (DENSE_AMONG_OUTPUTS if sizes.prefers_dense else 1)
            side = max(1, m) if sizes.convex and rows < p else p
            found.append(cls._with(sizes, settings, side, around, around.capture, sizes.kept, 0.0))
        if settings.curvature == "hessian" or not sizes.by_factor:
            graph, vector = around.graph, around.vector
            found.append(cls._with(sizes, settings, p, around, 0.0, graph, vector, False))
        return found

    @classmethod
    def _with(cls, sizes, settings, side, around, before, kept, vector, by_factor=True):
        """Make the way on vectors of a length, with as many probes at once as the limit allows."""
        steps = min(settings.n_lanczos_steps, side)
        basis = (steps + EXTRA_VECTORS) * side * sizes.itemsize + vector
        k = _largest(settings.n_probes, kept, basis, around.limit)
        operations = 4 * settings.n_products * settings.n_lanczos_steps * side
        return cls(operations, max(before, kept + k * basis), side, by_factor, k, around.limit)

    def space(self, operator):
        """Return the operator in the space in which this way runs."""
        if self.by_factor and self.side < operator.block.n_params:
            return operator.among_outputs()
        return operator

    @staticmethod
    def spectra(operators, starts, settings, gaps, n_vectors):
        """Run several operators in lockstep from their starts {name: (n_probes, size)}.

        At most `n_vectors` of the probes run together.
        """

        def products(vectors):
            return joint_products(operators, vectors)

        spectra, runs = {}, {name: [] for name in starts}
        for first in range(0, settings.n_probes, n_vectors):
            some = {name: start[first : first + n_vectors] for name, start in starts.items()}
            found = lanczos(
                products, some, settings.n_lanczos_steps, settings.tolerance, settings.deadline
            )
            for name in starts:
                runs[name] += found[name]
        for name, operator in operators.items():
            n_params, size = operator.block.n_params, operator.size
            nodes, weights, trace, error = quadrature(runs[name], size)
            if size < n_params:
                # The nonzero eigenvalues are those of B' J J' B; the rest of the spectrum is zero.
                nodes = np.append(nodes, 0.0)
                weights = np.append(weights * size / n_params, 1 - size / n_params)
            spectra[name] = Spectrum(
                n_params,
                False,
                nodes,
                weights,
                trace,
                error,
                settings.curvature,
                gaps.get(name, math.nan),
            )
        return spectra


def _largest(most, kept, each, limit):
    """Count how many vectors fit, from one on."""
    if limit is None:
        return most
    return int(max(1, min(most, (limit - kept) // max(1.0, each))))


def ways(sizes, settings, around=None):
    """List all ways to a layer's spectrum, the exact ones first."""
    around = Surroundings() if around is None else around
    return [way for kind in KINDS for way in kind.among(sizes, settings, around)]


KINDS = (FactorWay, DenseWay, LanczosWay)


def choose_way(name, sizes, settings, around=None):
    """Choose the way for one layer: exact up to the limits, Lanczos beyond, as `method` says."""
    around = Surroundings(limit=settings.max_memory) if around is None else around
    options = ways(sizes, settings, around)
    if settings.method == "exact":
        exact = min((way for way in options if way.is_exact), key=_exact_cost)
        _check_fits(name, sizes, exact, settings, around)
        return exact
    options = allowed_ways(options, settings, around.product)
    for way in options:
        if around.limit is None or way.bytes <= around.limit:
            return way
    return min(options, key=lambda way: way.bytes)


def allowed_ways(options, settings, product=0.0):
    """List the ways that `method` and the limits allow, the best first.

    A Hessian that is formed by as many products as it has columns must not take long, unless
    Lanczos takes as many.
    """
    exact = [way for way in options if way.is_exact]
    inexact = [way for way in options if not way.is_exact]
    if settings.method == "exact":
        return exact
    if settings.method == "lanczos":
        return inexact
    limits = {FactorWay: settings.exact_limit, DenseWay: settings.dense_limit}
    most = max(settings.n_products, MAX_DENSE_OPERATIONS / max(1.0, product))
    exact = [
        way
        for way in exact
        if way.side <= limits[type(way)] and (way.by_factor or way.side <= most)
    ]
    return sorted(exact, key=_exact_cost) + inexact


def _exact_cost(way):
    """Order exact ways: by the side of the matrix, factors first."""
    return way.side, not way.by_factor


def _check_fits(name, sizes, way, settings, around):
    """Refuse an exact spectrum whose matrices do not fit in memory."""
    limit = settings.memory_limit() if around.limit is None else around.limit
    if way.bytes > limit:
        advice = "method='auto' or 'lanczos' for it"
        if isinstance(way, DenseWay):
            advice += ", or curvature='ggn', which is exact at any number of parameters"
        raise ValueError(
            f"Expected layers whose exact spectrum fits in memory for method='exact', found "
            f"{name!r} with {sizes.n_params} parameters, which needs a matrix of side {way.side} "
            f"and {way.bytes / 2**30:.1f} GiB of {limit / 2**30:.1f} GiB. Use {advice}."
        )
