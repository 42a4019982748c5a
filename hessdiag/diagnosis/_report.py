"""DiagnosisReport: what a diagnoser has to say about one network, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field

from hessdiag.examination import Examination


@dataclass(frozen=True)
class Evidence:
    """One measure that speaks for the diagnosis.

    Parameters
    ----------
    measure : str
        Name of the measure, as in `hessdiag.features.LAYER_MEASURES`.
    words : str
        The measure in words a practitioner knows.
    value : float
        Its value in this network.
    low, high : float
        Quartiles of the measure among the well-fit networks of the reference.
    weight : float
        Fall of the diagnosis's probability when the measure is set to its median among well-fit
        networks (for a well-fit network: among the others).
    """

    measure: str
    words: str
    value: float
    low: float
    high: float
    weight: float


@dataclass(frozen=True)
class LayerFinding:
    """What one layer contributes to the diagnosis.

    Parameters
    ----------
    name, kind : str
        Name of the layer and class of its module.
    n_params : int
        Number of its parameters.
    weight : float
        Fall of the diagnosis's probability when all measures of this layer are set to their
        medians among well-fit networks; negative where the layer speaks against it.
    evidence : tuple of Evidence
        The layer's own measures that stand furthest outside, strongest first.
    """

    name: str
    kind: str
    n_params: int
    weight: float
    evidence: tuple


@dataclass(frozen=True)
class Recommendation:
    """What to try next.

    Parameters
    ----------
    action : {"widen", "constrain", "keep"}
        The intervention.
    layers : tuple of str
        Layers it is about; for ``"widen"`` the one that is most saturated first.
    text : str
        The advice in a sentence.
    """

    action: str
    layers: tuple
    text: str


@dataclass(frozen=True)
class DiagnosisReport:
    """The diagnosis of one network, with its evidence.

    Parameters
    ----------
    name : str or None
        Name of the case.
    diagnosis : str
        ``"overfitting"``, ``"underparameterized"`` or ``"well-fit"``.
    probabilities : dict of str to float
        Probability of each diagnosis.
    layers : tuple of LayerFinding
        All layers in forward order.
    evidence : tuple of Evidence
        Measures of the network as a whole (pooled over layers, and of its context) that carry the
        diagnosis, strongest first.
    recommendation : Recommendation
        What to try next.
    notes : tuple of str
        Cautions, such as a network unlike those of the reference.
    examination : Examination
        The spectra and statistics that the diagnosis rests on.
    """

    name: str | None
    diagnosis: str
    probabilities: dict
    layers: tuple
    evidence: tuple
    recommendation: Recommendation
    notes: tuple
    examination: Examination = field(repr=False)

    @property
    def confidence(self):
        """float : Probability of the diagnosis."""
        return self.probabilities[self.diagnosis]

    def __str__(self):
        """Return the report as plain text."""
        from hessdiag.reporting import render_text

        return render_text([self])

    def _repr_html_(self):
        """Return the report as HTML, for notebooks."""
        from hessdiag.reporting import render_html

        return render_html([self], fragment=True)
