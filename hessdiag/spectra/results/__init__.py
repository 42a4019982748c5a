"""What comes out: spectra, traces, couplings and plans as frozen data, and measures of spectra."""

from hessdiag.spectra.results._layer_coupling import LayerCoupling
from hessdiag.spectra.results._layer_trace import LayerTrace
from hessdiag.spectra.results._measures import (
    MEASURES,
    condition_number,
    effective_dimension,
    effective_rank,
    max_eigenvalue,
    min_eigenvalue,
    n_outliers,
    negative_mass,
    participation_ratio,
    rank_fraction,
    stable_rank,
    tail_exponent,
    trace,
)
from hessdiag.spectra.results._spectra_plan import LayerPlan, SpectraPlan
from hessdiag.spectra.results._spectrum import Spectrum

__all__ = [
    "MEASURES",
    "LayerCoupling",
    "LayerPlan",
    "LayerTrace",
    "SpectraPlan",
    "Spectrum",
    "condition_number",
    "effective_dimension",
    "effective_rank",
    "max_eigenvalue",
    "min_eigenvalue",
    "n_outliers",
    "negative_mass",
    "participation_ratio",
    "rank_fraction",
    "stable_rank",
    "tail_exponent",
    "trace",
]
