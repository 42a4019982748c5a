"""Spectra of local Hessians: computing them, and reading them."""

from hessdiag.moved import moved_names
from hessdiag.spectra._exact import (
    ggn_spectrum,
)
from hessdiag.spectra._executor import (
    choose_policy,
    compute_spectra,
)
from hessdiag.spectra._gaps import (
    Measured,
    measure_gaps,
)
from hessdiag.spectra._local_spectra import (
    LocalSpectra,
)
from hessdiag.spectra._policy import RESERVE, check_factors
from hessdiag.spectra._settings import (
    SpectrumSettings,
    check_counts,
    check_time,
)
from hessdiag.spectra._shortcuts import (
    layer_coupling,
    layer_spectra,
    layer_traces,
    plan_spectra,
    plan_traces,
)
from hessdiag.spectra._time_budget import BudgetWarning
from hessdiag.spectra.results import (
    MEASURES,
    LayerCoupling,
    LayerPlan,
    LayerTrace,
    SpectraPlan,
    Spectrum,
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

__all__ = [
    "MEASURES",
    "RESERVE",
    "BudgetWarning",
    "LayerCoupling",
    "LayerPlan",
    "LayerTrace",
    "LocalSpectra",
    "Measured",
    "SpectraPlan",
    "Spectrum",
    "SpectrumSettings",
    "check_counts",
    "check_factors",
    "check_time",
    "choose_policy",
    "compute_spectra",
    "condition_number",
    "effective_dimension",
    "effective_rank",
    "ggn_spectrum",
    "layer_coupling",
    "layer_spectra",
    "layer_traces",
    "max_eigenvalue",
    "measure_gaps",
    "min_eigenvalue",
    "n_outliers",
    "negative_mass",
    "participation_ratio",
    "plan_spectra",
    "plan_traces",
    "rank_fraction",
    "stable_rank",
    "tail_exponent",
    "trace",
]

__getattr__ = moved_names(__name__, {"examine": "hessdiag.examination"})
