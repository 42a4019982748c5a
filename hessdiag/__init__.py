"""Diagnose trained neural networks from the spectra of their layer-wise Hessians."""

from hessdiag._version import __version__

__all__ = ["__version__"]
