"""Names of measures, places and units in words, the same in figures and on the page."""

from __future__ import annotations

import re

from hessdiag.features import in_words

#: Places of layers in words.
PLACE_WORDS = {
    "first": "first layer",
    "middle": "middle layers",
    "last": "last layer",
    "network": "whole network",
}

#: Families of measures in words.
FAMILY_WORDS = {
    "shape": "shape of the spectrum",
    "hessian": "beyond the Gauss-Newton matrix",
    "scale": "size of the curvature",
    "noise": "curvature against noise",
    "loo": "leave-one-out",
    "alignment": "alignment with the targets",
    "attainable": "what a wide layer attains",
    "norm": "size of weights and gradients",
    "rival": "rival",
}

#: What a correlation holds fixed, in words.
GIVEN_WORDS = {"nothing": "on its own", "train_loss": "given training loss"}

#: What measures are correlated with, in words.
TARGET_WORDS = {"held_out_loss": "held-out loss", "gap": "generalization gap"}

# Raw measures and rivals; those of a diagnosis have their words in `hessdiag.features`.
_WORDS = {
    "trace": "total curvature (trace)",
    "max_eigenvalue": "sharpest curvature (largest eigenvalue)",
    "min_eigenvalue": "most negative curvature (smallest eigenvalue)",
    "stable_rank": "number of strongly curved directions (stable rank)",
    "participation_ratio": "number of curved directions (participation ratio)",
    "effective_rank": "number of curved directions (entropy)",
    "effective_dimension": "directions that the data determine (effective dimension)",
    "n_outliers": "number of outlying eigenvalues",
    "rank_fraction": "rank, as a share of the largest possible",
    "train_loss": "training loss",
    "train_error": "training error",
    "gradient_norm": "gradient norm",
    "weight_norm": "weight norm",
    "sharpness": "sharpness (rise of the loss along the gradient)",
    "network_trace": "total curvature of the whole network (trace)",
    "network_max_eigenvalue": "sharpest curvature of the whole network",
}

# The first pattern that fits a whole name.
_UNITS = (
    (r"trace|(max|min)_eigenvalue", "loss / parameter²"),
    (r"log_(trace|max_eigenvalue)", "log10 of loss / parameter²"),
    (r"stable_rank|participation_ratio|effective_(rank|dimension)|n_outliers", "directions"),
    (r"log_(gradient_)?(stable_rank|participation_ratio|effective_rank)", "log10 of directions"),
    (r"effective_dimension_per_sample_.*", "log10 of directions / sample"),
    (r"log_(trace|max_eigenvalue|gradient_norm|gradient_noise)_weight", "log10 of null losses"),
    (r"log_trace_weight_per_parameter", "log10 of null losses / parameter"),
    (r"takeuchi_.*", "log10 of null losses"),
    (r"alo_(loss|gap|median_gap)_.*|alo_best_loss", "null losses (arcsinh beyond 0.05)"),
    (r"attainable_(r2|gap)(_linear|_deep)?", "R²"),
    (r"gradient_norm", "null losses / parameter"),
    (r"weight_norm", "norm of the parameters"),
    (r"log_weight_rms", "log10 of a parameter"),
    (r"(train|held_out|best_held_out)_loss|gap|sharpness|regime_contrast", "null losses"),
    (r".*(fraction|share|mass|error|error_gap)(_[0-9.]+)?|gn_gap|p_[a-z_]+", "share"),
)


def measure_words(name: str) -> str:
    """Say a measure or a rival in words.

    Parameters
    ----------
    name : str
        Its name in the tables.

    Returns
    -------
    words : str
        A name without words has its underscores replaced.
    """
    if name in _WORDS:
        return _WORDS[name]
    try:
        return in_words(name)
    except (KeyError, ValueError):
        return str(name).replace("_", " ")


def measure_unit(name: str) -> str:
    """Name the unit of a measure.

    Parameters
    ----------
    name : str
        Its name in the tables.

    Returns
    -------
    unit : str
        Ratios and cosines have ``"no unit"``.
    """
    name = str(name)
    for pattern, unit in _UNITS:
        if re.fullmatch(pattern, name):
            return unit
    return "no unit"


def pair_words(measure: str, place: str) -> str:
    """Say which measure of which layer, as a label.

    Parameters
    ----------
    measure, place : str
        Their names in the tables.

    Returns
    -------
    words : str
        The measure, a comma, the place.
    """
    return f"{measure_words(measure)}, {PLACE_WORDS.get(place, place)}"


def quoted_words(measure: str, place: str) -> str:
    """Say which measure of which layer, within a sentence.

    Parameters
    ----------
    measure, place : str
        Their names in the tables.

    Returns
    -------
    words : str
        The measure in quotation marks, and the place.
    """
    return f"“{measure_words(measure)}” of the {PLACE_WORDS.get(place, place)}"
