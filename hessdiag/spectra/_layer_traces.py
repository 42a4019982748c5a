"""The traces of all layers' local Hessians, at the cost of a few products of the whole net."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from hessdiag.curvature import LocalCurvature
from hessdiag.curvature.factors import squared_row_norms
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.spectra._local_operators import gaps_of_few
from hessdiag.spectra._local_spectra import check_separable
from hessdiag.spectra._settings import SpectrumSettings

__all__ = ["LayerTrace", "layer_traces"]

# Probes that pass through the net together.
PROBES_AT_ONCE = 4
# Probes below which a standard error says too little to stop by.
LEAST_PROBES = 4
# A product with the Hessian takes about as long as two backward sweeps.
SWEEPS_PER_PRODUCT = 2


@dataclass(frozen=True)
class LayerTrace:
    """Trace of one layer's local curvature matrix, with its standard error.

    Parameters
    ----------
    n_params : int
        Number of the layer's trainable parameters, the size of the matrix.
    trace : float
        The trace or its estimate, in units of loss per squared parameter.
    trace_se : float
        Standard error of `trace` over the probe vectors; 0 where the trace is exact.
    n_probes : int
        Number of probe vectors; 0 where the trace is exact.

    See Also
    --------
    hessdiag.spectra.layer_traces : Computes the traces of all layers of a net.

    Examples
    --------
    >>> from hessdiag.spectra import LayerTrace
    >>> LayerTrace(n_params=10, trace=2.5, trace_se=0.1, n_probes=20).exact
    False
    """

    n_params: int
    trace: float
    trace_se: float
    n_probes: int

    @property
    def exact(self):
        """Whether the trace is no estimate."""
        return self.n_probes == 0


def layer_traces(
    net,
    X,
    y,
    layers=None,
    curvature="hessian",
    scalar="loss",
    method="auto",
    n_probes=20,
    max_samples=None,
    batch_size=None,
    random_state=None,
    device=None,
    dtype=None,
    tolerance=None,
    max_memory=None,
):
    """Compute the trace of every layer's local Hessian, by few products of the whole net.

    Gauss-Newton matrices give up their traces exactly, as sums of squares of their factors. The
    rest of the Hessian, or all of it where the loss has no factors, is estimated after Hutchinson
    [1]_: with random signs v on all parameters at once, ``v_l . (H v)_l`` has the trace of layer
    l's local Hessian as its mean. So `n_probes` products of the whole net serve all layers,
    however many there are.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net; left exactly as it is.
    X : array-like, dict, DataFrame, tensor or Dataset of length n_samples
        Data, as the net's ``fit`` takes them.
    y : array-like of length n_samples or None
        Targets; None where `X` is a Dataset that yields them.
    layers : str, list of str, dict or None, default=None
        As in `layer_spectra`.
    curvature : {"hessian", "ggn"}, default="hessian"
        As in `layer_spectra`. Traces of Gauss-Newton matrices are exact, unless the loss has too
        many second derivatives in the outputs.
    scalar : "loss", callable or mapping of str to callable, default="loss"
        As in `layer_spectra`.
    method : {"auto", "hutchinson"}, default="auto"
        "auto" uses factors where their backward sweeps, one for each column of the output Hessians'
        roots, take no longer than the products; "hutchinson" takes products alone.
    n_probes : int, default=20
        Number of probe vectors, at least 2; at most so many where a `tolerance` is given. The
        standard error falls with its square root.
    max_samples : int or None, default=None
        As in `layer_spectra`.
    batch_size : int or None, default=None
        As in `layer_spectra`.
    random_state : int, RandomState, Generator or None, default=None
        Seed of sample choice and probes; None means 0.
    device : str or torch.device, default=None
        As in `layer_spectra`.
    dtype : {"float32", "float64"} or None, default=None
        As in `layer_spectra`.
    tolerance : float or None, default=None
        Stop as soon as every layer's standard error is below this share of its trace's size.
    max_memory : float or None, default=None
        Bytes to keep within, by smaller chunks of samples.

    Returns
    -------
    dict of str to LayerTrace
        Traces by layer name, in forward order. The trace of a layer whose curvature is NaN or
        infinite is NaN; other layers keep theirs.

    Raises
    ------
    TypeError, ValueError
        As `layer_spectra`; also for fewer than two probes.

    See Also
    --------
    layer_spectra : The spectra themselves, whose traces are exact where they are.
    plan_traces : What will be computed, and how long it will take.

    Notes
    -----
    The parts ``v_l . H_lm v_m`` that other layers m add to a probe's value have mean zero, but add
    to its variance, which is ``2 |H_ll|_F^2 - 2 sum_i (H_ll)_ii^2 + sum_{m != l} |H_lm|_F^2``. The
    standard error is that of the probes' mean, so that it knows of them.

    Whether a layer's Hessian is its Gauss-Newton matrix is measured on a few random samples.

    References
    ----------
    .. [1] Hutchinson (1990). A stochastic estimator of the trace of the influence matrix for
       Laplacian smoothing splines. Communications in Statistics.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.spectra import layer_traces
    >>> X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> trace = layer_traces(net, X, y)["module"]
    >>> round(trace.trace, 5), trace.exact
    (4.0, True)
    """
    settings = trace_settings(curvature, method, n_probes, random_state, tolerance, max_memory)
    with untouched_surroundings(device):
        problem = LocalCurvature(
            net,
            X,
            y,
            layers=layers,
            scalar=scalar,
            max_samples=max_samples,
            batch_size=batch_size,
            random_state=random_state,
            device=device,
            dtype=dtype,
            max_memory=max_memory,
        )
        return _traces(problem, settings, method)


def trace_settings(curvature, method, n_probes, random_state, tolerance, max_memory):
    """Check the keywords that say how traces are to be computed."""
    settings = SpectrumSettings(
        curvature=curvature,
        n_probes=n_probes,
        random_state=random_state,
        tolerance=tolerance,
        max_memory=max_memory,
    )
    if method not in ("auto", "hutchinson"):
        raise ValueError(f"Expected method to be one of 'auto', 'hutchinson', found {method!r}.")
    if n_probes < 2:
        raise ValueError(
            f"Expected at least 2 probes, as one has no standard error, found {n_probes!r}."
        )
    if curvature == "ggn" and method == "hutchinson":
        raise ValueError(
            f"Expected method='auto' for curvature='ggn', whose traces are exact, found {method!r}."
        )
    return settings


def _traces(problem, settings, method):
    """Add up what is exact and what is estimated."""
    generator = torch.Generator().manual_seed(settings.seed)
    check_separable(problem, settings)
    known, coincident = {}, set()
    if takes_factors(problem, settings, method):
        known = _gauss_newton_traces(problem, settings)
        if settings.curvature == "hessian":
            coincident = set(gaps_of_few(problem, generator)) & known.keys()
    if settings.curvature == "ggn" and problem.outputs is not None:
        coincident = set(known)
        if len(known) < len(problem.blocks):
            missing = [b.name for b in problem.blocks if b.name not in known]
            raise ValueError(
                f"Expected a Jacobian of layer {missing[0]!r} that fits in memory, found that it "
                "does not. Pass max_samples to look at fewer samples."
            )
    estimated = {}
    for products in _parts(problem, settings, known, coincident):
        estimated |= _estimates(products, settings, generator)
    traces = {}
    for block in problem.blocks:
        trace, error, n_probes = estimated.get(block.name, (0.0, 0.0, 0))
        trace = known.get(block.name, 0.0) + trace
        traces[block.name] = LayerTrace(block.n_params, trace, error, n_probes)
    return traces


def takes_factors(problem, settings, method):
    """Say whether factors are built: wanted, or taking no longer than the products."""
    if settings.curvature == "ggn":
        return problem.outputs is not None
    if method != "auto" or problem.outputs is None:
        return False
    return problem.outputs.rank <= SWEEPS_PER_PRODUCT * settings.n_probes


def _gauss_newton_traces(problem, settings):
    """Sum the squares of every layer's factor, one layer after the other."""
    signs, traces = problem.outputs.signs, {}
    for name, factor in problem.each_weighted_factor(problem.blocks[::-1], settings.max_memory):
        if factor is not None:
            squares = squared_row_norms(factor)
            traces[name] = float((squares if signs is None else squares * signs).sum())
        del factor
    return traces


