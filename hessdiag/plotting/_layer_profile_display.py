"""LayerProfileDisplay: a measure against depth, at several steps of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from hessdiag.optional import import_optional
from hessdiag.plotting._matplotlib import new_figure, short_names
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


class LayerProfileDisplay(TrainingDisplay):
    """A measure of the layers against their depth, a line for each of a few steps.

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

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure last drawn into.
    ax_ : matplotlib.axes.Axes
        The axes last drawn into.

    See Also
    --------
    EvolutionDisplay : The same against steps.

    Examples
    --------
    >>> from hessdiag.plotting import LayerProfileDisplay
    >>> display = LayerProfileDisplay(
    ...     steps=[1, 10],
    ...     layer_names=["hidden", "head"],
    ...     values=[[0.1, 1.0], [0.2, 0.5]],
    ...     measure="max_eigenvalue",
    ... ).plot()
    >>> [line.get_label() for line in display.ax_.lines]
    ['step 1', 'step 10']
    """

    def __init__(
        self,
        *,
        steps: ArrayLike,
        layer_names: Sequence[str],
        values: ArrayLike,
        measure: str,
    ) -> None:
        self.steps = np.asarray(steps)
        self.layer_names = [str(name) for name in layer_names]
        self.values = np.asarray(values, dtype=float)
        self.measure = measure
        expected = (len(self.layer_names), len(self.steps))
        if self.values.shape != expected or 0 in expected:
            raise ValueError(
                f"Expected values of shape (n_layers, n_points) = {expected}, none of them 0, "
                f"found {self.values.shape}. Give a row per layer."
            )

    @classmethod
    def _of(cls, points, measure):
        """Make a display of what was read."""
        return cls(
            steps=points.steps, layer_names=points.layers, values=points.values, measure=measure
        )

    def plot(self, ax: Axes | None = None, *, max_steps: int = 4, log: bool | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; a new figure, which pyplot does not know of, where None.
        max_steps : int, default=4
            Lines at most: the first step, the last one and some between, evenly among the looks.
        log : bool or None, default=None
            Whether the measure is on a logarithmic scale; None decides by its values.

        Returns
        -------
        self : LayerProfileDisplay
            The display, with `figure_` and `ax_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            ax = new_figure(max(4.5, 2.5 + 0.45 * len(self.layer_names)), 3.8).add_subplot()
        n_lines = max(1, min(max_steps, len(self.steps)))
        chosen = np.unique(np.linspace(len(self.steps) - 1, 0, n_lines).round().astype(int))
        places = np.arange(len(self.layer_names))
        for line, (index, colour) in enumerate(zip(chosen, depth_colours(len(chosen)))):
            marker = MARKERS[line % len(MARKERS)]
            style = {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1.5}
            ax.plot(places, self.values[:, index], label=f"step {self.steps[index]}", **style)
        if is_wide(self.values[:, chosen].ravel()) if log is None else log:
            ax.set_yscale("log")
        labels = short_names(self.layer_names, 18)
        ax.set_xticks(places, labels, rotation=30, ha="right", parse_math=False)
        ax.set_xlabel("layer, in forward order", fontsize=9)
        return self._finish(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return all that there is as a frame.

        Returns
        -------
        frame : pandas.DataFrame
            A row for each layer at each step: ``step``, ``layer``, ``depth``, the measure.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        rows = [
            {"step": int(step), "layer": name, "depth": depth, self.measure: row[place]}
            for place, step in enumerate(self.steps)
            for depth, (name, row) in enumerate(zip(self.layer_names, self.values))
        ]
        return import_optional("pandas", "zoo", "A frame of a display").DataFrame(rows)

    def describe(self) -> str:
        """Say in sentences what the figure shows, for those who do not see it.

        Returns
        -------
        sentences : str
            The values at the last step.
        """
        values = ", ".join(
            f"{name} {row[-1]:.3g}" for name, row in zip(self.layer_names, self.values)
        )
        return f"{self.measure} of the layers at step {self.steps[-1]}: {values}."
