"""Turn a diagnosis and its evidence into advice."""

from __future__ import annotations

import numpy as np

from hessdiag.diagnosis._labels import OVERFITTING, UNDERPARAMETERIZED
from hessdiag.diagnosis._report import Recommendation

# The share of a layer's directions that the data determine, under the evidence prior.
_SATURATION = "effective_dimension_fraction_1"


def recommend(diagnosis, table, findings):
    """Say what to try next.

    Parameters
    ----------
    diagnosis : str
        The diagnosis.
    table : LayerTable
        Measures of the network.
    findings : list of LayerFinding
        Its layers, in forward order.

    Returns
    -------
    recommendation : Recommendation
        The intervention, the layers it is about, and a sentence.
    """
    if diagnosis == UNDERPARAMETERIZED:
        return _widen(table, findings)
    if diagnosis == OVERFITTING:
        return _constrain(findings)
    return Recommendation(
        "keep", (), "Leave it alone: neither widening nor constraining should gain much."
    )


def _widen(table, findings):
    """Name the hidden layers, the most saturated first; the head's width is the task's."""
    hidden = list(range(len(findings)))[:-1] or [0]
    saturation = np.nan_to_num(table.measures[_SATURATION])
    order = sorted(hidden, key=lambda index: -saturation[index])
    layers = tuple(findings[index].name for index in order)
    first = order[0]
    text = (
        f"Widen the hidden layers, {layers[0]} first: multiply their width by four and train "
        f"again. The data determine {saturation[first]:.0%} of {layers[0]}'s directions."
    )
    return Recommendation("widen", layers, text)


def _constrain(findings):
    """Name the layers that drive the diagnosis, and how to hold the network back."""
    order = sorted(findings, key=lambda finding: -finding.weight)
    layers = tuple(finding.name for finding in order if finding.weight > 0) or (order[0].name,)
    # The head's width is the task's; only hidden layers can be narrowed.
    hidden = [finding.name for finding in order if finding.name != findings[-1].name]
    ways = ["add weight decay (tenfold, or AdamW's 0.1 to 1 from none)", "stop earlier"]
    ways += [f"narrow {hidden[0]}"] if hidden else []
    text = f"Constrain it: {', '.join(ways[:-1])}, or {ways[-1]}."
    return Recommendation("constrain", layers, text)
