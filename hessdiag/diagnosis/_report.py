"""DiagnosisReport: what a diagnoser finds out about one network, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hessdiag.cases import changed_net, changed_settings
from hessdiag.diagnosis._gains import GainEstimate
from hessdiag.diagnosis._renderers import rendered
from hessdiag.examination import Examination

#: What a diagnoser answers where its confidence is below `min_confidence`.
UNDECIDED = "undecided"

#: Least weight that is called evidence, in log-odds: a tenth more or less likely.
EVIDENCE_FLOOR = 0.1


@dataclass(frozen=True)
class Evidence:
    """One measure that supports the diagnosis.

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
        Fall of the diagnosis's log-odds (natural logarithm of p / (1 - p)) when the measure is set
        to its median among well-fit networks (for a well-fit network: among the others).
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
        Fall of the diagnosis's log-odds when all measures of this layer are set to their medians
        among well-fit networks; negative where the layer counts against it.
    evidence : tuple of Evidence
        The layer's own measures of weight 0.1 or more, strongest first; only such as lie outside
        the range of well-fit networks, or for a well-fit network within it.
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
    action : {"widen", "constrain", "keep", "train", "measure"}
        The intervention; ``"train"`` where training longer should gain most, or where the network
        does worse than a constant on its own training data; ``"measure"`` where too little was
        measured to advise one.
    layers : tuple of str
        Layers it is about; for ``"widen"`` the one that is most saturated first.
    text : str
        The advice in a sentence.
    change : dict
        The same for a program: ``{"width_factor": 4}``, ``{"width_factor": 0.25}``,
        ``{"weight_decay": "increase"}``, ``{"stop_earlier": True}``, ``{"train_longer": 4}``;
        empty for the others.
    """

    action: str
    layers: tuple
    text: str
    change: dict = field(default_factory=dict)

    def apply(self, net: Any) -> Any:
        """Do to a net what is advised.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net that was diagnosed; it is not changed.

        Returns
        -------
        changed : skorch.NeuralNet
            An unfitted clone with the change made; without one where none is advised.

        Raises
        ------
        ValueError
            If no parameter of the net does this, as where its width is not one of its module.
        """
        return changed_net(net, self.change)

    def code(self, net: Any) -> str:
        """Write what is advised as a line to paste.

        Parameters
        ----------
        net : skorch.NeuralNet
            The net that was diagnosed.

        Returns
        -------
        line : str
            A call of ``net.set_params``; empty where no change is advised.

        Raises
        ------
        ValueError
            As for `apply`.
        """
        settings = changed_settings(net, self.change)
        if not settings:
            return ""
        said = {
            key: f"torch.optim.{value.__name__}" if isinstance(value, type) else repr(value)
            for key, value in settings.items()
        }
        return f"net.set_params({', '.join(f'{key}={value}' for key, value in said.items())})"


@dataclass(frozen=True)
class DiagnosisReport:
    """The diagnosis of one network, with its evidence.

    Parameters
    ----------
    name : str or None
        Name of the case.
    diagnosis : str
        ``"overfitting"``, ``"underparameterized"`` or ``"well-fit"``: the most probable one.
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
    gain_widening, gain_constraining : GainEstimate or None
        How far either intervention is expected to lower held-out loss; None if the diagnoser was
        fitted without gains, or too little was measured. The rule `label_gains` names them as
        `diagnosis` does.
    constraints : dict of str to float
        Expected gain of each way of constraining: ``"narrowing"``, ``"decay"``, ``"stopping"``;
        empty where they are not known.
    undecided : bool
        Whether the confidence is below the diagnoser's `min_confidence`, or more than half of
        what a diagnosis weighs was not measured.
    domain_score : float or None
        Distance from the reference networks; above 1 the network lies outside, by its measures or
        by kinds of layers that none of those has.
    missing : tuple of str
        Measures that were not taken though networks of the reference have them.
    missing_share : float
        Share of what a diagnosis weighs that was not measured.
    fitted_probabilities : dict of str to float
        Probabilities at the shares of diagnoses that the classifier was fitted with; empty where
        no `class_prior` moves them, so that they are `probabilities`.
    gain_longer : GainEstimate or None
        The same for training longer, which moves no diagnosis; None if the diagnoser was fitted
        without, or too little was measured.
    cause : {"not trained to the end", "too small", ""}
        Why the network is no better than it is, where that is one of these two: the first where
        it is advised to train, the second where it is advised to widen though the gain of training
        longer is known.
    """

    name: str | None
    diagnosis: str
    probabilities: dict
    layers: tuple
    evidence: tuple
    recommendation: Recommendation
    notes: tuple
    examination: Examination = field(repr=False)
    gain_widening: GainEstimate | None = None
    gain_constraining: GainEstimate | None = None
    constraints: dict = field(default_factory=dict)
    undecided: bool = False
    domain_score: float | None = None
    missing: tuple = ()
    missing_share: float = 0.0
    fitted_probabilities: dict = field(default_factory=dict)
    gain_longer: GainEstimate | None = None
    cause: str = ""

    @property
    def answer(self) -> str:
        """str : What `predict` answers: the diagnosis, or ``"undecided"``."""
        return UNDECIDED if self.undecided else self.diagnosis

    @property
    def confidence(self) -> float:
        """float : Probability of the diagnosis."""
        return self.probabilities[self.diagnosis]

    def __str__(self):
        """Return the report as plain text."""
        return rendered(self, "text") or repr(self)

    def _repr_html_(self):
        """Return the report as HTML, for notebooks."""
        return rendered(self, "html")
