"""Turn a diagnosis, its evidence and expected gains into advice: one of four."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hessdiag.diagnosis._report import Recommendation
from hessdiag.labels import DELTA, OVERFITTING, UNDERPARAMETERIZED

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from hessdiag.diagnosis._report import LayerFinding
    from hessdiag.features import LayerTable

# The share of a layer's directions that the data determine, under the evidence prior.
_SATURATION = "effective_dimension_fraction_1"

# Loss on the training data, over that of the best constant output. Any width reaches 1, by its last
# bias alone, so that what is above was not trained to the end, however wide it is.
WORSE_THAN_CONSTANT = 1.0

#: Ways of constraining, the weakest first: what to do in words, and for a program.
WAYS = {
    "decay": (
        "add weight decay (tenfold, or AdamW's 0.1 to 1 from none)",
        {"weight_decay": "increase"},
    ),
    "stopping": ("stop earlier", {"stop_earlier": True}),
    "narrowing": ("narrow {layer} to a quarter", {"width_factor": 0.25}),
}
_INTERVENTIONS = ("widening", "constraining", "longer")
_NOUNS = {"decay": "more weight decay", "stopping": "stopping earlier", "narrowing": "narrowing"}

#: Why a network is no better than it is, by the action that is advised where training longer is
#: known to help, or not to.
CAUSES = {"train": "not trained to the end", "widen": "too small"}


def choose_actions(
    diagnoses: ArrayLike,
    ratios: ArrayLike,
    gains: ArrayLike | None = None,
    delta: float = DELTA,
) -> np.ndarray:
    """Choose among widening, constraining, training longer and leaving alone.

    A diagnosis names the better of the first two, or none of them. Where the gain of training
    longer is known, it is advised where it is at least `delta` and the largest of the three. What
    does worse than a constant on its own training data is told to train before it is told to widen.

    Parameters
    ----------
    diagnoses : array-like of str of shape (n_networks,)
        Diagnoses.
    ratios : array-like of shape (n_networks,)
        Loss on the training data over that of the best constant output; NaN where not known.
    gains : array-like of shape (n_networks, 3) or None, default=None
        Expected gains of widening, constraining and training longer; None where the last is not
        known.
    delta : float, default=0.05
        Smallest gain that counts.

    Returns
    -------
    actions : ndarray of str of shape (n_networks,)
        ``"widen"``, ``"constrain"``, ``"train"`` or ``"keep"``.

    Examples
    --------
    >>> from hessdiag.diagnosis import choose_actions
    >>> gains = [[0.3, 0.0, 0.1], [0.3, 0.0, 0.4], [0.01, 0.02, 0.03]]
    >>> diagnoses = ["underparameterized", "underparameterized", "well-fit"]
    >>> choose_actions(diagnoses, [0.5, 0.5, 0.5], gains).tolist()
    ['widen', 'train', 'keep']
    """
    diagnoses = np.asarray(diagnoses)
    under = diagnoses == UNDERPARAMETERIZED
    actions = np.where(under, "widen", np.where(diagnoses == OVERFITTING, "constrain", "keep"))
    train = under & (np.asarray(ratios, dtype=float) >= WORSE_THAN_CONSTANT)
    if gains is not None:
        widening, constraining, longer = np.asarray(gains, dtype=float).T
        train |= (longer >= delta) & (longer > np.maximum(widening, constraining))
    return np.where(train, "train", actions)


def recommend(
    diagnosis: str,
    table: LayerTable,
    findings: Sequence[LayerFinding],
    constraints: Mapping[str, float] | None = None,
    gains: Mapping[str, float] | None = None,
) -> Recommendation:
    """Choose what to try next.

    Parameters
    ----------
    diagnosis : str
        The diagnosis; the action follows from it, and from the gain of training longer where that
        is known, by `choose_actions`.
    table : LayerTable
        Measures of the network.
    findings : list of LayerFinding
        Its layers, in forward order.
    constraints : dict of str to float or None, default=None
        Expected gain of each way of constraining, which then chooses the way.
    gains : dict of str to float or None, default=None
        Expected gains of ``"widening"``, ``"constraining"`` and ``"longer"``. Without the last
        nothing is known of training longer.

    Returns
    -------
    recommendation : Recommendation
        The intervention, the layers it is about, a sentence, and the change for a program.
    """
    known = gains if gains is not None and "longer" in gains else None
    three = None if known is None else [[known[name] for name in _INTERVENTIONS]]
    ratio = table.context["loss_over_null_loss"]
    action = str(choose_actions([diagnosis], [ratio], three)[0])
    if action == "train":
        worse = diagnosis == UNDERPARAMETERIZED and ratio >= WORSE_THAN_CONSTANT
        return _train_first(ratio) if worse or known is None else _train_longer(known)
    if action == "widen":
        return _widen(table, findings, known)
    if action == "constrain":
        return _constrain(findings, constraints or {})
    others = "neither widening nor constraining"
    if known is not None:
        others = "neither widening, nor constraining, nor training longer"
    return Recommendation("keep", (), f"Leave it alone: {others} should gain much.")


def recommend_measuring(reason: str, remedy: str) -> Recommendation:
    """Say what stands in the way of a diagnosis.

    Parameters
    ----------
    reason : str
        Why much was not measured; empty where that is not known.
    remedy : str
        What would let there be a diagnosis, a sentence.

    Returns
    -------
    recommendation : Recommendation
        No intervention, but that.
    """
    because = f", as {reason}" if reason else ""
    text = f"Change nothing on this ground: too little was measured{because}. {remedy}"
    return Recommendation("measure", (), text)


def _in_shares(gain):
    """Say a gain in null losses for somebody who has never heard of these."""
    return f"{gain:.0%} of the loss of a constant guess".replace("%", " %", 1)


def _spare(saturation):
    """Say how much of a layer's capacity is left, from the share that is in use."""
    if saturation >= 0.75:
        return "has almost no spare capacity"
    if saturation >= 0.4:
        return "has some spare capacity, less than the other layers"
    return "has spare capacity, though less than the other layers"


