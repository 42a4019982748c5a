"""Displays: each is computed once from results, and can be drawn many times.

Nothing here computes curvature, and matplotlib is imported when the first figure is drawn.

`LayerSpectraDisplay`
    The spectra of a network's layers, in forward order, as small multiples.
`DiagnosisDisplay`
    The probabilities of each diagnosis for several networks, and what each layer contributes.
`EvolutionDisplay`
    How a measure of the layers moves in training, with the diagnosis behind it.
`LayerProfileDisplay`
    A measure against depth, at several steps of training.
"""

from hessdiag.plotting._diagnosis_display import (
    DiagnosisDisplay,
)
from hessdiag.plotting._evolution_display import (
    EvolutionDisplay,
)
from hessdiag.plotting._layer_profile_display import (
    LayerProfileDisplay,
)
from hessdiag.plotting._layer_spectra_display import (
    LayerSpectraDisplay,
)
from hessdiag.plotting._matplotlib import (
    figure_bytes,
    import_matplotlib,
    new_figure,
    power_of_ten,
)
from hessdiag.plotting._palette import (
    DIAGNOSIS_COLOURS,
    NEGATIVE,
    POSITIVE,
)

__all__ = [
    "DIAGNOSIS_COLOURS",
    "NEGATIVE",
    "POSITIVE",
    "DiagnosisDisplay",
    "EvolutionDisplay",
    "LayerProfileDisplay",
    "LayerSpectraDisplay",
    "figure_bytes",
    "import_matplotlib",
    "new_figure",
    "power_of_ten",
]
