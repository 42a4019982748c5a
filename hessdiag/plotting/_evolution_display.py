"""EvolutionDisplay: how a measure of the layers moves while a network trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hessdiag.optional import import_optional
from hessdiag.plotting._matplotlib import new_figure, short_names
from hessdiag.plotting._palette import diagnosis_style, in_order
from hessdiag.plotting._training_display import (
    MARKERS,
    TrainingDisplay,
    depth_colours,
    is_wide,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


class EvolutionDisplay(TrainingDisplay):
    """A measure against steps of training, a line for each layer.

    The lines go from dark, the first layer, to light, the last one, each with its own marker; a
    dashed black one is the whole network. Behind them stands the diagnosis at each look, until the
    next one.

    Use `from_history` or `from_trajectory`; the constructor takes plain arrays.

    Parameters
    ----------
    steps : array-like of int of shape (n_points,)
        Steps of training, ascending.
    layer_names : sequence of str of length n_layers
        Layers in forward order.
    values : array-like of shape (n_layers, n_points)
        The measure; NaN where it is not known.
    measure : str
        Name of the measure.
    network : array-like of shape (n_points,) or None, default=None
        The measure of the whole net.
    diagnoses : sequence of (str or None) of length n_points or None, default=None
        Diagnosis at each look.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure last drawn into.
    ax_ : matplotlib.axes.Axes
        The axes last drawn into.

    See Also
    --------
    LayerProfileDisplay : The same against depth.

    Examples
    --------
    >>> from hessdiag.plotting import EvolutionDisplay
    >>> display = EvolutionDisplay(
    ...     steps=[1, 10, 100],
    ...     layer_names=["hidden", "head"],
    ...     values=[[0.1, 1.0, 4.0], [0.2, 0.5, 0.6]],
    ...     measure="max_eigenvalue",
    ...     diagnoses=["underparameterized", "well-fit", "overfitting"],
    ... ).plot()
    >>> [line.get_label() for line in display.ax_.lines]
    ['hidden', 'head']
    """

    def __init__(
        self,
        *,
        steps: ArrayLike,
        layer_names: Sequence[str],
        values: ArrayLike,
        measure: str,
        network: ArrayLike | None = None,
        diagnoses: Sequence[str | None] | None = None,
    ) -> None:
        self.steps = np.asarray(steps)
        self.layer_names = [str(name) for name in layer_names]
        self.values = np.asarray(values, dtype=float).reshape(len(self.layer_names), -1)
        self.measure = measure
        blank = np.full(self.steps.shape, np.nan)
        self.network = blank if network is None else np.asarray(network, dtype=float)
        self.diagnoses = [None] * len(self.steps) if diagnoses is None else list(diagnoses)
        shapes = [self.values.shape[1:], self.network.shape, (len(self.diagnoses),)]
        if self.steps.ndim != 1 or not self.steps.size or set(shapes) != {self.steps.shape}:
            raise ValueError(
                f"Expected values, network and diagnoses for each of the steps {self.steps.shape}, "
                f"found {shapes}. Give one for each step, and at least one step."
            )

    @classmethod
    def _of(cls, points, measure):
        """Make a display of what was read."""
        return cls(
            steps=points.steps,
            layer_names=points.layers,
            values=points.values,
            measure=measure,
            network=points.network,
            diagnoses=points.diagnoses,
        )

    def plot(self, ax: Axes | None = None, *, log: bool | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; a new figure, which pyplot does not know of, where None.
        log : bool or None, default=None
            Whether the measure is on a logarithmic scale; None decides by its values: where all
            are positive and the largest is more than ten times the smallest.

        Returns
        -------
        self : EvolutionDisplay
            The display, with `figure_` and `ax_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            ax = new_figure(7.5, 4.2).add_subplot()
        self._draw_diagnoses(ax)
        colours = depth_colours(len(self.layer_names))
        for place, (name, row) in enumerate(zip(short_names(self.layer_names, 26), self.values)):
            marker = MARKERS[place % len(MARKERS)]
            style: dict[str, Any] = {"color": colours[place], "marker": marker, "markersize": 4}
            # A label that begins with an underscore would be left out of the legend.
            ax.plot(
                self.steps,
                row,
                linewidth=1.5,
                label=name if name[:1] != "_" else f" {name}",
                **style,
            )
        if np.isfinite(self.network).any():
            ax.plot(self.steps, self.network, "--", color="black", linewidth=1.5, label="network")
        finite = np.concatenate([self.values.ravel(), self.network])
        if len(self.steps) > 1 and self.steps.min() > 0:
            ax.set_xscale("log")
        if is_wide(finite) if log is None else log:
            ax.set_yscale("log")
        ax.set_xlabel("training step", fontsize=9)
        return self._finish(ax)

    def _draw_diagnoses(self, ax):
        """Colour the background by the diagnosis at each look, until the next one."""
        names = in_order({name for name in self.diagnoses if name})
        if not names:
            return
        ends = [*self.steps[1:], self.steps[-1] * 1.08 if len(self.steps) > 1 else self.steps[-1]]
        labelled = set()
        for start, end, name in zip(self.steps, ends, self.diagnoses):
            if not name:
                continue
            colour, hatch = diagnosis_style(name, names.index(name))
            label = None if name in labelled else name
            labelled.add(name)
            ax.axvspan(
                start,
                max(end, start + 1e-9),
                facecolor=(colour, 0.22),
                edgecolor=(colour, 0.35),
                hatch=hatch,
                linewidth=0,
                label=label,
                zorder=0,
            )

    def to_frame(self) -> pd.DataFrame:
        """Return what is drawn as a frame.

        Returns
        -------
        frame : pandas.DataFrame
            A row for each layer, and the whole network, at each step: ``step``, ``layer``, the
            measure, ``diagnosis``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        rows = [
            {"step": int(step), "layer": name, self.measure: row[place], "diagnosis": diagnosis}
            for place, (step, diagnosis) in enumerate(zip(self.steps, self.diagnoses))
            for name, row in zip([*self.layer_names, "network"], [*self.values, self.network])
        ]
        return import_optional("pandas", "zoo", "A frame of a display").DataFrame(rows)

    def describe(self) -> str:
        """Say in sentences what the figure shows, for those who do not see it.

        Returns
        -------
        sentences : str
            Where each line begins and ends, and the diagnoses.
        """
        first, last = int(self.steps[0]), int(self.steps[-1])
        words = [f"{self.measure} from step {first} to {last}."]
        for name, row in zip([*self.layer_names, "network"], [*self.values, self.network]):
            if np.isfinite(row).any():
                words.append(f"{name}: {row[0]:.3g} to {row[-1]:.3g}.")
        said = [f"{name} at step {step}" for step, name in zip(self.steps, self.diagnoses) if name]
        return " ".join(words + ([f"Diagnoses: {', '.join(said)}."] if said else []))