def _parts(problem, settings, known, coincident):
    """List what is to be estimated: products with residual parts, or with whole matrices."""

    def whole_products(blocks):
        return problem.products(settings.curvature, blocks)

    bent = [b for b in problem.blocks if b.name in known and b.name not in coincident]
    bare = [b for b in problem.blocks if b.name not in known]
    parts = [(bent, problem.residual_products), (bare, whole_products)]
    return [_Products(problem, blocks, make) for blocks, make in parts if blocks]


class _Products:
    """Products of several blocks with one vector over all of them, or of each on its own.

    Functions of layers' own outputs have nothing in common: there each is on its own anyway.
    """

    def __init__(self, problem, blocks, make, together=True):
        self.problem = problem
        self.blocks = blocks
        self.make = make
        self.whole = None
        if together and len(blocks) > 1 and not problem.is_layerwise:
            self.whole = problem.network_block(blocks)
        self.products = make(blocks if self.whole is None else [self.whole])

    def __call__(self, vectors):
        """Return (H v)_l (k, p_l) for every block, v being given block by block."""
        if self.whole is None:
            images = self.products.products({b.name: v for b, v in zip(self.blocks, vectors)})
            return [images[block.name] for block in self.blocks]
        (image,) = self.products.products({self.whole.name: torch.cat(vectors, dim=1)}).values()
        return image.split([block.n_params for block in self.blocks], dim=1)

    def one_by_one(self):
        """List the same for every block alone."""
        return [_Products(self.problem, [b], self.make, together=False) for b in self.blocks]


