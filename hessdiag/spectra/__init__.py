"""Spectra of local Hessians: computing them, and reading them."""

from hessdiag.spectra._layer_spectra import layer_spectra
from hessdiag.spectra._spectrum import Spectrum

__all__ = ["Spectrum", "layer_spectra"]
