"""The ways to a layer's spectrum, what each costs, and which one is taken."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "LayerSizes",
    "Surroundings",
    "Way",
    "allowed_ways",
    "choose_way",
    "slice_bytes",
    "ways",
]

FACTOR, DENSE, LANCZOS = "factors", "dense", "lanczos"
# Vectors that are multiplied at once where a Hessian is formed.
VECTORS_AT_ONCE = 64
# Arrays of the matrix's own size that a decomposition holds: it, a copy, the library's.
COPIES = 3
# Vectors beside its basis that Lanczos holds for every probe.
EXTRA_VECTORS = 5
# Least bytes of a Jacobian that are brought to float64 at once.
LEAST_SLICE = 2**23


@dataclass(frozen=True)
class LayerSizes:
    """What the cost of a layer's spectrum depends on.

    `n_rows` is N times the rank of the output Hessians; `by_factor` says whether a Gauss-Newton
    matrix is wanted, or the Hessian is one; `kept` counts the bytes of its factor. A `plain` one's
    Gram matrix needs no Jacobian. Only where the loss is convex may Lanczos run among the outputs.
    """

    n_params: int
    n_rows: int
    by_factor: bool
    kept: float = 0.0
    itemsize: int = 8
    convex: bool = True
    plain: bool = False


@dataclass(frozen=True)
class Surroundings:
    """Bytes that a way takes beside its own: `capture` builds the factor, in chunks.

    `graph` is kept for products with Hessians, to which every vector multiplied at once adds
    `vector`. `limit` is what all together may take; None sets no bound.
    """

    capture: float = 0.0
    graph: float = 0.0
    vector: float = 0.0
    limit: float | None = None


@dataclass(frozen=True)
class Way:
    """A way to a spectrum: its name, floating-point operations, peak of bytes, size of its matrix.

    `by_factor` says whether products are by a factor; `n_vectors` how many are taken at once.
    """

    name: str
    operations: float
    bytes: float
    side: int
    by_factor: bool = False
    n_vectors: int = 1


def ways(sizes, settings, around=None):
    """List all ways to a layer's spectrum, the exact ones first, with their costs.

    An eigen-decomposition without vectors takes 4/3 n^3 operations at about a third of the speed of
    a matrix product; hence the factor 4.
    """
    around = Surroundings() if around is None else around
    p, m = sizes.n_params, sizes.n_rows
    found = []
    if sizes.by_factor:
        side = max(1, min(p, m))
        operations = 4 * side**3 + 2 * m * side * max(side, 1)
        rows = 0.0 if sizes.plain and p > m else (sizes.itemsize + 8) * m * p
        own = sizes.kept + COPIES * 8 * side**2 + min(rows, slice_bytes(around.limit))
        found.append(Way(FACTOR, operations, max(around.capture, own), side, True))
    if settings.curvature == "hessian" or not sizes.by_factor:
        k = _largest(
            min(p, VECTORS_AT_ONCE),
            around.graph + COPIES * 8 * p**2,
            around.vector + 2 * sizes.itemsize * p,
            around.limit,
        )
        size = around.graph + COPIES * 8 * p**2 + k * (around.vector + 2 * sizes.itemsize * p)
        found.append(Way(DENSE, 4 * p**3 + 2 * m * p**2, size, p, False, k))
    if sizes.by_factor:
        side = max(1, min(p, m)) if sizes.convex else p
        found.append(_lanczos(sizes, settings, side, around.capture, sizes.kept, 0.0, around.limit))
    if settings.curvature == "hessian" or not sizes.by_factor:
        found.append(
            _lanczos(sizes, settings, p, 0.0, around.graph, around.vector, around.limit, False)
        )
    return found


def _lanczos(sizes, settings, side, before, kept, vector, limit, by_factor=True):
    """Describe Lanczos on vectors of a length, with as many probes at once as the limit allows."""
    steps = min(settings.n_lanczos_steps, side)
    basis = (steps + EXTRA_VECTORS) * side * sizes.itemsize + vector
    k = _largest(settings.n_probes, kept, basis, limit)
    operations = 4 * settings.n_products * settings.n_lanczos_steps * side
    return Way(LANCZOS, operations, max(before, kept + k * basis), side, by_factor, k)


def _largest(most, kept, each, limit):
    """Count how many vectors fit, from one on."""
    if limit is None:
        return most
    return int(max(1, min(most, (limit - kept) // max(1.0, each))))


def slice_bytes(limit):
    """Bytes of a Jacobian that may be brought to float64 at once."""
    return 12.0 * 30_000_000 if limit is None else max(LEAST_SLICE, 0.125 * limit)


def choose_way(name, sizes, settings, around=None):
    """Choose the way for one layer: exact up to the limits, Lanczos beyond, as `method` says."""
    around = Surroundings(limit=settings.max_memory) if around is None else around
    options = ways(sizes, settings, around)
    if settings.method == "exact":
        exact = min((way for way in options if way.name != LANCZOS), key=_exact_cost)
        _check_fits(name, sizes, exact, settings, around)
        return exact
    options = allowed_ways(options, settings)
    for way in options:
        if around.limit is None or way.bytes <= around.limit:
            return way
    return min(options, key=lambda way: way.bytes)


def allowed_ways(options, settings):
    """List the ways that `method` and the limits on sides allow, the best first."""
    exact = [way for way in options if way.name != LANCZOS]
    lanczos = [way for way in options if way.name == LANCZOS]
    if settings.method == "exact":
        return exact
    if settings.method == "lanczos":
        return lanczos
    limits = {FACTOR: settings.exact_limit, DENSE: settings.dense_limit}
    exact = [way for way in exact if way.side <= limits[way.name]]
    return sorted(exact, key=_exact_cost) + lanczos


def _exact_cost(way):
    """Order exact ways: by the side of the matrix, factors first."""
    return way.side, way.name != FACTOR


def _check_fits(name, sizes, way, settings, around):
    """Refuse an exact spectrum whose matrices do not fit in memory."""
    limit = settings.memory_limit() if around.limit is None else around.limit
    if way.bytes > limit:
        advice = "method='auto' or 'lanczos' for it"
        if way.name == DENSE:
            advice += ", or curvature='ggn', which is exact at any number of parameters"
        raise ValueError(
            f"Expected layers whose exact spectrum fits in memory for method='exact', found "
            f"{name!r} with {sizes.n_params} parameters, which needs a matrix of side {way.side} "
            f"and {way.bytes / 2**30:.1f} GiB of {limit / 2**30:.1f} GiB. Use {advice}."
        )