def _train_first(ratio):
    """Advise to train first: what has not even learned a constant says nothing of its width."""
    text = (
        "Train it first: on its own training data its loss is "
        f"{ratio:.3g} times that of the best constant guess, which any width reaches. Train it "
        "longer, or at another learning rate, and diagnose it again before you change its size."
    )
    return Recommendation("train", (), text, {"train_longer": 4})


def _train_longer(gains):
    """Advise to go on: what would gain most is more steps, not another size."""
    text = (
        "Train it longer: it was not trained to the end. Four times the steps by the same "
        "optimizer, a schedule stretched over them, should gain most: "
        f"{_in_shares(gains['longer'])} (widening {gains['widening']:.0%}, constraining "
        f"{gains['constraining']:.0%}). Diagnose it again before you change its size."
    )
    return Recommendation("train", (), text, {"train_longer": 4})


def _widen(table, findings, gains):
    """Name the hidden layers, the most saturated first; the head's width is the task's."""
    hidden = list(range(len(findings)))[:-1] or [0]
    saturation = np.nan_to_num(table.measures[_SATURATION], nan=-1.0)
    order = sorted(hidden, key=lambda index: -saturation[index])
    layers = tuple(findings[index].name for index in order)
    known = saturation[order[0]] >= 0
    which = f"the hidden layers, {layers[0]} first" if known else "the hidden layers"
    text = f"Widen {which}: multiply their width by four and train again."
    if known:
        text += f" {layers[0]} {_spare(saturation[order[0]])}."
    if gains is not None:
        text += (
            f" To train it longer as it is should gain less: {_in_shares(gains['longer'])} "
            f"(widening {gains['widening']:.0%})."
        )
    return Recommendation("widen", layers, text, {"width_factor": 4})


def _constrain(findings, constraints):
    """Name the layers that carry the diagnosis, and the ways to constrain the network."""
    order = sorted(findings, key=lambda finding: -finding.weight)
    layers = tuple(finding.name for finding in order if finding.weight > 0) or (order[0].name,)
    # The head's width is the task's; only hidden layers can be narrowed.
    hidden = [finding.name for finding in order if finding.name != findings[-1].name]
    ways = [way for way in WAYS if way != "narrowing" or hidden]
    known = {way: constraints[way] for way in ways if np.isfinite(constraints.get(way, np.nan))}
    ways.sort(key=lambda way: -known.get(way, -np.inf))
    words = [WAYS[way][0].format(layer=hidden[0] if hidden else "") for way in ways]
    text = f"Constrain it: {', '.join(words[:-1])}, or {words[-1]}."
    if max(known.values(), default=0.0) > 0:
        best, *others = [way for way in ways if way in known]
        rest = ", ".join(f"{_NOUNS[way]} {known[way]:.0%}" for way in others)
        text = f"Constrain it: {words[0]}. Of the ways to constrain it this should gain most: "
        text += f"{_in_shares(known[best])}{f' ({rest})' if rest else ''}."
    return Recommendation("constrain", layers, text, dict(WAYS[ways[0]][1]))
