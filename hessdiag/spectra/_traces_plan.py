"""What computing the traces of all layers will take: per layer the way, time and memory."""

from __future__ import annotations

from hessdiag.curvature import LocalCurvature
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.spectra._layer_traces import PROBES_AT_ONCE, takes_factors, trace_settings
from hessdiag.spectra._local_spectra import check_separable
from hessdiag.spectra._memory_plan import look_ahead
from hessdiag.spectra._plan import LayerPlan, SpectraPlan, pass_seconds_of

__all__ = ["plan_traces"]


def plan_traces(
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
    """Say what `layer_traces` with the same arguments will do, with estimated time and memory.

    Runs the net forward, and measures on a few samples whether each layer's Hessian and
    Gauss-Newton matrix coincide; nothing large is computed.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net.
    X : array-like, dict, DataFrame, tensor or Dataset of length n_samples
        Data.
    y : array-like of length n_samples or None
        Targets.
    layers : str, list of str, dict or None, default=None
        As in `layer_traces`.
    curvature : {"hessian", "ggn"}, default="hessian"
        As in `layer_traces`.
    scalar : "loss", callable or mapping of str to callable, default="loss"
        As in `layer_traces`.
    method : {"auto", "hutchinson"}, default="auto"
        As in `layer_traces`.
    n_probes : int, default=20
        As in `layer_traces`. With a `tolerance` fewer may do.
    max_samples : int or None, default=None
        As in `layer_traces`.
    batch_size : int or None, default=None
        As in `layer_traces`.
    random_state : int, RandomState, Generator or None, default=None
        As in `layer_traces`.
    device : str or torch.device, default=None
        As in `layer_traces`.
    dtype : {"float32", "float64"} or None, default=None
        As in `layer_traces`.
    tolerance : float or None, default=None
        As in `layer_traces`.
    max_memory : float or None, default=None
        As in `layer_traces`.

    Returns
    -------
    SpectraPlan
        The plan; print it for a table. Layers that go the way "squares" have exact traces.

    Raises
    ------
    TypeError, ValueError
        As `layer_traces`.

    See Also
    --------
    layer_traces : Computes the traces.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.spectra import plan_traces
    >>> X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> [layer.way for layer in plan_traces(net, X, y).layers]
    ['squares']
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
        check_separable(problem, settings)
        looks = {}
        if takes_factors(problem, settings, method):
            looks = look_ahead(problem, settings)
        return _plan(problem, settings, looks, pass_seconds_of(problem))


def _plan(problem, settings, looks, pass_seconds):
    """Add up time and memory from what a few samples show of the layers."""
    n, found = problem.n_samples, problem.footprint
    rank = 0 if problem.outputs is None else problem.outputs.rank
    chunk = max(part.n_samples for part in problem.chunks)
    ways = {block.name: _way(looks.get(block.name)) for block in problem.blocks}
    signed = [block for block in problem.blocks if "signs" in ways[block.name]]
    n_signed = sum(block.n_params for block in signed)
    itemsize = problem.working_copy.dtype.itemsize
    # One product of the net serves all layers: graphs, and vectors and images over all of them.
    products = chunk * (found.second + PROBES_AT_ONCE * found.first)
    products += 4 * PROBES_AT_ONCE * n_signed * itemsize
    plans = []
    for block in problem.blocks:
        way, look = ways[block.name], looks.get(block.name)
        seconds, size = 0.0, 0.0
        if "squares" in way:
            seconds += pass_seconds * (1 + 2 * rank) / len(problem.blocks)
            size = chunk * (found.first + look.capture) + n * look.held
        if "signs" in way:
            # A product with the Hessian costs about four passes forward and back.
            seconds += 4 * pass_seconds * settings.n_probes / len(signed)
            size = max(size, products)
        n_rows = n * rank if "squares" in way else 0
        plans.append(
            LayerPlan(
                block.name, block.kind, block.n_params, n_rows, way, block.n_params, seconds, size
            )
        )
    peak = max(found.start, found.held + max(plan.bytes for plan in plans))
    return SpectraPlan(tuple(plans), peak, len(problem.chunks))


def _way(look):
    """Name the way to a layer's trace, from what a few samples show of it."""
    if look is None or (look.gap is None and not look.by_factor):
        return "signs"
    return "squares" if look.by_factor else "squares+signs"
