"""The statements that the study tests, stated before any of its networks was looked at.

Each is a function of one data set's three runs that says whether the statement holds there, or
None where it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hessdiag.study._runs import Runs
from hessdiag.study.tables import LAYER_PLACES

PAPER = "arXiv:2510.17486"


@dataclass(frozen=True)
class Statement:
    """A statement about the runs of a data set that can fail.

    Parameters
    ----------
    key : str
        Short name.
    text : str
        The statement in words.
    reference : str
        Where it comes from.
    claim : {"overfitting", "underparameterization", "evolution", "generalization", "layers"}
        What it speaks for.
    holds : callable
        Takes `Runs`, returns True, False, or None where it does not apply.
    """

    key: str
    text: str
    reference: str
    claim: str
    holds: Callable


def _sharpening(runs: Runs):
    curve = runs.curve("sound", "network", "max_eigenvalue")
    return None if curve is None else bool(curve.max() >= 2 * curve[0])


def _edge_of_stability(runs: Runs):
    curve = runs.curve("lavish", "network", "max_eigenvalue")
    if curve is None:
        return None
    threshold = 2 * (1 + runs.momentum) / runs.learning_rate
    late = curve[runs.shares("lavish") >= 0.25]
    return bool(np.all((late > threshold / 2) & (late < 2 * threshold)))


def _lavish_flattens(runs: Runs):
    curve = runs.curve("lavish", "network", "max_eigenvalue")
    if curve is None or runs.kind != "classification":
        return None
    return bool(curve[-1] < curve.max() / 2)


def _outliers(runs: Runs):
    if runs.kind != "classification":
        return None
    found = runs.value("sound", "network", "n_outliers")
    return None if found is None else bool(found <= runs.n_outputs)


def _concentration(runs: Runs):
    pairs = [runs.ends("sound", place, "participation_ratio") for place in LAYER_PLACES]
    if None in pairs:
        return None
    return all(end < start for start, end in pairs)


def _few_directions(runs: Runs):
    return runs.compare("middle", "participation_ratio_fraction", "lavish", "sound", below=True)


def _dimension_falls(runs: Runs):
    lavish = runs.curve("lavish", "last", "effective_dimension")
    sound = runs.curve("sound", "last", "effective_dimension")
    if lavish is None or sound is None:
        return None
    return bool(lavish[-1] < 0.9 * lavish.max() and sound[-1] >= 0.9 * sound.max())


def _starved_rank(runs: Runs):
    starved = [runs.value("starved", place, "rank_fraction") for place in LAYER_PLACES]
    lavish = [runs.value("lavish", place, "rank_fraction") for place in LAYER_PLACES]
    if None in starved or None in lavish:
        return None
    return min(starved) >= 0.9 and min(lavish) < 0.9


def _sharper_overfits(runs: Runs):
    return runs.compare("network", "max_eigenvalue", "lavish", "sound")


def _sharper_overfits_scaled(runs: Runs):
    return runs.compare("network", "log_max_eigenvalue_weight", "lavish", "sound")


def _last_layer_sharpest(runs: Runs):
    values = [runs.value("sound", place, "max_eigenvalue") for place in LAYER_PLACES]
    return None if None in values else values[-1] == max(values)


def _order_kept(runs: Runs):
    early = [runs.value("sound", place, "trace", 0.1) for place in LAYER_PLACES]
    late = [runs.value("sound", place, "trace") for place in LAYER_PLACES]
    if None in early or None in late:
        return None
    return bool(np.argmax(early) == np.argmax(late))


def _negative_mass_fades(runs: Runs):
    curve = runs.curve("sound", "middle", "negative_mass")
    if curve is None or runs.activation == "relu" or curve.max() == 0:
        return None
    return bool(curve[-1] < curve.max() / 2)


def _gap_closes(runs: Runs):
    if runs.activation == "relu":
        return None
    ends = runs.ends("lavish", "first", "gn_gap")
    return None if ends is None else ends[1] < ends[0]


def _noise_takes_over(runs: Runs):
    ends = [runs.ends("sound", place, "log_gradient_snr") for place in LAYER_PLACES]
    return None if None in ends else all(end < start for start, end in ends)


def _kernel_aligns(runs: Runs):
    ends = [runs.ends("sound", place, "centred_target_alignment") for place in LAYER_PLACES]
    return None if None in ends else all(end > start for start, end in ends)


def _takeuchi(runs: Runs):
    return runs.compare("network", "takeuchi_1", "lavish", "sound")


def _alo_orders(runs: Runs):
    values = [runs.value(r, "network", "alo_median_gap_1") for r in ("starved", "sound", "lavish")]
    return None if None in values else values[0] < values[1] < values[2]


def _dimension_orders(runs: Runs):
    values = [
        runs.value(r, "network", "effective_dimension_per_sample_1")
        for r in ("starved", "sound", "lavish")
    ]
    return None if None in values else values[0] < values[1] < values[2]


def _diagonal_dominates(runs: Runs):
    return None if runs.phi("sound") is None else runs.phi("sound") < 0.5


def _neighbours_couple(runs: Runs):
    near, far = runs.coupling("sound", 1), runs.coupling("sound", 2)
    return None if near is None or far is None else near > far


#: In the order in which they are listed.
STATEMENTS = (
    Statement(
        "progressive-sharpening",
        "In sound runs the largest eigenvalue of the whole net at least doubles at some time.",
        "Cohen et al. (2021), ICLR, arXiv:2103.00065",
        "evolution",
        _sharpening,
    ),
    Statement(
        "edge-of-stability",
        "In lavish runs the largest eigenvalue of the whole net stays within a factor of 2 of "
        "2 (1 + momentum) / learning rate over the last three quarters of training.",
        "Cohen et al. (2021), ICLR, arXiv:2103.00065",
        "evolution",
        _edge_of_stability,
    ),
    Statement(
        "late-flattening",
        "In lavish runs with cross-entropy the largest eigenvalue of the whole net ends below half "
        "of its peak.",
        "Cohen et al. (2021), ICLR, arXiv:2103.00065",
        "overfitting",
        _lavish_flattens,
    ),
    Statement(
        "outliers-are-classes",
        "Sound classifiers end with no more outlying eigenvalues of the whole net than classes.",
        "Sagun et al. (2017), arXiv:1706.04454; Papyan (2020), JMLR 21(252)",
        "evolution",
        _outliers,
    ),
    Statement(
        "curvature-concentrates",
        "In sound runs the participation ratio of every layer ends below where it began.",
        "Gur-Ari, Roberts, Dyer (2018), arXiv:1812.04754",
        "evolution",
        _concentration,
    ),
    Statement(
        "overfitting-in-few-directions",
        "The middle layer of lavish nets ends with its curvature in a smaller share of directions "
        "than that of sound nets.",
        PAPER,
        "overfitting",
        _few_directions,
    ),
    Statement(
        "effective-dimension-falls",
        "The effective dimension of the last layer ends more than 10 % below its peak in lavish "
        "runs, and not in sound ones.",
        f"{PAPER}; Maddox, Benton, Wilson (2020), arXiv:2003.02139",
        "overfitting",
        _dimension_falls,
    ),
    Statement(
        "starved-layers-have-full-rank",
        "All layers of starved nets end with at least 90 % of the rank that their curvature can "
        "have, and some layer of lavish nets with less.",
        f"{PAPER}; Singh, Bachmann, Hofmann (2021), NeurIPS",
        "underparameterization",
        _starved_rank,
    ),
    Statement(
        "sharper-is-worse",
        "Lavish nets end with a larger largest eigenvalue of the whole net than sound ones.",
        "Hochreiter, Schmidhuber (1997), Neural Computation 9(1); Keskar et al. (2017), ICLR",
        "generalization",
        _sharper_overfits,
    ),
    Statement(
        "sharper-is-worse-scaled",
        "Lavish nets end with a larger product of largest eigenvalue and squared weight norm of "
        "the whole net than sound ones.",
        "Dinh et al. (2017), ICML",
        "generalization",
        _sharper_overfits_scaled,
    ),
    Statement(
        "last-layer-sharpest",
        "Of the layers of sound nets the last one ends with the largest eigenvalue.",
        "Sankar et al. (2021), AAAI, arXiv:2012.03801",
        "layers",
        _last_layer_sharpest,
    ),
    Statement(
        "order-of-layers-is-early",
        "The layer with the largest trace at the end of sound runs has it at 10 % of training.",
        PAPER,
        "layers",
        _order_kept,
    ),
    Statement(
        "negative-curvature-fades",
        "In sound runs with a smooth activation the negative share of the middle layer's spectrum "
        "ends below half of its largest.",
        "Ghorbani, Krishnan, Xiao (2019), ICML, arXiv:1901.10159",
        "evolution",
        _negative_mass_fades,
    ),
    Statement(
        "gauss-newton-takes-over",
        "In lavish runs with a smooth activation the first layer's Hessian ends nearer to its "
        "Gauss-Newton matrix than it began.",
        "Sagun et al. (2017), arXiv:1706.04454; Martens (2020), JMLR 21(146)",
        "overfitting",
        _gap_closes,
    ),
    Statement(
        "gradient-noise-takes-over",
        "In sound runs the signal-to-noise ratio of every layer's gradient ends below where it "
        "began.",
        "Shwartz-Ziv, Tishby (2017), arXiv:1703.00810",
        "evolution",
        _noise_takes_over,
    ),
    Statement(
        "kernels-align",
        "In sound runs every layer's tangent kernel ends better aligned with the targets than it "
        "began.",
        "Baratin et al. (2021), AISTATS, arXiv:2008.00938",
        "evolution",
        _kernel_aligns,
    ),
    Statement(
        "takeuchi-tells-overfitting",
        "Takeuchi's trace of the whole net ends larger in lavish than in sound nets.",
        "Thomas et al. (2020), AISTATS, arXiv:1906.07774",
        "generalization",
        _takeuchi,
    ),
    Statement(
        "leave-one-out-orders-regimes",
        "The median leave-one-out gap of the whole net at the end grows from starved over sound to "
        "lavish nets.",
        "Rad, Maleki (2020), JRSS B 82(4)",
        "generalization",
        _alo_orders,
    ),
    Statement(
        "dimension-orders-regimes",
        "The effective dimension per sample of the whole net at the end grows from starved over "
        "sound to lavish nets.",
        "MacKay (1992), Neural Computation 4(3); Maddox, Benton, Wilson (2020), arXiv:2003.02139",
        "underparameterization",
        _dimension_orders,
    ),
    Statement(
        "layers-hold-most-curvature",
        "The blocks of the layers hold more than half of the squared norm of sound nets' Hessians "
        "at the end.",
        f"{PAPER}; arXiv:2604.11639",
        "layers",
        _diagonal_dominates,
    ),
    Statement(
        "neighbours-couple-most",
        "At the end of sound runs neighbouring layers are more strongly coupled than the first and "
        "the last.",
        "arXiv:2604.11639",
        "layers",
        _neighbours_couple,
    ),
)
