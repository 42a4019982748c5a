"""Regimes of networks and places of layers: what the rows of the tables are named by."""

from __future__ import annotations

#: Order of the regimes wherever they are listed.
REGIMES = ("starved", "sound", "lavish")

#: The diagnosis that each regime calls for.
EXPECTED_DIAGNOSES = {
    "starved": "underparameterized",
    "sound": "well-fit",
    "lavish": "overfitting",
}

#: Order of the places of a layer.
LAYER_PLACES = ("first", "middle", "last")

#: Order of the places of rows; "network" is all layers together.
PLACES = (*LAYER_PLACES, "network")
