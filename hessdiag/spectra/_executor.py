"""From a prepared problem to the spectra of all its layers: one executor, two policies for memory.

Layers are worked on together, sharing what they can, or one by one within a bound. A policy says
which operators are ready next, and what all will take; the ways carry themselves out.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from hessdiag.progress import expect
from hessdiag.spectra._lanczos import random_probes
from hessdiag.spectra._one_by_one import OneByOne
from hessdiag.spectra._together import Together
from hessdiag.spectra._ways import LanczosWay

if TYPE_CHECKING:
    from hessdiag.curvature import LocalCurvature
    from hessdiag.spectra._gaps import Measured
    from hessdiag.spectra._settings import SpectrumSettings
    from hessdiag.spectra.results import Spectrum


def choose_policy(problem: LocalCurvature, settings: SpectrumSettings) -> Together | OneByOne:
    """Choose how layers are worked on: together unless that takes more than is allowed.

    Parameters
    ----------
    problem : LocalCurvature
        As from `hessdiag.curvature.prepare`.
    settings : SpectrumSettings
        How spectra are to be computed.

    Returns
    -------
    Together or OneByOne
        The policy, with the ways of all layers and what they take.

    Raises
    ------
    ValueError
        If a Gauss-Newton matrix is asked for of a loss that has none, or a bound on memory is too
        low.
    """
    check_separable(problem, settings)
    if problem.epsilon >= torch.finfo(torch.float32).eps:
        settings = replace(settings, resolution=problem.epsilon)
    together = Together(problem, settings)
    if settings.max_memory is None:
        return together
    if len(problem.chunks) == 1 and together.peak <= settings.max_memory:
        return together
    return OneByOne(problem, settings, together.footprint, together.profiles)


def compute_spectra(
    policy: Together | OneByOne,
    measured: Measured | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Spectrum]:
    """Compute the spectra of all layers of a policy's problem: {name: Spectrum}.

    Parameters
    ----------
    policy : Together or OneByOne
        As from `choose_policy`.
    measured : Measured or None, default=None
        What is known of the layers' gaps; None measures them.
    generator : torch.Generator or None, default=None
        Where random numbers come from; None takes one of the settings' seed.

    Returns
    -------
    dict of str to Spectrum
        Spectra by layer name, in forward order.
    """
    spectra: dict[str, Spectrum] = {}
    if generator is None:
        generator = torch.Generator().manual_seed(policy.settings.seed)
    for operators, sizes in policy.batches(generator, measured):
        spectra |= _work_off(operators, policy, sizes, generator)
    return {block.name: spectra[block.name] for block in policy.problem.blocks}


def check_separable(problem, settings):
    """Refuse Gauss-Newton matrices of a loss that has none."""
    if settings.curvature == "ggn" and not problem.is_separable:
        raise ValueError(
            "Expected a loss of each sample's outputs for curvature='ggn', found that "
            f"{problem.why_whole}. Use curvature='hessian'."
        )


def _work_off(operators, policy, gaps, generator):
    """Compute the spectra of some operators, each let go as soon as it is done with."""
    settings, spectra = policy.settings, {}
    ways = {name: policy.way_of(operator) for name, operator in operators.items()}
    expect(sum(_n_passes(policy, operators[name], way) for name, way in ways.items()))
    for name in [name for name, way in ways.items() if way.is_exact]:
        gap = gaps.get(name, math.nan)
        spectra[name] = ways[name].spectrum(operators.pop(name), settings, gap)
    pending = {name: ways[name].space(operators.pop(name)) for name in list(operators)}
    starts = {name: _starts(operator, settings, generator) for name, operator in pending.items()}
    for group in _groups(pending):
        some = {name: pending.pop(name) for name in group}
        if policy.condenses:
            for name in group:
                some[name] = some[name].condensed(settings.n_products)
        spectra |= LanczosWay.spectra(
            some,
            {name: starts.pop(name) for name in group},
            settings,
            gaps,
            min(ways[name].n_vectors for name in group),
        )
        del some
    return spectra


def _n_passes(policy, operator, way):
    """Count the products by passes through the net that a spectrum takes."""
    if operator.source is None:
        return 0
    each = operator.size if way.is_exact else policy.settings.n_products
    return each * len(policy.problem.chunks)


def _starts(operator, settings, generator):
    """Draw the vectors that Lanczos starts from."""
    first = operator.block.parameters[0]
    return random_probes(settings.n_probes, operator.size, generator, first.dtype, first.device)


def _groups(operators):
    """Put those in lockstep that share the recording of graphs; all others run alone.

    So no more than one of these has its vectors in memory.
    """
    shared = [
        name
        for name, operator in operators.items()
        if operator.source is not None and operator.source.records_anew
    ]
    alone = [[name] for name in operators if name not in shared]
    return [*alone, shared] if shared else alone
