"""DiagnosisDisplay: the probabilities of several networks, and what each layer contributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hessdiag.plotting._matplotlib import figure_html, new_figure, short_names, shorten
from hessdiag.plotting._palette import AGAINST, diagnosis_style, in_order

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from hessdiag.diagnosis import DiagnosisReport

# A segment narrower than this has no room for its percentage.
_MIN_LABELLED = 0.08


class DiagnosisDisplay:
    """Diagnoses of one or more networks at a glance.

    On the left a bar for each network, divided by the probabilities of the diagnoses; on the right
    the weight of each of its layers, in forward order: by how much the log-odds
    of the diagnosis fall when the layer's measures are set to their medians among
    well-fit networks.

    Use `from_reports`; the constructor takes plain arrays.

    Parameters
    ----------
    names : sequence of str of length n_networks
        Names of the networks.
    classes : sequence of str of length n_classes
        The diagnoses.
    probabilities : array-like of shape (n_networks, n_classes)
        Probability of each diagnosis.
    layer_names : sequence of (sequence of str)
        Names of each network's layers, in forward order.
    layer_weights : sequence of array-like
        Weight of each of these layers, as a difference of probabilities.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure last drawn into.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_networks, 2)
        Bars on the left, layers on the right.

    See Also
    --------
    LayerSpectraDisplay : Draws the spectra that a diagnosis rests on.

    Examples
    --------
    >>> from hessdiag.plotting import DiagnosisDisplay
    >>> display = DiagnosisDisplay(
    ...     names=["small net"],
    ...     classes=["overfitting", "underparameterized", "well-fit"],
    ...     probabilities=[[0.1, 0.7, 0.2]],
    ...     layer_names=[["hidden", "head"]],
    ...     layer_weights=[[0.4, -0.1]],
    ... ).plot()
    >>> display.axes_.shape
    (1, 2)
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        classes: Sequence[str],
        probabilities: ArrayLike,
        layer_names: Sequence[Sequence[str]],
        layer_weights: Sequence[Sequence[float] | np.ndarray],
    ) -> None:
        probabilities = np.asarray(probabilities, dtype=float)
        expected = (len(names), len(classes))
        if not names or probabilities.shape != expected:
            raise ValueError(
                f"Expected probabilities of shape (n_networks, n_classes) = {expected} with at "
                f"least one network, found {probabilities.shape}. Give a row per network."
            )
        sizes = [[len(a) for a in lists] for lists in (layer_names, layer_weights)]
        if sizes[0] != sizes[1] or len(sizes[0]) != len(names):
            raise ValueError(
                f"Expected a name and a weight for each layer of the {len(names)} networks, found "
                f"{sizes[0]} names and {sizes[1]} weights. Give one list per network."
            )
        self.names = [str(name) for name in names]
        self.classes = list(classes)
        self.probabilities = probabilities
        self.layer_names = [list(layers) for layers in layer_names]
        self.layer_weights = [np.asarray(weights, dtype=float) for weights in layer_weights]

    @classmethod
    def from_reports(
        cls,
        reports: DiagnosisReport | Sequence[DiagnosisReport],
        *,
        ax: ArrayLike | None = None,
        **plot_options: Any,
    ) -> DiagnosisDisplay:
        """Collect what is to be drawn from reports, and draw it.

        Parameters
        ----------
        reports : list of DiagnosisReport
            What `FitDiagnoser.explain` returns, for one network or more.
        ax : array-like of Axes of shape (n_networks, 2), default=None
            Where to draw; a new figure where None.
        **plot_options : dict
            Passed to `plot`.

        Returns
        -------
        display : DiagnosisDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there is no report.
        """
        shown: list[Any] = [reports] if hasattr(reports, "probabilities") else list(reports)
        classes = in_order({name for report in shown for name in report.probabilities})
        display = cls(
            names=[report.name or f"network {i}" for i, report in enumerate(shown, start=1)],
            classes=classes,
            probabilities=np.reshape(
                [[r.probabilities.get(name, 0.0) for name in classes] for r in shown],
                (len(shown), len(classes)),
            ),
            layer_names=[[layer.name for layer in report.layers] for report in shown],
            layer_weights=[[layer.weight for layer in report.layers] for report in shown],
        )
        return display.plot(ax=ax, **plot_options)

    def plot(self, ax: ArrayLike | None = None, *, max_layers: int = 12) -> Self:
        """Draw the networks one below the other.

        Parameters
        ----------
        ax : array-like of Axes of shape (n_networks, 2), default=None
            Where to draw; a new figure, which pyplot does not know of, where None.
        max_layers : int, default=12
            Layers to draw at most for each network: those with the largest absolute weights.
            Beside the axis is said how many are left out.

        Returns
        -------
        self : DiagnosisDisplay
            The display, with `figure_` and `axes_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `ax` does not have the shape (n_networks, 2).
        """
        n_networks = len(self.names)
        own_figure = ax is None
        if own_figure:
            rows = [min(max_layers, max(1, len(names))) for names in self.layer_names]
            heights = [0.55 + 0.24 * max(rows_of, 2) for rows_of in rows]
            figure = new_figure(11, sum(heights) + 1.2)
            ax = figure.subplots(
                n_networks,
                2,
                squeeze=False,
                gridspec_kw={"width_ratios": [3, 2], "height_ratios": heights},
            )
        axes = np.asarray(ax, dtype=object)
        if axes.shape != (n_networks, 2):
            raise ValueError(
                f"Expected axes of shape (n_networks, 2) = {(n_networks, 2)}, found {axes.shape}. "
                "Make them with plt.subplots(n_networks, 2, squeeze=False)."
            )
        weights = np.concatenate([w[np.isfinite(w)] for w in self.layer_weights] or [[0.0]])
        reach = 1.35 * np.array(
            [min(weights.min(initial=0.0), 0.0), max(weights.max(initial=0.0), 0.01)]
        )
        reach[0] -= 0.03 * reach[1]
        for index in range(n_networks):
            self._draw_bar(axes[index, 0], index, max_layers)
            self._draw_layers(axes[index, 1], index, reach, max_layers)
        axes[-1, 0].set_xlabel("probability of each diagnosis (%)", fontsize=9)
        axes[-1, 1].set_xlabel("weight of the layer for the diagnosis (log-odds)", fontsize=9)
        for axis in axes[:-1].ravel():
            axis.tick_params(labelbottom=False)
        self.figure_, self.axes_ = axes[0, 0].figure, axes
        if own_figure:
            self._add_key(figure)
        return self

    def describe(self) -> str:
        """Say in sentences what the figure shows, for those who do not see it.

        Returns
        -------
        sentences : str
            The probabilities of each network.
        """
        return " ".join(
            f"{name}: " + ", ".join(f"{c} {100 * p:.0f} %" for c, p in zip(self.classes, row)) + "."
            for name, row in zip(self.names, self.probabilities)
        )

    def _repr_html_(self):
        """Show the figure in notebooks."""
        if not hasattr(self, "figure_"):
            self.plot()
        return figure_html(self.figure_, self.describe())

    def _rows(self, index, max_layers):
        """Limits of a network's vertical axes, in rows of the layers; the first row is on top."""
        return max(min(len(self.layer_names[index]), max_layers), 2) - 0.4, -0.6

    def _draw_bar(self, ax, index, max_layers):
        """Draw the probabilities of one network as one stacked bar."""
        start = 0.0
        row = np.nan_to_num(self.probabilities[index])
        for position, (name, share) in enumerate(zip(self.classes, row)):
            colour, hatch = diagnosis_style(name, position)
            ax.barh(
                0.5,
                100 * share,
                left=100 * start,
                height=1.5,
                facecolor=colour,
                edgecolor="white",
                linewidth=1.0,
                hatch=hatch,
            )
            if share >= _MIN_LABELLED:
                ax.text(
                    100 * (start + share / 2),
                    0.5,
                    f"{100 * share:.0f} %",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color="black",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.92},
                )
            start += share
        winner = self.classes[int(np.argmax(row))]
        ax.set_title(
            f"{shorten(self.names[index], 48)}: {winner}",
            fontsize=10,
            fontweight="bold",
            loc="left",
            parse_math=False,
        )
        ax.set_xlim(0, 100)
        ax.set_ylim(*self._rows(index, max_layers))
        ax.set_yticks([])
        _clear_spines(ax)

    def _draw_layers(self, ax, index, reach, max_layers):
        """Draw the weights of one network's layers, the first layer on top."""
        names, weights = self.layer_names[index], self.layer_weights[index]
        strongest = np.argsort(-np.abs(np.nan_to_num(weights)), kind="stable")[:max_layers]
        kept = np.sort(strongest)
        winner = int(np.argmax(np.nan_to_num(self.probabilities[index])))
        colour, hatch = diagnosis_style(self.classes[winner], winner)
        for row, layer in enumerate(kept):
            weight = weights[layer]
            speaks_for = weight > 0
            ax.barh(
                row,
                np.nan_to_num(weight),
                height=0.7,
                facecolor=colour if speaks_for else "white",
                edgecolor="white" if speaks_for else AGAINST,
                hatch=hatch if speaks_for else "",
                linewidth=1.0,
            )
            ax.annotate(
                f"{weight:+.1f}" if np.isfinite(weight) else "not known",
                xy=(np.nan_to_num(weight), row),
                xytext=(4 if not weight < 0 else -4, 0),
                textcoords="offset points",
                ha="left" if not weight < 0 else "right",
                va="center",
                fontsize=8,
            )
        ax.axvline(0, color="#404040", linewidth=0.9)
        ax.set_xlim(*reach)
        ax.set_ylim(*self._rows(index, max_layers))
        short = short_names(names, 26)
        labels = [short[layer] for layer in kept]
        ax.set_yticks(range(len(kept)), labels, fontsize=8, parse_math=False)
        if len(kept) < len(names):
            words = f"{len(kept)} of {len(names)} layers: the largest weights"
            ax.set_title(words, fontsize=8, loc="right")
        _clear_spines(ax)

    def _add_key(self, figure):
        """Name colours and hatches below the figure."""
        from matplotlib.patches import Patch

        handles = []
        for position, name in enumerate(self.classes):
            colour, hatch = diagnosis_style(name, position)
            handles.append(Patch(facecolor=colour, edgecolor="white", hatch=hatch, label=name))
        handles.append(Patch(facecolor="white", edgecolor=AGAINST, label="speaks against it"))
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=len(handles),
            frameon=False,
            fontsize=9,
        )


def _clear_spines(ax):
    """Leave the lower spine only."""
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(labelsize=8)
