"""Names and numbers of the study in words, the same in figures and on the page."""

from __future__ import annotations

import math
import re
from textwrap import wrap

from hessdiag.features import in_words
from hessdiag.plotting import power_of_ten

PLACE_WORDS = {
    "first": "first layer",
    "middle": "middle layers",
    "last": "last layer",
    "network": "whole network",
}

FAMILY_WORDS = {
    "shape": "shape of the spectrum",
    "scale": "size of the curvature",
    "noise": "curvature against noise",
    "loo": "leave-one-out",
    "alignment": "alignment with the targets",
    "attainable": "what a wide layer attains",
    "norm": "size of weights and gradients",
    "rival": "rival",
}

GIVEN_WORDS = {"nothing": "on its own", "train_loss": "given training loss"}

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

_NOT_KNOWN = "not known"


def measure_words(name):
    """Say a measure or a rival in words; a name without words becomes readable at least."""
    if name in _WORDS:
        return _WORDS[name]
    try:
        return in_words(name)
    except (KeyError, ValueError):
        return str(name).replace("_", " ")


def measure_unit(name):
    """Name the unit of a measure; shares, ratios and cosines have none."""
    name = str(name)
    for pattern, unit in _UNITS:
        if re.fullmatch(pattern, name):
            return unit
    return "no unit"


def pair_words(measure, place):
    """Say which measure of which layer."""
    return f"{measure_words(measure)}, {PLACE_WORDS.get(place, place)}"


def quoted_words(measure, place):
    """Say which measure of which layer within a sentence."""
    return f"“{measure_words(measure)}” of the {PLACE_WORDS.get(place, place)}"


def number(value, digits=3):
    """Write a number with as many digits as matter, and a minus sign that looks like one."""
    value = float(value)
    if not math.isfinite(value):
        return _NOT_KNOWN
    size = abs(value)
    if size and not 1e-3 <= size < 1e5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa} × {power_of_ten(int(exponent))}".replace("-", "−", 1)
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def signed(value):
    """Write a correlation: always with its sign, two decimals."""
    value = float(value)
    return f"{value:+.2f}".replace("-", "−") if math.isfinite(value) else _NOT_KNOWN


def percent(share):
    """Write a share as whole percents."""
    share = float(share)
    return f"{100 * share:.0f} %" if math.isfinite(share) else _NOT_KNOWN


def p_words(value):
    """Write a p-value; small ones as a bound."""
    value = float(value)
    if not math.isfinite(value):
        return _NOT_KNOWN
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def rho_words(row):
    """Write a rank correlation with its interval."""
    return f"ρ = {signed(row.rho)} (95 % interval {signed(row.low)} to {signed(row.high)})"


def count_words(n, noun):
    """Write a number of things: 1 data set, 2 data sets."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def wrapped(text, width, lines=3):
    """Break a text into lines of a width; what is beyond the last line becomes an ellipsis."""
    found = wrap(" ".join(str(text).split()), width) or [""]
    if len(found) > lines:
        found = [*found[: lines - 1], found[lines - 1][: width - 1].rstrip() + "…"]
    return "\n".join(found)
