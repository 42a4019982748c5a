"""One spectrum in one set of axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessdiag.plotting._matplotlib import power_of_ten
from hessdiag.plotting._palette import DENSITY, NEGATIVE, NEGATIVE_HATCH, POSITIVE

EIGENVALUE_LABEL = "|eigenvalue| (loss / parameter²)"
RANK_LABEL = "rank among nonzero eigenvalues (%)"
DENSITY_LABEL = "density (parameter² / loss)"
QUADRATURE_LABEL = "eigenvalue (loss / parameter²)"

# Eigenvalues this far below the largest are drawn at the panel's foot: rounding, mostly.
_DECADES = 10

# A curve of more points than this looks the same.
_MAX_POINTS = 240

# Up to this many eigenvalues each gets a marker of its own.
_MAX_MARKERS = 40

#: Least range of a density's nodes: the density of a smaller one overflows.
LEAST_WIDTH = 1e-290

#: Characters of a panel's heading.
TITLE_WIDTH = 34


@dataclass(frozen=True, eq=False)
class SpectrumPanel:
    """What one panel shows: sorted eigenvalues, or a density where these are not known."""

    name: str
    kind: str | None
    n_params: int
    nodes: np.ndarray
    weights: np.ndarray
    grid: np.ndarray | None = None
    density: np.ndarray | None = None

    @property
    def exact(self):
        """Whether eigenvalues are known one by one."""
        return self.density is None

    @property
    def finite(self):
        """Whether there is anything that can be drawn."""
        return bool(np.isfinite(self.nodes).all())

    @property
    def eigenvalues(self):
        """Nonzero eigenvalues in descending order."""
        return np.sort(self.nodes[self.nodes != 0])[::-1]

    @property
    def magnitude(self):
        """Largest absolute eigenvalue, 0 where there is none that is finite."""
        return float(np.abs(self.nodes).max(initial=0.0)) if self.finite else 0.0

    @property
    def null_share(self):
        """Share of the directions that the spectrum does not tell from flat ones."""
        if self.exact:
            return float(self.weights[self.nodes == 0].sum())
        return float(self.weights[np.abs(self.nodes) <= 0.01 * self.magnitude].sum())

    @property
    def negative_share(self):
        """Share of the nonzero eigenvalues below zero (of all directions, if a density)."""
        if self.exact:
            total = self.weights[self.nodes != 0].sum()
            return float(self.weights[self.nodes < 0].sum() / total) if total > 0 else 0.0
        # Ritz values for the null space are zero up to rounding, of either sign.
        return float(self.weights[self.nodes < -1e-6 * self.magnitude].sum())

    @property
    def subtitle(self):
        """Size and null space in words."""
        size = f"{self.n_params:,} parameter" + "s" * (self.n_params != 1)
        if not self.finite:
            return size
        if not self.exact:
            return f"{size}, {percent(self.null_share)} within 1 % of 0 (estimate)"
        null = round(self.null_share * self.n_params)
        if not null:
            return f"{size}, no null space"
        return f"{size}, null space {null:,} ({percent(self.null_share)})"

    @property
    def description(self):
        """Say in a sentence what the panel shows, for those who do not see it."""
        start = f"Spectrum of layer {self.name}: {self.subtitle}"
        if not self.finite:
            return f"{start}; it holds values that are not finite."
        if not self.magnitude:
            return f"{start}; all eigenvalues are zero."
        span = f"largest eigenvalue {self.nodes.max():.3g}, smallest {self.nodes.min():.3g}"
        return f"{start}; {span}; {percent(self.negative_share)} negative."

    def magnitudes(self):
        """Smallest and largest absolute eigenvalue to show; None where there is nothing."""
        values = np.abs(self.eigenvalues) if self.finite and self.exact else np.empty(0)
        if not values.size:
            return None
        return max(values.min(), values.max() * 10.0**-_DECADES), values.max()

    def draw(self, ax, limits=None, heading=None):
        """Draw into axes; `limits` are those of the |eigenvalue| axis, shared by the panels."""
        if heading is not None:
            ax.set_title(self.subtitle, fontsize=8, loc="left", parse_math=False)
            ax.annotate(
                heading,
                xy=(0, 1),
                xycoords="axes fraction",
                xytext=(0, 17),
                textcoords="offset points",
                fontsize=10,
                fontweight="bold",
                parse_math=False,
            )
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        ax.tick_params(labelsize=8)
        ax.grid(visible=True, color="#808080", alpha=0.25, linewidth=0.6)
        ax.set_axisbelow(True)
        if not self.finite or not self.magnitude:
            self._draw_nothing(ax)
        elif self.exact:
            self._draw_eigenvalues(ax, limits or self.magnitudes())
        else:
            self._draw_density(ax)

    def _draw_nothing(self, ax):
        """Say why there is no curve."""
        ax.set_axis_off()
        words = "all eigenvalues are zero" if self.finite else "values that are not finite"
        ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", fontsize=9)

    def _draw_eigenvalues(self, ax, limits):
        """Draw |eigenvalue| against rank in percent: positive falling, then negative rising."""
        values = self.eigenvalues
        rank = 100 * (np.arange(values.size) + 0.5) / values.size
        low, high = 10.0 ** (np.floor(np.log10(limits[0]))), limits[1] * 2.5
        heights = np.clip(np.abs(values), low, None)
        for sign, colour, marker, hatch in (
            (values > 0, POSITIVE, "o", ""),
            (values < 0, NEGATIVE, "v", NEGATIVE_HATCH),
        ):
            if not sign.any():
                continue
            x, y = _thin(rank[sign]), _thin(heights[sign])
            half = 50 / values.size
            edges = np.concatenate([[x[0] - half], x, [x[-1] + half]])
            _fill(ax, edges, np.concatenate([y[:1], y, y[-1:]]), low, colour, hatch)
            every = max(1, -(-x.size // _MAX_MARKERS))
            ax.plot(
                x,
                y,
                color=colour,
                marker=marker,
                markevery=every,
                markersize=4,
                linewidth=1.4,
                label="positive" if not hatch else "negative",
            )
        ax.set_yscale("log")
        ax.set_xlim(0, 100)
        ax.set_ylim(low, high)
        _label_decades(ax, low, high)
        ax.set_xlabel(RANK_LABEL, fontsize=8)
        ax.set_ylabel(EIGENVALUE_LABEL, fontsize=8)

    def _draw_density(self, ax):
        """Draw the density on a log scale, down to half of what one single eigenvalue makes."""
        width = max(np.ptp(self.nodes) or self.magnitude, LEAST_WIDTH)
        floor = 0.5 / (self.n_params * 0.01 * width * np.sqrt(2 * np.pi))
        high = self.density.max() * 3
        low = 10.0 ** np.floor(np.log10(min(floor, high / 1e3)))
        curve = np.clip(self.density, low, None)
        # The foot of a peak at zero is smoothing, no negative curvature.
        below = (self.grid < 0) & (self.nodes.min() < -0.01 * width)
        for part, colour, hatch in (
            (~below, DENSITY, ""),
            (below, NEGATIVE, NEGATIVE_HATCH),
        ):
            if not part.any():
                continue
            _fill(ax, self.grid[part], curve[part], low, colour, hatch)
            ax.plot(self.grid[part], curve[part], color=colour, linewidth=1.4, label="density")
        for sign, colour in ((self.nodes >= 0, POSITIVE), (self.nodes < 0, NEGATIVE)):
            ax.plot(
                self.nodes[sign],
                np.full(sign.sum(), 0.03),
                "|",
                color=colour,
                markersize=8,
                markeredgewidth=1.0,
                transform=ax.get_xaxis_transform(),
            )
        ax.axvline(0, color="#808080", linewidth=0.8)
        ax.set_yscale("log")
        ax.set_xlim(self.grid[0], self.grid[-1])
        ax.set_ylim(low, high)
        _label_decades(ax, low, high)
        ax.locator_params(axis="x", nbins=5)
        ax.set_xlabel(QUADRATURE_LABEL, fontsize=8)
        ax.set_ylabel(DENSITY_LABEL, fontsize=8)


def percent(share):
    """Write a share as a percentage that is never rounded to all or nothing."""
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.999 < share < 1:
        return ">99.9 %"
    return f"{100 * share:.3g} %"


def _fill(ax, x, y, low, colour, hatch):
    """Fill the area under a curve, hatched in a second pass that is not as pale as the first."""
    ax.fill_between(x, y, low, facecolor=(colour, 0.16), edgecolor="none", linewidth=0)
    if hatch:
        ax.fill_between(
            x, y, low, facecolor="none", edgecolor=(colour, 0.75), hatch=hatch, linewidth=0
        )


def _thin(values):
    """Keep evenly spaced points and both ends."""
    if values.size <= _MAX_POINTS:
        return values
    return values[np.unique(np.linspace(0, values.size - 1, _MAX_POINTS).round().astype(int))]


def _label_decades(ax, low, high):
    """Put at most six ticks at powers of ten."""
    from matplotlib.ticker import NullLocator

    first, last = int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high) + 1e-9))
    step = max(1, -(-(last - first + 1) // 6))
    exponents = list(range(first, last + 1, step))
    ax.set_yticks([10.0**e for e in exponents], [power_of_ten(e) for e in exponents])
    ax.yaxis.set_minor_locator(NullLocator())
