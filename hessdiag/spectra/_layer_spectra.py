"""The spectra of all layers of a net, in one call."""

from __future__ import annotations

from hessdiag.curvature import LocalCurvature, untouched_surroundings
from hessdiag.spectra._local_spectra import local_spectra
from hessdiag.spectra._settings import SpectrumSettings

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
    settings = SpectrumSettings(
        curvature=curvature,
        method=method,
        n_lanczos_steps=n_lanczos_steps,
        n_probes=n_probes,
        random_state=random_state,
        tolerance=tolerance,
    )
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
        return local_spectra(problem, settings)
