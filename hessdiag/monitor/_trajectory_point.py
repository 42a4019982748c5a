"""TrajectoryPoint: what was found at one step of training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hessdiag.monitor._layer_measures import raw_measures

if TYPE_CHECKING:
    from hessdiag.examination import Examination
    from hessdiag.features import LayerTable

#: Euclidean norms that stand beside the measures.
NORMS = ("gradient_norm", "weight_norm")


@dataclass(frozen=True, eq=False)
class TrajectoryPoint:
    """What was found at one step of training.

    Parameters
    ----------
    step : int
        Steps of training that had been made.
    epoch : int or None
        Epochs, where they are known.
    seconds : float
        How long the look took.
    examination : Examination or None
        The spectra and statistics; None where the examination failed.
    table : LayerTable or None
        Its measures, as diagnosers take them.
    diagnosis : str or None
        What the diagnoser answers; None where none was asked, or the examination failed.
    probabilities : dict of str to float
        Probability of each diagnosis.
    gains : dict of str to float
        Expected gain of each intervention by name, in units of the null loss.
    domain_score : float or None
        Distance from the reference networks; above 1 the network lies outside.
    error : str or None
        Why the examination failed.

    Examples
    --------
    >>> from hessdiag.monitor import TrajectoryPoint
    >>> TrajectoryPoint(step=3, error="ValueError: not finite").failed
    True
    """

    step: int
    epoch: int | None = None
    seconds: float = 0.0
    examination: Examination | None = field(default=None, repr=False)
    table: LayerTable | None = field(default=None, repr=False)
    diagnosis: str | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)
    domain_score: float | None = None
    error: str | None = None

    @property
    def failed(self) -> bool:
        """bool : Whether the examination failed."""
        return self.examination is None

    @property
    def notes(self) -> tuple[str, ...]:
        """tuple of str : What was left out, or is not known well, at this point."""
        if self.examination is None:
            return ()
        context = self.examination.context
        names = ("left_out", "statistics_missing", "rounding")
        return tuple(str(context[name]) for name in names if name in context)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each layer, then one for the whole net; none where the look failed.

        Yields
        ------
        row : dict of str to object
            ``step``, ``epoch``, ``layer``, ``kind``, ``depth`` (place in forward order from 0, -1
            for the whole net), the loss and error on the data, diagnosis, probabilities, gains, and
            all measures of the layer: ``gradient_norm`` of the mean loss, ``weight_norm``, those of
            `raw_measures`, then those of `hessdiag.features.LAYER_MEASURES`.
        """
        examination, table = self.examination, self.table
        if examination is None or table is None:
            return
        shared: dict[str, Any] = {"step": self.step, "epoch": self.epoch}
        found = {name: examination.context.get(name) for name in ("loss", "error")}
        found["diagnosis"] = self.diagnosis
        found |= {f"probability_{name}": value for name, value in self.probabilities.items()}
        found |= dict(self.gains)
        found["domain_score"] = self.domain_score
        for depth, layer in enumerate(examination.layers):
            measured = {name: float(values[depth]) for name, values in table.measures.items()}
            place = {"layer": layer.name, "kind": layer.kind, "depth": depth}
            norms = {name: layer.statistics.get(name, math.nan) for name in NORMS}
            yield shared | place | found | norms | raw_measures(layer, examination) | measured
        whole = examination.network
        measured = {name: table.network[name] for name in table.measures}
        place = {"layer": whole.name, "kind": whole.kind, "depth": -1}
        # The whole net's own statistics are in units of the layers' priors.
        norms = {
            name: math.hypot(*(o.statistics.get(name, math.nan) for o in examination.layers))
            for name in NORMS
        }
        yield shared | place | found | norms | raw_measures(whole, examination) | measured