def _estimates(products, settings, generator):
    """Estimate traces: {name: (trace, standard error, number of probes)}."""
    blocks = products.blocks
    values = np.empty((0, len(blocks)))
    while len(values) < settings.n_probes:
        k = min(PROBES_AT_ONCE, settings.n_probes - len(values))
        vectors = [_random_signs(k, block, generator) for block in blocks]
        found = [
            (v * image).sum(dim=1, dtype=torch.float64).cpu().numpy()
            for v, image in zip(vectors, products(vectors))
        ]
        values = np.concatenate([values, np.stack(found, axis=1)])
        if not np.isfinite(values).all():
            break
        if _settled(values, settings.tolerance):
            break
    if products.whole is not None and not np.isfinite(values).all():
        # What is not finite in one layer spreads to others that pass through it.
        estimates = {}
        for one in products.one_by_one():
            estimates |= _estimates(one, settings, generator)
        return estimates
    return {
        block.name: (float(column.mean()), _standard_error(column), len(column))
        for block, column in zip(blocks, values.T)
    }


def _random_signs(k, block, generator):
    """Draw k vectors of random signs (k, p)."""
    first = block.parameters[0]
    signs = torch.randint(0, 2, (k, block.n_params), generator=generator)
    return (2 * signs - 1).to(device=first.device, dtype=first.dtype)


def _standard_error(values):
    """Standard error of the mean."""
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def _settled(values, tolerance):
    """Say whether all layers' standard errors are small enough."""
    if tolerance is None or len(values) < LEAST_PROBES:
        return False
    errors = np.array([_standard_error(column) for column in values.T])
    return bool((errors <= tolerance * np.abs(values.mean(axis=0))).all())
