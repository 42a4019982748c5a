"""The ways to a layer's spectrum, what each costs, and which one is taken."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LayerSizes", "Way", "choose_way", "ways"]

FACTOR, DENSE, LANCZOS = "factors", "dense", "lanczos"


@dataclass(frozen=True)
class LayerSizes:
    """What the cost of a layer's spectrum depends on.

    `n_rows` is N times the rank of the output Hessians; `by_factor` says whether a Gauss-Newton
    matrix is wanted, or the Hessian is one.
    """

    n_params: int
    n_rows: int
    by_factor: bool


@dataclass(frozen=True)
class Way:
    """A way to a spectrum: its name, floating-point operations, bytes, and size of its matrix."""

    name: str
    operations: float
    bytes: float
    side: int


def ways(sizes, settings, product_operations=0.0):
    """List all ways to a layer's spectrum, with their costs.

    An eigen-decomposition without vectors takes 4/3 n^3 operations at about a third of the speed of
    a matrix product; hence the factor 4.
    """
    p, m = sizes.n_params, sizes.n_rows
    found = []
    if sizes.by_factor:
        side = max(1, min(p, m))
        operations = 4 * side**3 + 2 * m * side * max(side, 1)
        found.append(Way(FACTOR, operations, 3 * 8 * side**2, side))
    dense = 4 * p**3 + p * product_operations + 2 * m * p**2
    found.append(Way(DENSE, dense, 3 * 8 * p**2, p))
    n_vectors = settings.n_probes * settings.n_lanczos_steps
    side = min(p, m) if sizes.by_factor else p
    steps = n_vectors * (product_operations + 4 * settings.n_lanczos_steps * side)
    found.append(Way(LANCZOS, steps, 8 * n_vectors * side, side))
    return found


def choose_way(name, sizes, settings, product_operations=0.0):
    """Choose the way for one layer: exact up to the limits, Lanczos beyond, as `method` says."""
    options = {way.name: way for way in ways(sizes, settings, product_operations)}
    exact = options.get(FACTOR)
    if exact is None or (options[DENSE].side < exact.side):
        exact = options[DENSE]
    if settings.method == "lanczos":
        return options[LANCZOS]
    limit = settings.exact_limit if exact.name == FACTOR else settings.dense_limit
    fits = settings.max_memory is None or exact.bytes <= settings.max_memory
    if settings.method == "exact":
        _check_fits(name, sizes, exact, settings)
        return exact
    return exact if exact.side <= limit and fits else options[LANCZOS]


def _check_fits(name, sizes, way, settings):
    """Refuse an exact spectrum whose matrices do not fit in memory."""
    limit = settings.memory_limit()
    if way.bytes > limit:
        advice = "method='auto' or 'lanczos' for it"
        if way.name == DENSE:
            advice += ", or curvature='ggn', which is exact at any number of parameters"
        raise ValueError(
            f"Expected layers whose exact spectrum fits in memory for method='exact', found "
            f"{name!r} with {sizes.n_params} parameters, which needs a matrix of side {way.side} "
            f"and {way.bytes / 2**30:.1f} GiB of {limit / 2**30:.1f} GiB. Use {advice}."
        )
