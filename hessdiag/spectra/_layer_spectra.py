"""The spectra of all layers of a net, in one call."""

from __future__ import annotations

import math

import numpy as np
import torch

from hessdiag.curvature import LocalCurvature
from hessdiag.curvature._working_copy import untouched_surroundings
from hessdiag.spectra._exact import dense_spectrum, gauss_newton_gap, ggn_spectrum
from hessdiag.spectra._lanczos import lanczos, quadrature, random_probes
from hessdiag.spectra._spectrum import Spectrum

__all__ = ["layer_spectra"]


def layer_spectra(
    net,
    X,
    y,
    layers=None,
    curvature="hessian",
    scalar="loss",
    method="auto",
    n_lanczos_steps=30,
    n_probes=3,
    max_samples=None,
    batch_size=None,
    random_state=None,
    device=None,
    dtype=None,
    tolerance=None,
    max_memory=None,
):
    """Compute the spectrum of every layer's local Hessian or Gauss-Newton matrix."""
    _check_choice("curvature", curvature, ("hessian", "ggn"))
    _check_choice("method", method, ("auto", "exact", "lanczos"))
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
        )
        return spectra_of(
            problem, curvature, method, n_lanczos_steps, n_probes, random_state
        )


def spectra_of(
    problem, curvature, method, n_lanczos_steps, n_probes, random_state, dense_limit=2500
):
    """Compute the spectra of an already prepared problem."""
    generator = torch.Generator().manual_seed(_seed(random_state))
    spectra, pending = {}, []
    if problem.outputs is None:
        if curvature == "ggn":
            raise ValueError(
                "Expected a loss of the outputs for curvature='ggn', found that "
                f"{problem.why_whole}. Use curvature='hessian'."
            )
        products = problem.whole_products()
        for block in problem.blocks:
            if method == "exact" or (method == "auto" and block.n_params <= dense_limit):
                spectra[block.name] = dense_spectrum(products.dense(block.name), math.nan)
            else:
                pending.append(block)
        multiply = products.products
        gaps = {}
    else:
        factors = problem.factors(weighted=True)
        gaps, residuals = {}, None
        if curvature == "hessian":
            residuals = problem.residual_products()
            gaps = gauss_newton_gap(problem, factors, residuals, generator)
        coincident = set()
        for block in problem.blocks:
            factor, gap = factors[block.name], gaps.get(block.name, math.nan)
            same = curvature == "ggn" or gap <= coincidence_threshold(problem)
            if same:
                coincident.add(block.name)
            if method != "lanczos" and same:
                spectra[block.name] = ggn_spectrum(
                    factor, problem.outputs.signs, curvature, gap
                )
            elif method == "exact" or (method == "auto" and block.n_params <= dense_limit):
                matrix = residuals.dense(block.name) + gauss_newton_matrix(
                    factor, problem.outputs.signs
                )
                spectra[block.name] = dense_spectrum(matrix, gap)
            else:
                pending.append(block)

        def multiply(vectors):
            images = {}
            bent = {n: v for n, v in vectors.items() if n not in coincident}
            if bent:
                images = residuals.products(bent)
            for name, v in vectors.items():
                image = gauss_newton_product(factors[name], problem.outputs.signs, v)
                images[name] = images[name] + image if name in images else image
            return images

    if pending:
        starts = {
            block.name: random_probes(
                n_probes,
                block.n_params,
                generator,
                problem.working_copy.dtype,
                problem.working_copy.device,
            )
            for block in pending
        }
        tridiagonals = lanczos(multiply, starts, n_lanczos_steps)
        for block in pending:
            nodes, weights, trace, error = quadrature(tridiagonals[block.name], block.n_params)
            spectra[block.name] = Spectrum(
                block.n_params,
                False,
                nodes,
                weights,
                trace,
                error,
                curvature,
                gaps.get(block.name, math.nan),
            )
    return {block.name: spectra[block.name] for block in problem.blocks}


def coincidence_threshold(problem):
    """Bound the relative gap below which Hessian and Gauss-Newton matrix are the same."""
    return 1e-6 if problem.working_copy.dtype == torch.float64 else 1e-4


def gauss_newton_product(factor, signs, vectors):
    """Multiply vectors (k, p) by J' B diag(s) B' J, given the factor of B' J."""
    image = factor.matvec(vectors)
    if signs is not None:
        image = image * signs.to(image.dtype)
    return factor.rmatvec(image)


def gauss_newton_matrix(factor, signs):
    """Form J' B diag(s) B' J (p, p), given the factor of B' J."""
    rows = factor.dense()
    left = rows if signs is None else rows * signs.to(rows.dtype)[:, :, None]
    return left.reshape(-1, factor.n_params).T @ rows.reshape(-1, factor.n_params)


def _check_choice(name, value, allowed):
    """Check a keyword against the values it may take."""
    if value not in allowed:
        listed = ", ".join(repr(a) for a in allowed)
        raise ValueError(f"Expected {name} to be one of {listed}, found {value!r}.")


def _seed(random_state):
    """Turn a random_state into a seed for torch."""
    if random_state is None:
        return 0
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(random_state.randint(2**31 - 1))
