"""One measure of all layers at all looks, read off a history or a trajectory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

NETWORK = "network"


class TrainingPoints(NamedTuple):
    """One measure of all layers at all looks.

    Parameters
    ----------
    steps : ndarray of int of shape (n_points,)
        Steps of training, ascending.
    layers : list of str
        Layers in forward order, without the whole net.
    values : ndarray of shape (n_layers, n_points)
        The measure, NaN where it is not known.
    network : ndarray of shape (n_points,)
        That of the whole net.
    diagnoses : list of (str or None)
        The diagnosis at each look.
    """

    steps: np.ndarray
    layers: list
    values: np.ndarray
    network: np.ndarray
    diagnoses: list


def points_of_history(history: Any, measure: str) -> TrainingPoints:
    """Read a measure off skorch's history.

    Parameters
    ----------
    history : skorch.NeuralNet, skorch.history.History or list of dict
        Where a `SpectrumMonitor` has written.
    measure : str
        Name of the measure.

    Returns
    -------
    points : TrainingPoints
        What it holds.

    Raises
    ------
    ValueError
        If it holds no look, or not this measure.
    """
    history = list(getattr(history, "history", history))
    # Several looks within an epoch stand in its batches; the last of an epoch in both.
    looks = {}
    for row in history:
        for entries in (*row.get("batches", ()), row):
            if entries.get("spectrum_step") is not None:
                looks[entries["spectrum_step"]] = entries
    rows, start, known = [], f"spectrum/{measure}/", set()
    for step, entries in sorted(looks.items()):
        found = [name.split("/", 2) for name in entries if name.startswith("spectrum/")]
        known |= {parts[1] for parts in found}
        diagnosis = entries.get("event_diagnosis")
        for name, value in entries.items():
            if name.startswith(start):
                rows.append((step, name.removeprefix(start), value, diagnosis))
    return _collected(rows, measure, sorted(known), "a SpectrumMonitor in its callbacks")


def points_of_trajectory(trajectory: Any, measure: str) -> TrainingPoints:
    """Read a measure off a trajectory.

    Parameters
    ----------
    trajectory : Trajectory or list of dict
        A trajectory, or the rows of one.
    measure : str
        Name of the measure.

    Returns
    -------
    points : TrainingPoints
        What it holds.

    Raises
    ------
    ValueError
        If it holds no look, or not this measure.
    """
    rows = trajectory.rows() if hasattr(trajectory, "rows") else list(trajectory)
    numbers = {
        name for row in rows[:1] for name, value in row.items() if isinstance(value, (int, float))
    }
    found = [
        (row["step"], row["layer"], row[measure], row.get("diagnosis"))
        for row in rows
        if measure in numbers
    ]
    return _collected(found, measure, sorted(numbers), "its record called")


def _collected(rows, measure, known, remedy):
    """Put rows of (step, layer, value, diagnosis) into arrays."""
    if not rows and not known:
        raise ValueError(
            f"Expected a training that was looked at, found none. Train with {remedy}."
        )
    if not rows:
        raise ValueError(
            f"Expected a measure that was written, found {measure!r}. Choose one of "
            f"{', '.join(known)}."
        )
    steps = np.unique([step for step, *_ in rows])
    names = list(dict.fromkeys(layer for _, layer, *_ in rows))
    table = np.full((len(names), len(steps)), np.nan)
    diagnoses: list = [None] * len(steps)
    for step, layer, value, diagnosis in rows:
        place = int(np.searchsorted(steps, step))
        table[names.index(layer), place] = np.nan if value is None else value
        diagnoses[place] = diagnosis
    layers = [name for name in names if name != NETWORK]
    network = table[names.index(NETWORK)] if NETWORK in names else np.full(len(steps), np.nan)
    return TrainingPoints(
        steps, layers, table[[names.index(name) for name in layers]], network, diagnoses
    )
