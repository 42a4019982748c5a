"""LayerSpectraDisplay: the spectra of a network's layers, as small multiples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from hessdiag.plotting._matplotlib import figure_html, new_figure, short_names, shorten
from hessdiag.plotting._palette import NEGATIVE, NEGATIVE_HATCH, POSITIVE
from hessdiag.plotting._spectrum_panel import LEAST_WIDTH, TITLE_WIDTH, SpectrumPanel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hessdiag.examination import Examination
    from hessdiag.spectra import Spectrum

# A density is drawn on this many points, so that a Gaussian of 1 % of the range is smooth.
_N_GRID = 401


class LayerSpectraDisplay:
    """Spectra of the layers of one network, in forward order, a panel each.

    An exact spectrum is shown as its nonzero eigenvalues, sorted: ``|eigenvalue|`` on a log scale
    against the rank in percent. Positive eigenvalues fall from the left, dots over a plain area;
    negative ones follow on the right, triangles over a hatched area. The null space is stated in
    the panel's title. A spectrum known through quadrature is shown as its density, the part below
    zero hatched, with a tick for each Ritz value.

    Use `from_spectra`, which computes what is drawn from results; the constructor takes plain
    arrays.

    Parameters
    ----------
    layer_names : sequence of str of length n_layers
        Names of the layers, in forward order.
    nodes : sequence of ndarray of shape (n_nodes,)
        Eigenvalues or Ritz values of each layer, in units of loss per squared parameter.
    weights : sequence of ndarray of shape (n_nodes,)
        Share of the layer's directions at each node; sums to 1 for each layer.
    n_params : sequence of int
        Number of parameters of each layer.
    grids, densities : sequence of (ndarray of shape (n_points,) or None), default=None
        Spectral density of each layer, and where it was evaluated; None for a layer whose nodes
        are its eigenvalues. None stands for None in all layers.
    kinds : sequence of str, default=None
        Class of each layer's module, shown beside its name.
    title : str, default=None
        Title of the figure.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure last drawn into.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_panels,)
        The axes last drawn into, one for each layer in `drawn_layers_`.
    drawn_layers_ : tuple of str
        The layers that were drawn, in forward order.

    See Also
    --------
    hessdiag.layer_spectra : Computes the spectra of one network.
    DiagnosisDisplay : Draws what follows from them.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdiag.plotting import LayerSpectraDisplay
    >>> display = LayerSpectraDisplay(
    ...     layer_names=["hidden"],
    ...     nodes=[np.array([0.0, 0.5, 2.0])],
    ...     weights=[np.array([0.5, 0.25, 0.25])],
    ...     n_params=[4],
    ... ).plot()
    >>> display.axes_[0].get_title(loc="left")
    '4 parameters, null space 2 (50 %)'
    """

    def __init__(
        self,
        *,
        layer_names: Sequence[str],
        nodes: Sequence[np.ndarray],
        weights: Sequence[np.ndarray],
        n_params: Sequence[int],
        grids: Sequence[np.ndarray | None] | None = None,
        densities: Sequence[np.ndarray | None] | None = None,
        kinds: Sequence[str] | None = None,
        title: str | None = None,
    ) -> None:
        n_layers = len(layer_names)
        given: dict[str, Sequence[Any]] = {
            "nodes": nodes,
            "weights": weights,
            "n_params": n_params,
            "grids": [None] * n_layers if grids is None else grids,
            "densities": [None] * n_layers if densities is None else densities,
            "kinds": [None] * n_layers if kinds is None else kinds,
        }
        for name, values in given.items():
            if len(values) != n_layers:
                raise ValueError(
                    f"Expected `{name}` with one entry for each of the {n_layers} layer names, "
                    f"found {len(values)}. Give one per layer."
                )
        if not n_layers:
            raise ValueError("Expected at least one layer, found none. Give a spectrum to draw.")
        self.layer_names = tuple(str(name) for name in layer_names)
        self.nodes, self.weights, self.n_params = given["nodes"], given["weights"], n_params
        self.grids, self.densities = given["grids"], given["densities"]
        self.kinds = given["kinds"]
        self.title = title
        self._panels = {
            name: SpectrumPanel(
                name=name,
                kind=self.kinds[index],
                n_params=int(n_params[index]),
                nodes=np.asarray(nodes[index], dtype=float),
                weights=np.asarray(weights[index], dtype=float),
                grid=self.grids[index],
                density=self.densities[index],
            )
            for index, name in enumerate(self.layer_names)
        }
        if len(self._panels) < n_layers:
            raise ValueError("Expected names that differ, found equal ones. Rename the layers.")

    @classmethod
    def from_spectra(
        cls,
        spectra: Mapping[str, Spectrum] | Examination,
        *,
        curvature: Literal["hessian", "ggn"] = "hessian",
        title: str | None = None,
        ax: Axes | Sequence[Axes] | None = None,
        **plot_options: Any,
    ) -> LayerSpectraDisplay:
        """Collect what is to be drawn from spectra, and draw it.

        Parameters
        ----------
        spectra : dict of str to Spectrum, or Examination
            What `hessdiag.layer_spectra` returns, or what `hessdiag.LayerSpectra` makes of a case.
        curvature : {"hessian", "ggn"}, default="hessian"
            Which spectrum of an examination's layers to draw; not read for a dict.
        title : str, default=None
            Title of the figure; the name of the case where None.
        ax : Axes or array-like of Axes, default=None
            Where to draw; a new figure where None.
        **plot_options : dict
            Passed to `plot`.

        Returns
        -------
        display : LayerSpectraDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `spectra` is neither a dict of spectra nor an examination.
        ValueError
            If `curvature` is not one of the two, or there is no layer.
        """
        if curvature not in ("hessian", "ggn"):
            raise ValueError(
                f"Expected curvature 'hessian' or 'ggn', found {curvature!r}. Pass one of the two."
            )
        kinds = None
        named: dict[str, Any]
        if hasattr(spectra, "layers") and hasattr(spectra, "network"):
            kinds = [layer.kind for layer in spectra.layers]
            title = getattr(spectra, "name", None) if title is None else title
            which = "spectrum" if curvature == "hessian" else "ggn_spectrum"
            named = {layer.name: getattr(layer, which) for layer in spectra.layers}
            if any(spectrum is None for spectrum in named.values()):
                raise ValueError(
                    "Expected a Gauss-Newton spectrum for each layer, found none: the loss of this "
                    "network is not a function of each sample's outputs. Pass curvature='hessian'."
                )
        elif hasattr(spectra, "items"):
            named = dict(spectra)
        else:
            named = {"": spectra}
        for name, spectrum in named.items():
            if not (hasattr(spectrum, "nodes") and hasattr(spectrum, "weights")):
                raise TypeError(
                    "Expected a dict of layer name to Spectrum, or an Examination, found "
                    f"{type(spectra).__name__}"
                    + (f" with {type(spectrum).__name__} at {name!r}" if name else "")
                    + ". Make one with hessdiag.layer_spectra(net, X, y)."
                )
        drawn = [_density(spectrum) for spectrum in named.values()]
        display = cls(
            layer_names=list(named),
            nodes=[spectrum.nodes for spectrum in named.values()],
            weights=[spectrum.weights for spectrum in named.values()],
            n_params=[spectrum.n_params for spectrum in named.values()],
            grids=[grid for grid, _ in drawn],
            densities=[density for _, density in drawn],
            kinds=kinds,
            title=title,
        )
        return display.plot(ax=ax, **plot_options)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | None = None,
        *,
        layers: Sequence[str] | None = None,
        max_layers: int = 12,
        n_columns: int | None = None,
        share_y: bool = True,
        show_titles: bool = True,
    ) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : Axes or array-like of Axes, default=None
            Where to draw, an entry for each layer that is drawn. A new figure where None, which
            pyplot does not know of; it shows itself where the display is the last line of a
            notebook's cell. For ``plt.show()``, pass axes of ``plt.subplots``.
        layers : sequence of str, default=None
            Layers to draw. All where None, or the `max_layers` most telling.
        max_layers : int, default=12
            Panels to draw at most where `layers` is None: the first layer, the last, and those with
            the largest absolute eigenvalues. A line below the figure says so. Twelve panels are
            legible on a page.
        n_columns : int, default=None
            Columns of a new figure; up to 4 where None.
        share_y : bool, default=True
            Whether all layers' eigenvalues are drawn to the same scale, also those of the layers
            that are not drawn now.
        show_titles : bool, default=True
            Whether name, size and null space stand above each panel.

        Returns
        -------
        self : LayerSpectraDisplay
            The display, with `figure_` and `axes_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If a layer is not known, or the number of axes is not that of the layers.
        """
        chosen, remark = self._choose(layers, max_layers)
        own_figure = ax is None
        if own_figure:
            figure, ax = self._new_axes(len(chosen), n_columns)
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) < len(chosen):
            raise ValueError(
                f"Expected axes for {len(chosen)} layers, found {len(axes)}. Pass more axes, or "
                "`layers` with the names of those to draw."
            )
        axes = axes[: len(chosen)]
        limits = self._shared_limits() if share_y else None
        headings = self._headings()
        for axis, name in zip(axes, chosen):
            self._panels[name].draw(axis, limits, headings[name] if show_titles else None)
        if own_figure:
            self._finish(figure, axes, [self._panels[name] for name in chosen], remark)
        self.figure_, self.axes_, self.drawn_layers_ = axes[0].figure, axes, chosen
        return self

    def describe(self, layer: str, *, brief: bool = False) -> str:
        """Say in a sentence what a layer's panel shows, for those who do not see it.

        Parameters
        ----------
        layer : str
            Name of the layer.
        brief : bool, default=False
            Whether to say no more than the panel's title: size and null space.

        Returns
        -------
        sentence : str
            Size, null space, extreme eigenvalues and share of negative ones.
        """
        panel = self._panels[layer]
        return panel.subtitle if brief else panel.description

    def _repr_html_(self):
        """Show the figure in notebooks."""
        if not hasattr(self, "figure_"):
            self.plot()
        return figure_html(self.figure_, " ".join(map(self.describe, self.drawn_layers_)))

    def _choose(self, layers, max_layers):
        """Name the layers to draw, in forward order, and say so where some are left out."""
        if layers is not None:
            layers = [layers] if isinstance(layers, str) else list(layers)
            unknown = [name for name in layers if name not in self._panels]
            if unknown or not layers:
                raise ValueError(
                    f"Expected layers among {list(self._panels)}, found {unknown or layers}. Name "
                    "some of these, or pass layers=None for all."
                )
            chosen = tuple(name for name in self._panels if name in layers)
            left_out = len(self._panels) - len(chosen)
            words = f"{len(chosen)} of {len(self._panels)} layers are drawn." if left_out else ""
            return chosen, words
        names = list(self._panels)
        if max_layers < 1:
            raise ValueError(
                f"Expected max_layers of at least 1, found {max_layers}. Pass how many to draw."
            )
        if len(names) <= max_layers:
            return tuple(names), ""
        ends = list(dict.fromkeys([names[-1], names[0]]))
        between = sorted(names[1:-1], key=lambda name: -self._panels[name].magnitude)
        kept = set((ends + between)[:max_layers])
        words = (
            f"{max_layers} of {len(names)} layers are drawn: the first, the last, and those with "
            f"the largest |eigenvalue|. max_layers={len(names)} draws all."
        )
        return tuple(name for name in names if name in kept), words

    def _headings(self):
        """Write name and kind of each layer in the width of a panel, all different."""
        headings = [
            name
            if panel.kind is None or len(name) + len(panel.kind) > TITLE_WIDTH - 3
            else f"{name} ({panel.kind})"
            for name, panel in self._panels.items()
        ]
        return dict(zip(self._panels, short_names(headings, TITLE_WIDTH)))

    def _shared_limits(self):
        """Smallest and largest |eigenvalue| over all layers."""
        spans = [panel.magnitudes() for panel in self._panels.values()]
        spans = [span for span in spans if span is not None]
        return (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else None

    def _new_axes(self, n_panels, n_columns):
        """Make a figure with a grid of panels; the spare ones at the end are removed."""
        n_columns = n_columns or (n_panels if n_panels <= 3 else 2 if n_panels == 4 else 3)
        if n_panels > 9 and n_columns == 3:
            n_columns = 4
        n_rows = -(-n_panels // n_columns)
        figure = new_figure(max(3.6 * n_columns, 4.4), 2.75 * n_rows + 0.75)
        grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for spare in grid[n_panels:]:
            spare.remove()
        return figure, grid[:n_panels]

    def _finish(self, figure, axes, panels, remark):
        """Add title, key and remark; keep the labels of the outer panels only."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        if self.title:
            figure.suptitle(
                shorten(self.title, 90), fontsize=12, fontweight="bold", parse_math=False
            )
        if len({panel.exact for panel in panels}) == 1:
            for axis in axes:
                where = axis.get_subplotspec()
                if not where.is_first_col():
                    axis.set_ylabel("")
                if where.rowspan.stop < where.get_gridspec().nrows and axis is not axes[-1]:
                    below = [a for a in axes if a.get_subplotspec().colspan == where.colspan]
                    if below[-1] is not axis:
                        axis.set_xlabel("")
        exact = any(panel.exact for panel in panels)
        positive = {"label": "positive eigenvalues", "marker": "o" if exact else None}
        negative = {"label": "negative eigenvalues", "marker": "v" if exact else None}
        dot = {"linewidth": 1.4, "markersize": 5}
        handles = [Line2D([], [], color=POSITIVE, **positive, **dot)]
        if any(panel.finite and (panel.nodes < 0).any() for panel in panels):
            handles += [
                Line2D([], [], color=NEGATIVE, **negative, **dot),
                Patch(
                    facecolor=(NEGATIVE, 0.16),
                    edgecolor=NEGATIVE,
                    hatch=NEGATIVE_HATCH,
                    linewidth=0,
                    label="area below zero",
                ),
            ]
        if any(not panel.exact for panel in panels):
            ticks = {"marker": "|", "linewidth": 0, "markersize": 9, "color": POSITIVE}
            handles.append(Line2D([], [], label="Ritz values", **ticks))
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=len(handles),
            frameon=False,
            fontsize=8,
            title=remark or None,
            title_fontsize=8,
        )


def _density(spectrum):
    """Grid and density of a spectrum known through quadrature; a pair of None where exact."""
    if spectrum.exact or not np.isfinite(spectrum.nodes).all():
        return None, None
    low, high = float(np.min(spectrum.nodes)), float(np.max(spectrum.nodes))
    width = max((high - low) or max(abs(high), 1e-12), LEAST_WIDTH)
    grid = np.linspace(low - 0.05 * width, high + 0.05 * width, _N_GRID)
    return grid, np.asarray(spectrum.density(grid, 0.01 * width))
