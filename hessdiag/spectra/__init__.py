"""Spectra of local Hessians: computing them, and reading them."""

from hessdiag.spectra._exact import (
    ggn_spectrum,
)
from hessdiag.spectra._layer_coupling import (
    LayerCoupling,
    layer_coupling,
)
from hessdiag.spectra._layer_spectra import (
    layer_spectra,
)
from hessdiag.spectra._layer_traces import (
    LayerTrace,
    layer_traces,
)
from hessdiag.spectra._local_operators import (
    LocalOperators,
)
from hessdiag.spectra._local_spectra import (
    check_factors,
    local_spectra,
    operator_spectra,
)
from hessdiag.spectra._measures import (
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
from hessdiag.spectra._plan import (
    LayerPlan,
    SpectraPlan,
    plan_spectra,
)
from hessdiag.spectra._settings import (
    SpectrumSettings,
)
from hessdiag.spectra._spectrum import (
    Spectrum,
)
from hessdiag.spectra._traces_plan import (
    plan_traces,
)

__all__ = [
    "MEASURES",
    "LayerCoupling",
    "LayerPlan",
    "LayerTrace",
    "LocalOperators",
    "SpectraPlan",
    "Spectrum",
    "SpectrumSettings",
    "check_factors",
    "condition_number",
    "effective_dimension",
    "effective_rank",
    "ggn_spectrum",
    "layer_coupling",
    "layer_spectra",
    "layer_traces",
    "local_spectra",
    "max_eigenvalue",
    "min_eigenvalue",
    "n_outliers",
    "negative_mass",
    "operator_spectra",
    "participation_ratio",
    "plan_spectra",
    "plan_traces",
    "rank_fraction",
    "stable_rank",
    "tail_exponent",
    "trace",
]
