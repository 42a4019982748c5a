"""LayerTable: the numbers of one examined network, a row per layer, without its spectra."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hessdiag.features.measures import CONTEXT_MEASURES, LAYER_MEASURES, NETWORK_MEASURES

if TYPE_CHECKING:
    from hessdiag.examination import Examination


@dataclass(frozen=True, eq=False)
class LayerTable:
    """Measures of one network: those of each layer, of the whole net, and its context.

    This is what remains of an `Examination` once its spectra have been measured; the reference
    zoo ships as these.

    Parameters
    ----------
    name : str or None
        Name of the case.
    layers : tuple of str
        Layer names in forward order.
    kinds : tuple of str
        Class name of each layer's module.
    measures : dict of str to ndarray of shape (n_layers,)
        The measures of `LAYER_MEASURES`, NaN where one does not apply.
    network : dict of str to float
        The same measures for the whole net, and those of `NETWORK_MEASURES`.
    context : dict of str to float
        The measures of `CONTEXT_MEASURES`.
    """

    name: str | None
    layers: tuple
    kinds: tuple
    measures: dict
    network: dict
    context: dict

    def to_json(self) -> str:
        """Return the table as JSON text; what is not finite becomes null.

        Returns
        -------
        text : str
            One JSON object.
        """
        return json.dumps(
            {
                "name": self.name,
                "layers": self.layers,
                "kinds": self.kinds,
                "measures": {key: _to_list(value) for key, value in self.measures.items()},
                "network": {key: _to_list(value) for key, value in self.network.items()},
                "context": {key: _to_list(value) for key, value in self.context.items()},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> LayerTable:
        """Read what `to_json` wrote.

        Parameters
        ----------
        text : str
            One JSON object.

        Returns
        -------
        table : LayerTable
            The table.
        """
        fields = json.loads(text)
        return cls(
            name=fields["name"],
            layers=tuple(fields["layers"]),
            kinds=tuple(fields["kinds"]),
            measures={key: np.array(v, dtype=float) for key, v in fields["measures"].items()},
            network={key: _from_json(value) for key, value in fields["network"].items()},
            context={key: _from_json(value) for key, value in fields["context"].items()},
        )


def layer_table(examination: Examination) -> LayerTable:
    """Measure every layer of an examination, the whole net and the context.

    Parameters
    ----------
    examination : Examination
        What `LayerSpectra` made of a case.

    Returns
    -------
    table : LayerTable
        Its measures.
    """
    context = examination.context
    rows = [
        {name: _measure(function, layer, context) for name, function in LAYER_MEASURES.items()}
        for layer in (*examination.layers, examination.network)
    ]
    *layer_rows, network = rows
    network |= {
        name: _measure(function, examination.network, context)
        for name, function in NETWORK_MEASURES.items()
    }
    return LayerTable(
        name=examination.name,
        layers=tuple(layer.name for layer in examination.layers),
        kinds=tuple(layer.kind for layer in examination.layers),
        measures={
            name: np.array([row[name] for row in layer_rows], dtype=float)
            for name in LAYER_MEASURES
        },
        network=network,
        context={
            name: _measure(lambda _, own, read=function: read(own), None, context)
            for name, function in CONTEXT_MEASURES.items()
        },
    )


def _measure(function, layer, context):
    """One measure of one layer; NaN where its ingredients are missing or not finite."""
    with np.errstate(all="ignore"):
        value = function(layer, context)
    return float(value) if np.isfinite(value) else np.nan


def _to_list(value):
    """Numbers for JSON, rounded to the eight digits that matter."""
    if isinstance(value, np.ndarray):
        return [_to_list(item) for item in value]
    return float(f"{value:.8g}") if np.isfinite(value) else None


def _from_json(value):
    """A float from JSON, NaN from null."""
    return np.nan if value is None else float(value)
