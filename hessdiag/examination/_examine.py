"""The full examination of one net: spectra of all layers, and all that its factors tell besides."""

from __future__ import annotations

import math

import numpy as np
import torch

from hessdiag.cases import NetworkCase
from hessdiag.curvature import LocalCurvature
from hessdiag.curvature.network import sample_indices, untouched_surroundings
from hessdiag.examination._between_samples import between_samples_statistics
from hessdiag.examination._examination import Examination, LayerExamination
from hessdiag.examination._layer_statistics import LayerStatistics
from hessdiag.examination._task import Task, null_loss
from hessdiag.examination._wide_layers import wide_layer_statistics
from hessdiag.spectra import (
    LocalOperators,
    SpectrumSettings,
    check_factors,
    local_spectra,
    operator_spectra,
)

__all__ = ["examine"]

DENSE_LIMIT = 1000


def examine(
    net,
    X,
    y,
    name=None,
    layers=None,
    curvature="hessian",
    method="auto",
    n_lanczos_steps=30,
    n_probes=3,
    max_samples=None,
    max_gram_size=1000,
    dense_limit=DENSE_LIMIT,
    random_state=None,
    device=None,
    dtype="float64",
):
    """Examine a net on its training data: spectra of all layers, and what follows from them.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net; left exactly as it is.
    X : array-like, dict, DataFrame, tensor or Dataset of length n_samples
        Data the net was trained on.
    y : array-like of length n_samples or None
        Targets; None where `X` is a Dataset that yields them.
    name : str, default=None
        How to call the case.
    layers : str, list of str, dict or None, default=None
        Layers to examine, as in `layer_spectra`.
    curvature : {"hessian", "ggn"}, default="hessian"
        As in `layer_spectra`.
    method : {"auto", "exact", "lanczos"}, default="auto"
        How a Hessian is treated that differs from its Gauss-Newton matrix, as in `layer_spectra`;
        Gauss-Newton spectra are always exact here.
    n_lanczos_steps : int, default=30
        As in `layer_spectra`.
    n_probes : int, default=3
        As in `layer_spectra`.
    max_samples : int or None, default=None
        Number of samples to draw for curvature; None takes as many as `max_gram_size` allows.
    max_gram_size : int or None, default=1000
        Largest side of a Gram matrix, samples times rank of the output Hessian (classes - 1 for
        cross-entropy, 1 for a single output); samples are drawn to keep it, as time grows with its
        cube. The default takes about 0.1 seconds per layer. None sets no bound.
    dense_limit : int, default=1000
        Number of parameters up to which a Hessian is formed and decomposed, which takes about 0.2
        seconds; Lanczos beyond.
    random_state : int, RandomState, Generator or None, default=None
        Seed of sample choice and probes; None means 0.
    device : str or torch.device, default=None
        Where to compute; None follows the net.
    dtype : {"float32", "float64"} or None, default="float64"
        Precision; None follows the net.

    Returns
    -------
    Examination
        Layers, whole net, context and settings. The whole net's spectrum is that of its
        Gauss-Newton matrix, from the sum of the layers' Gram matrices; its statistics are those of
        the sum in which each layer counts in units of its own prior, ``K_l |w_l|^2 / p_l``, which a
        rescaling of ReLU layers does not change.

    Raises
    ------
    TypeError, ValueError
        As `layer_spectra`.

    See Also
    --------
    layer_spectra : Spectra alone.
    hessdiag.examination.gram_statistics : The statistics.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.examination import examine
    >>> X, y = np.eye(4, dtype="float32"), np.arange(4.0, dtype="float32")[:, None]
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> examination = examine(net, X, y)
    >>> examination.layer_names, examination.context["null_loss"]
    (('module',), 1.25)
    """
    options = SpectrumSettings(
        curvature=curvature,
        method=method,
        n_lanczos_steps=n_lanczos_steps,
        n_probes=n_probes,
        dense_limit=dense_limit,
        random_state=random_state,
    )
    settings = {
        "layers": layers,
        "curvature": curvature,
        "method": method,
        "n_lanczos_steps": n_lanczos_steps,
        "n_probes": n_probes,
        "max_samples": max_samples,
        "max_gram_size": max_gram_size,
        "dense_limit": dense_limit,
        "random_state": random_state if isinstance(random_state, int) else None,
        "device": None if device is None else str(device),
        "dtype": None if dtype is None else str(dtype),
    }
    digest = NetworkCase(net, X, y).digest()
    with untouched_surroundings(device):
        problem = LocalCurvature(
            net, X, y, layers=layers, device=device, dtype=dtype, random_state=random_state
        )
        context = _context(problem, X)
        wide_layers, wide_network = wide_layer_statistics(problem, random_state)
        wide_network = wide_network | between_samples_statistics(problem, random_state)
        problem = _restrict(problem, max_samples, max_gram_size, random_state)
        context["n_samples_examined"] = problem.n_samples
        if problem.outputs is None:
            examined, network = _examine_whole(problem, options)
        else:
            examined, network = _examine_factored(problem, options, wide_layers, wide_network)
    return Examination(name, digest, examined, network, context, settings)


