"""From a prepared problem to what an examination holds: one decomposition per layer serves all."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import torch

from hessdiag.curvature import fitting_chunks, measure_resolution
from hessdiag.curvature.network import (
    NotSeparableError,
    OutputHessiansTooLargeError,
    sample_indices,
)
from hessdiag.examination._between_samples import between_samples_statistics
from hessdiag.examination._budget import LEAST_SAMPLES, LEAST_TIME, LONG, evenly, plan_budget
from hessdiag.examination._context import context_of, note_rounding
from hessdiag.examination._examination import LayerExamination
from hessdiag.examination._layer_statistics import LayerStatistics
from hessdiag.examination._memory import within_bound
from hessdiag.examination._sketched_statistics import SketchedStatistics
from hessdiag.examination._task import Task
from hessdiag.examination._view import choose_view
from hessdiag.examination._wide_layers import wide_layer_statistics
from hessdiag.progress import say
from hessdiag.spectra import Measured, check_factors, choose_policy, compute_spectra, measure_gaps

# By how much all may take longer before it is said.
OVER = 1.1


def examine_problem(
    problem,
    settings,
    max_samples=None,
    max_gram_size=None,
    max_time=None,
    n_output_columns=None,
    spent=0.0,
):
    """Return (layers, network, context) of an `Examination`; `spent` seconds have gone already."""
    start = time.monotonic() - spent
    if problem.is_layerwise:
        raise ValueError(
            "Expected one function of the net's output as scalar, found a mapping of layers' own "
            "functions, which say nothing of the whole net. Pass 'loss' or a callable "
            "(output, y) -> 0-d tensor, or ask for spectra alone."
        )
    _check_finite_outputs(problem)
    _check_changes(problem)
    problem, n_ignored = _without_ignored(problem, settings)
    context = context_of(problem)
    if n_ignored:
        context["n_samples_ignored"] = n_ignored
    view = choose_view(problem, max_samples, max_gram_size, n_output_columns)
    part = _restrict(problem, settings, view.n_samples)
    if view.n_columns is not None:
        part = part.without_output_hessians()
    # Where the time has gone already, all is made of the least.
    rest = None if max_time is None else max(LEAST_TIME, max_time - (time.monotonic() - start))
    budget = plan_budget(part, settings, rest, view.n_columns, problem, context["task"])
    forecast = time.monotonic() - start + budget.seconds
    if forecast > LONG:
        context["seconds_forecast"] = forecast
    say(f"about {budget.seconds:.0f} s")
    left_out = list(budget.left_out)
    if max_time is not None:
        settings = replace(settings, deadline=start + max_time)
    if budget.n_samples < part.n_samples:
        part = part.restrict(evenly(part.n_samples, budget.n_samples))
        if settings.max_memory is not None:
            part = fitting_chunks(part, settings.max_memory)
    if budget.blocks is not None:
        problem, part = (
            p.with_blocks([b for b in p.blocks if b.name in budget.blocks]) for p in (problem, part)
        )
    context["n_samples_examined"] = part.n_samples
    if settings.max_memory is not None:
        problem, part = within_bound(problem, part, settings, view.n_columns)
    resolution = measure_resolution(part)
    note_rounding(resolution, part, context)
    wide_layers, wide_network = wide_layer_statistics(problem, settings.seed, resolution.outputs)
    wide_network = wide_network | between_samples_statistics(
        problem, settings.seed, budget.n_between
    )
    statistics_of = _statistics_of(part, view.n_columns, settings, context, resolution)
    _say_if_not_apart(statistics_of, context)
    if statistics_of is None:
        found = _examine_whole(part, settings, budget, left_out)
    else:
        found = _examine_factored(
            part, settings, budget, statistics_of, wide_layers, wide_network, left_out
        )
    if left_out:
        context["left_out"] = "; ".join(left_out)
    taken = time.monotonic() - start
    if max_time is not None and taken > OVER * max_time:
        context["seconds_taken"] = taken
    return (*found, context)


def _check_finite_outputs(problem):
    """Refuse outputs that are NaN or infinite, of which no statistic would mean anything."""
    if problem.output_values is None:
        return
    values = problem.output_values.reshape(problem.n_samples, -1)
    finite = torch.isfinite(values).all(dim=1)
    if not finite.all() and bool((torch.isfinite(values) | torch.isneginf(values)).all()):
        # The loss is finite, so that these are meant.
        raise ValueError(
            f"Expected finite outputs, found minus infinity for {int((~finite).sum())} of "
            f"{problem.n_samples} samples. Where that is a mask, use a large negative number in "
            "its place, such as -1e9: statistics need finite outputs (spectra alone do not)."
        )
    if not finite.all():
        raise ValueError(
            f"Expected finite outputs, found NaN or infinite ones for {int((~finite).sum())} of "
            f"{problem.n_samples} samples. The training has probably diverged, or a logarithm is "
            "taken of zero: mend the net, or leave these samples out."
        )


def _check_changes(problem):
    """Refuse a scalar that is the same at all outputs, of which there is nothing to say."""
    function = problem.output_function
    if function is None:
        return
    z = problem.output_values.reshape(problem.n_samples, -1)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(z.shape, generator=generator, dtype=torch.float64).to(z.device)
    with torch.no_grad():
        here, *others = (float(function(z + (1 + z.abs()) * k * noise)) for k in (0, 1, -3))
    if all(other == here for other in others):
        raise ValueError(
            f"Expected a loss that changes with the outputs, found that {problem.scalar.name} is "
            f"{here:.6g} wherever they are. Pass a loss that says how good they are."
        )


def _without_ignored(problem, settings):
    """Leave out the samples that the loss leaves out; return the rest, and how many those are."""
    function = problem.output_function
    if function is None or function.couples:
        return problem, 0
    task = Task(problem)
    if task.counted is None:
        return problem, 0
    kept = torch.nonzero(task.counts_by_sample() > 0).flatten()
    if len(kept) == problem.n_samples:
        return problem, 0
    part = problem.restrict(kept)
    with torch.no_grad():
        whole, rest = (float(p.output_function(p.output_values)) for p in (problem, part))
    if abs(whole - rest) > 1e-9 * abs(whole):
        return problem, 0  # as where it is divided by the number of all
    if settings.max_memory is not None:
        part = fitting_chunks(part, settings.max_memory)
    elif len(problem.chunks) > 1:
        part = part.cut(problem.samples.largest_chunk)
    return part, problem.n_samples - len(kept)


def _restrict(problem, settings, limit):
    """Draw as many samples as may be examined; their outputs are known already."""
    if problem.output_function is None:
        return problem
    indices = sample_indices(problem.n_samples, limit, settings.seed)
    if indices is None:
        if len(problem.chunks) == 1 or settings.max_memory is not None:
            return problem
        indices = np.arange(problem.n_samples)
    part = problem.restrict(indices)
    return part if settings.max_memory is None else fitting_chunks(part, settings.max_memory)


def _say_if_stopped(settings, left_out):
    """Say that Lanczos iterations stopped at the deadline, where it has passed."""
    if settings.deadline is not None and time.monotonic() > settings.deadline:
        left_out.append("Lanczos iterations that were not at their end then were stopped early")


def _examine_whole(problem, settings, budget, left_out):
    """Examine a net whose loss has no Hessians at the outputs: by passes through the net only."""
    settings = budget.settings(settings)
    n_samples = max(budget.n_hessian, min(LEAST_SAMPLES, problem.n_samples))
    if n_samples < problem.n_samples:
        problem = problem.restrict(evenly(problem.n_samples, n_samples))
    spectra = compute_spectra(choose_policy(problem, settings))
    _say_if_stopped(settings, left_out)
    layers = tuple(
        _layer(problem, b, spectra[b.name], None, {"gn_gap": spectra[b.name].gn_gap})
        for b in problem.blocks
    )
    block = problem.network_block()
    policy = choose_policy(problem.with_blocks([block]), settings)
    spectrum = compute_spectra(policy, Measured({}))[block.name]
    return layers, _layer(problem, block, spectrum, None, {"gn_gap": math.nan})


def _statistics_of(problem, n_columns, settings, context, resolution):
    """Return what computes a layer's statistics; None where the loss has no factors.

    Columns, or why there are none, are noted in the context.
    """
    if n_columns is not None:
        generator = torch.Generator().manual_seed(settings.seed)
        try:
            found = SketchedStatistics(problem, n_columns, generator, resolution)
        except NotSeparableError as error:
            context["statistics_missing"] = str(error)
            return None
        if context.get("statistics_missing") == OutputHessiansTooLargeError.reason:
            del context["statistics_missing"]
        context["n_output_columns"] = n_columns
        return found
    return None if problem.outputs is None else LayerStatistics(problem, resolution)


def _say_if_not_apart(statistics_of, context):
    """Say that the loss could not be taken apart, where that is why there are no statistics."""
    if statistics_of is not None and not statistics_of.losses.known:
        context.setdefault(
            "statistics_missing", "the loss is no mean or sum of what it is of each sample alone"
        )


def _examine_factored(
    problem, settings, budget, statistics_of, wide_layers, wide_network, left_out
):
    """Examine by factors: one decomposition per layer serves its spectrum and its statistics."""
    generator = torch.Generator().manual_seed(settings.seed)
    measured, network_gap = Measured({}), math.nan
    if settings.curvature == "hessian":
        part = problem
        if budget.n_gaps is not None and budget.n_gaps < problem.n_samples:
            part = problem.restrict(evenly(problem.n_samples, budget.n_gaps))
        chosen = [
            b for b in problem.blocks if budget.gap_blocks is None or b.name in budget.gap_blocks
        ]
        measured = measure_gaps(part, chosen, generator)
        whole = problem.network_block()
        network_gap = measure_gaps(part, [whole], generator).gaps[whole.name].size
        if settings.max_memory is not None or part is not problem:
            # What was recorded is let go: layers are worked on one by one.
            measured = Measured(measured.gaps) if part is problem else measured.without_vectors()
    blocks = {block.name: block for block in problem.blocks}
    keeps_factors = settings.max_memory is None and budget.n_hessian == problem.n_samples
    found, summed, rescaled = {}, 0.0, np.zeros(2 * [statistics_of.residuals.size])
    for name, factor in _factors_in_turn(problem, settings, statistics_of.columns):
        check_factors(problem, {name: factor})
        block, norm = blocks[name], _weight_norm(blocks[name])
        weighted, gap = statistics_of.weighted(factor), measured.gaps.get(name)
        overflows = weighted is not None and not weighted.is_finite
        if gap is not None and gap.coincides and overflows and gap.vector is not None:
            gap = gap.beside(weighted.gauss_newton(gap.vector, problem.outputs.signs))
        size = math.nan if gap is None else gap.size
        gram = factor.gram().cpu().numpy()
        eig = statistics_of.decompose(factor, gram)
        seen = factor if weighted is None else weighted
        # Where the Hessian is not known to be the same, this is no spectrum of it.
        known = settings.curvature if gap is not None and gap.coincides else "ggn"
        ggn = statistics_of.ggn_spectrum(eig, gram, seen, known, size)
        ridge = block.n_params / norm**2 if norm > 0 else math.inf
        digits = statistics_of.resolution.layers.get(name)
        statistics = statistics_of(gram, ridge, eig, resolution=digits) | {"gn_gap": size}
        found[name] = ggn, statistics | wide_layers.get(name, {})
        summed = summed + gram
        if norm > 0:
            rescaled = rescaled + gram / ridge
        if gap is not None and not gap.coincides and keeps_factors and weighted is not None:
            measured.factors[name] = weighted
        del factor, weighted, seen
    spectra = _hessian_spectra(problem, settings, budget, measured, generator, left_out)
    layers = [
        _layer(problem, blocks[name], spectra.get(name, ggn), ggn, statistics)
        for name, (ggn, statistics) in found.items()
    ]
    block = problem.network_block()
    spectrum = statistics_of.gram_spectrum(summed, block.n_params)
    statistics = statistics_of(rescaled, 1.0, None, block.n_params) | {"gn_gap": network_gap}
    statistics |= wide_network
    return tuple(layers), _layer(problem, block, spectrum, spectrum, statistics)


def _factors_in_turn(problem, settings, columns):
    """Yield (name, factor) of one layer after the other: by shared sweeps, or each by its own."""
    if settings.max_memory is None:
        yield from problem.each_factor(problem.blocks, columns=columns)
        return
    for block in problem.blocks:
        yield from problem.factors(blocks=[block], lean=True, columns=columns).items()


def _hessian_spectra(problem, settings, budget, measured, generator, left_out):
    """Compute the spectra of those layers whose Hessians are no Gauss-Newton matrices."""
    gaps = measured.gaps
    blocks = [b for b in problem.blocks if b.name in gaps and not gaps[b.name].coincides]
    if not blocks or budget.n_hessian == 0:
        return {}
    if settings.deadline is not None and time.monotonic() > settings.deadline:
        left_out.append(f"Gauss-Newton spectra stand in for the Hessians of {len(blocks)} layers")
        return {}
    problem, settings = problem.with_blocks(blocks), budget.settings(settings)
    if budget.n_hessian < problem.n_samples:
        problem = problem.restrict(evenly(problem.n_samples, budget.n_hessian))
        if settings.max_memory is not None:
            problem = fitting_chunks(problem, settings.max_memory)
        measured = None  # vectors and graphs are those of all samples
    policy = choose_policy(problem, settings)
    if measured is not None and policy.is_bounded:
        measured = measured.without_vectors()
    spectra = compute_spectra(policy, measured, generator)
    _say_if_stopped(settings, left_out)
    return spectra


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
