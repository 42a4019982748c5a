"""What displays of a training have in common: where they read, and how they look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hessdiag.plotting._matplotlib import figure_html
from hessdiag.plotting._training_points import (
    TrainingPoints,
    points_of_history,
    points_of_trajectory,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Lines beyond these are told apart by their place in the legend alone.
MARKERS = "osv^D<>PX*"


class TrainingDisplay:
    """One measure of the layers during a training; displays say how it is drawn.

    They have `measure`, ``_of`` that makes one of `TrainingPoints`, `plot` and `describe`.
    """

    measure: str
    figure_: Any
    ax_: Any

    @classmethod
    def from_history(
        cls,
        history: Any,
        measure: str = "max_eigenvalue",
        *,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> Self:
        """Read what is to be drawn off the history of a skorch net, and draw it.

        Parameters
        ----------
        history : skorch.NeuralNet, skorch.history.History or list of dict
            Where a `SpectrumMonitor` has written.
        measure : str, default="max_eigenvalue"
            One of the monitor's ``measures``.
        ax : Axes or None, default=None
            Where to draw; a new figure where None.
        **plot_options : dict
            Passed to `plot`.

        Returns
        -------
        display : Self
            The display, drawn.

        Raises
        ------
        ValueError
            If there was no look, or another measure was written.
        """
        return cls._of(points_of_history(history, measure), measure).plot(ax, **plot_options)

    @classmethod
    def from_trajectory(
        cls,
        trajectory: Any,
        measure: str = "max_eigenvalue",
        *,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> Self:
        """Read what is to be drawn off a trajectory, and draw it.

        Parameters
        ----------
        trajectory : Trajectory or list of dict
            A trajectory, or the rows of one.
        measure : str, default="max_eigenvalue"
            A column of numbers of ``trajectory.to_frame()``.
        ax : Axes or None, default=None
            Where to draw; a new figure where None.
        **plot_options : dict
            Passed to `plot`.

        Returns
        -------
        display : Self
            The display, drawn.

        Raises
        ------
        ValueError
            If there was no look, or there is no such measure.
        """
        return cls._of(points_of_trajectory(trajectory, measure), measure).plot(ax, **plot_options)

    @classmethod
    def _of(cls, points: TrainingPoints, measure: str) -> Any:
        """Make a display of what was read."""
        raise NotImplementedError

    def _finish(self, ax):
        """Name the measure, leave the lower and the left spine, with a quiet grid and a legend."""
        ax.set_ylabel(self.measure.replace("_", " "), fontsize=9, parse_math=False)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        ax.tick_params(labelsize=8)
        ax.grid(visible=True, color="#808080", alpha=0.25, linewidth=0.6)
        ax.set_axisbelow(True)
        ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
        self.figure_, self.ax_ = ax.figure, ax
        return self

    def _repr_html_(self):
        """Show the figure in notebooks."""
        if not hasattr(self, "figure_"):
            self.plot()
        return figure_html(self.figure_, self.describe())


def depth_colours(n):
    """Colours from dark to light, one for each of n lines in their order."""
    from matplotlib import colormaps

    return [colormaps["viridis"](place) for place in np.linspace(0.0, 0.88, max(n, 2))][:n]


def is_wide(values):
    """Say whether values are better drawn on a logarithmic scale."""
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() > 10 * values.min())