def _context(problem, X):
    """Collect what a user would know without any curvature."""
    blocks = problem.blocks
    context = {
        "n_samples": problem.n_samples,
        "n_outputs": math.nan,
        "n_params": sum(block.n_params for block in blocks),
        "n_layers": len(blocks),
        "loss": math.nan,
        "error": math.nan,
        "null_loss": math.nan,
        "task": "regression",
        "criterion": problem.scalar.name,
    }
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) == 2:
        context["n_inputs"] = int(shape[1])
    if problem.output_values is None:
        with torch.no_grad():
            context["loss"] = float(problem.whole_scalar())
        return context
    values = problem.output_values
    task = Task(problem)
    per_sample = problem.n_samples if _sums(problem) else 1
    flat = values.reshape(problem.n_samples, -1)
    context["n_outputs"] = flat.shape[1]
    context["task"] = task.kind
    with torch.no_grad():
        context["loss"] = float(problem.scalar_at(flat)) / per_sample
    if task.values is not None:
        context["error"] = float(task.errors(flat).mean())
        start = task.constant_start()
        context["null_loss"] = null_loss(problem.scalar_at, start, len(flat)) / per_sample
    return context


def _sums(problem):
    """Say whether the loss is a sum over samples."""
    return getattr(problem.scalar.criterion, "reduction", "mean") == "sum"


def _restrict(problem, max_samples, max_gram_size, random_state):
    """Draw as many samples as may be examined; their outputs are known already."""
    if problem.output_values is None:
        return problem
    limit = problem.n_samples if max_samples is None else min(max_samples, problem.n_samples)
    if max_gram_size is not None:
        first = problem.restrict(np.arange(min(problem.n_samples, 50)))
        if first.outputs is not None:
            limit = min(limit, max(2, max_gram_size // max(1, first.outputs.rank)))
    indices = sample_indices(problem.n_samples, limit, random_state)
    if indices is None:
        if len(problem.chunks) == 1:
            return problem
        indices = np.arange(problem.n_samples)
    return problem.restrict(indices)


def _examine_whole(problem, options):
    """Examine a net whose loss is not a function of each sample's outputs: Hessians only."""
    spectra = local_spectra(problem, options)
    layers = tuple(
        _layer(problem, b, spectra[b.name], None, {"gn_gap": spectra[b.name].gn_gap})
        for b in problem.blocks
    )
    block = problem.network_block()
    operators = LocalOperators([block], None, None, problem.products(options.curvature, [block]))
    generator = torch.Generator().manual_seed(options.seed)
    spectrum = operator_spectra(operators, options, {}, generator)[block.name]
    return layers, _layer(problem, block, spectrum, None, {"gn_gap": math.nan})


def _examine_factored(problem, options, wide_layers, wide_network):
    """Examine by factors: one decomposition per layer serves its spectrum and its statistics."""
    generator = torch.Generator().manual_seed(options.seed)
    factors, outputs = problem.factors(), problem.outputs
    check_factors(problem, factors)
    weighted = {name: factor.weighted(outputs.factors) for name, factor in factors.items()}
    gaps, spectra, network_gap = {}, {}, math.nan
    if options.curvature == "hessian":
        operators = LocalOperators(
            problem.blocks, weighted, outputs.signs, problem.residual_products()
        )
        gaps = operators.measure_gaps(generator)
        whole = problem.network_block()
        beyond = problem.residual_products([whole])
        network_gap = operators.measure_network_gap(beyond, whole, generator)
        operators.prepare_hessians(problem, options.n_products)
        bent = [block for block in problem.blocks if block.name not in operators.coincident]
        operators.blocks = {block.name: block for block in bent}
        spectra = operator_spectra(operators, options, gaps, generator)
    statistics_of = LayerStatistics(problem)
    layers, summed, rescaled = [], 0.0, np.zeros(2 * [statistics_of.residuals.size])
    for block in problem.blocks:
        factor, gap = factors[block.name], gaps.get(block.name, math.nan)
        norm = _weight_norm(block)
        gram = factor.gram().cpu().numpy()
        eig = statistics_of.decompose(factor, gram)
        ggn = statistics_of.ggn_spectrum(eig, weighted[block.name], options.curvature, gap)
        ridge = block.n_params / norm**2 if norm > 0 else math.inf
        statistics = statistics_of(gram, ridge, eig) | {"gn_gap": gap}
        statistics |= wide_layers.get(block.name, {})
        spectrum = spectra.get(block.name, ggn)
        layers.append(_layer(problem, block, spectrum, ggn, statistics))
        summed = summed + gram
        if norm > 0:
            rescaled = rescaled + gram / ridge
    block = problem.network_block()
    spectrum = statistics_of.gram_spectrum(summed, block.n_params)
    statistics = statistics_of(rescaled, 1.0, None, block.n_params) | {"gn_gap": network_gap}
    statistics |= wide_network
    return tuple(layers), _layer(problem, block, spectrum, spectrum, statistics)


def _layer(problem, block, spectrum, ggn_spectrum, statistics):
    """Put together what was found out about one block."""
    width = problem.width_of(block)
    statistics = statistics | {"weight_norm": _weight_norm(block)}
    return LayerExamination(
        block.name, block.kind, block.n_params, width, spectrum, ggn_spectrum, statistics
    )


def _weight_norm(block):
    """Euclidean norm of all parameters of a block."""
    squares = sum(float(p.detach().double().square().sum()) for p in block.parameters)
    return math.sqrt(squares)
