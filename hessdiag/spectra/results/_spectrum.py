"""The spectrum of one layer's curvature: exact eigenvalues, or quadrature nodes and weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hessdiag.moved import warn_of_old_name

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum:
    """Spectrum of a symmetric matrix, known exactly or through stochastic Lanczos quadrature.

    Parameters
    ----------
    n_params : int
        Size of the matrix: the number of the layer's trainable parameters.
    exact : bool
        Whether `nodes` are the eigenvalues themselves, one node per nonzero eigenvalue with weight
        ``1 / n_params``, and the null space as one node 0 with the weight ``n_null / n_params``.
        Otherwise they are Ritz values, and `weights` those of a Gauss quadrature [1]_.
    nodes : array-like of shape (n_nodes,)
        Eigenvalues or Ritz values, in ascending order, in units of loss per squared parameter.
    weights : array-like of shape (n_nodes,)
        Share of the spectrum at each node; nonnegative, sums to 1.
    trace : float
        Sum of all eigenvalues, or its estimate.
    trace_error : float, default=0.0
        Standard error of `trace` over the probe vectors; 0 where the trace is exact, NaN where a
        single probe gives none.
    curvature : {"hessian", "ggn"}, default="hessian"
        Which matrix this is. Where the two coincide a Hessian is computed as its Gauss-Newton
        matrix and is called a Hessian still.
    gn_gap : float, default=nan
        Size of the Hessian's part beyond Gauss-Newton relative to the Hessian, ``|H v - G v| /
        |H v|`` for one random v; NaN where it was not measured. On large problems a few random
        samples settle where it vanishes (see the notes of `layer_spectra`).

    Attributes
    ----------
    max_eigenvalue : float
        Largest eigenvalue; the largest Ritz value, a lower bound of it, where not exact.
    min_eigenvalue : float
        Smallest eigenvalue, 0 included where there is a null space; the smallest Ritz value, an
        upper bound of it, where not exact.

    Raises
    ------
    ValueError
        If sizes do not match, weights are negative or do not sum to 1, or an exact spectrum has
        more nonzero eigenvalues than parameters.

    See Also
    --------
    hessdiag.spectra.layer_spectra : Computes the spectra of all layers of a net.
    hessdiag.spectra.MEASURES : What can be read off a spectrum.

    References
    ----------
    .. [1] Ghorbani, Krishnan and Xiao (2019). An investigation into neural net optimization via
       Hessian eigenvalue density. ICML.

    Examples
    --------
    >>> from hessdiag.spectra import Spectrum
    >>> spectrum = Spectrum.from_eigenvalues([2.0, 0.0, -1.0, 0.0])
    >>> spectrum
    Spectrum(n_params=4, exact, 2 nonzero in [-1, 2], trace=1)
    >>> spectrum.eigenvalues()
    array([-1.,  0.,  0.,  2.])
    """

    n_params: int
    exact: bool
    nodes: np.ndarray
    weights: np.ndarray
    trace: float
    trace_error: float = 0.0
    curvature: str = "hessian"
    gn_gap: float = math.nan

    def __post_init__(self):
        """Check the parts against each other, and freeze the arrays."""
        nodes = np.array(self.nodes, dtype=np.float64)
        weights = np.array(self.weights, dtype=np.float64)
        if nodes.ndim != 1 or nodes.shape != weights.shape or nodes.size == 0:
            raise ValueError(
                "Expected nodes and weights of one shape (n_nodes,) with at least one node, found "
                f"{nodes.shape} and {weights.shape}. Use Spectrum.from_eigenvalues."
            )
        if not (np.all(weights >= 0) and abs(weights.sum() - 1) < 1e-8):
            raise ValueError(
                "Expected nonnegative weights that sum to 1, found a sum of "
                f"{weights.sum():g} and a smallest weight of {weights.min():g}. Divide by the sum."
            )
        if self.n_params < 1 or int(self.n_params) != self.n_params:
            raise ValueError(
                f"Expected a positive number of parameters, found n_params={self.n_params!r}. "
                "Pass the side of the matrix."
            )
        if self.curvature not in ("hessian", "ggn"):
            raise ValueError(
                f"Expected curvature 'hessian' or 'ggn', found {self.curvature!r}. "
                "Pass one of the two."
            )
        if self.exact and np.isfinite(nodes).all() and np.count_nonzero(nodes) > self.n_params:
            raise ValueError(
                f"Expected at most n_params={self.n_params} eigenvalues, found "
                f"{np.count_nonzero(nodes)} that are not zero. "
                "Pass the side of the matrix as n_params."
            )
        order = np.argsort(nodes, kind="stable")
        nodes, weights = nodes[order], weights[order]
        nodes.flags.writeable = False
        weights.flags.writeable = False
        object.__setattr__(self, "n_params", int(self.n_params))
        object.__setattr__(self, "exact", bool(self.exact))
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "weights", weights)
        for name in ("trace", "trace_error", "gn_gap"):
            object.__setattr__(self, name, float(getattr(self, name)))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled, also by a release that knew `trace_error` by another name."""
        if "trace_se" in state:
            state = {**state, "trace_error": state["trace_se"]}
            del state["trace_se"]
        self.__dict__.update(state)

    @property
    def trace_se(self) -> float:
        """Old name of `trace_error`."""
        warn_of_old_name("trace_se", "trace_error", "attribute of Spectrum")
        return self.trace_error

    @classmethod
    def from_eigenvalues(
        cls,
        eigenvalues: ArrayLike,
        n_params: int | None = None,
        curvature: Literal["hessian", "ggn"] = "hessian",
        gn_gap: float = math.nan,
        resolution: float = 1e-15,
    ) -> Spectrum:
        """Make an exact spectrum from eigenvalues; those that are not given are zeros.

        Parameters
        ----------
        eigenvalues : array-like of shape (n_eigenvalues,)
            Eigenvalues, all or all that are not zero.
        n_params : int, default=None
            Size of the matrix; the number of eigenvalues where None.
        curvature : {"hessian", "ggn"}, default="hessian"
            Which matrix this is.
        gn_gap : float, default=nan
            See `Spectrum`.
        resolution : float, default=1e-15
            Eigenvalues of a magnitude below ``resolution * n_eigenvalues`` times the largest one
            are rounding, and count as zeros.

        Returns
        -------
        Spectrum
            An exact spectrum; all NaN where an eigenvalue is not finite.

        Examples
        --------
        >>> from hessdiag.spectra import Spectrum
        >>> Spectrum.from_eigenvalues([3.0, 1.0], n_params=4).weights
        array([0.5 , 0.25, 0.25])
        """
        values = np.asarray(eigenvalues, dtype=np.float64).ravel()
        n_params = values.size if n_params is None else n_params
        if not np.isfinite(values).all():
            return cls.undefined(n_params, curvature)
        largest = np.abs(values).max(initial=0.0)
        nonzero = values[np.abs(values) > resolution * max(values.size, 1) * largest]
        n_null = n_params - nonzero.size
        nodes, weights = nonzero, np.full(nonzero.size, 1.0 / n_params)
        if n_null > 0:
            nodes = np.append(nodes, 0.0)
            weights = np.append(weights, n_null / n_params)
        return cls(n_params, True, nodes, weights, nonzero.sum(), 0.0, curvature, gn_gap)

    @classmethod
    def undefined(cls, n_params: int, curvature: Literal["hessian", "ggn"] = "hessian") -> Spectrum:
        """Make the spectrum of a matrix with NaN or infinite entries: NaN throughout.

        Parameters
        ----------
        n_params : int
            Size of the matrix.
        curvature : {"hessian", "ggn"}, default="hessian"
            Which matrix this is.

        Returns
        -------
        Spectrum
            With one node, NaN.

        Examples
        --------
        >>> from hessdiag.spectra import Spectrum
        >>> Spectrum.undefined(3).max_eigenvalue
        nan
        """
        nodes, weights = np.array([math.nan]), np.array([1.0])
        return cls(n_params, True, nodes, weights, math.nan, math.nan, curvature, math.nan)

    @property
    def max_eigenvalue(self) -> float:
        """Largest eigenvalue or Ritz value."""
        return float(self.nodes[-1])

    @property
    def min_eigenvalue(self) -> float:
        """Smallest eigenvalue or Ritz value."""
        return float(self.nodes[0])

    def eigenvalues(self) -> np.ndarray:
        """Return all eigenvalues of an exact spectrum, zeros repeated.

        Returns
        -------
        ndarray of shape (n_params,)
            Eigenvalues in ascending order.

        Raises
        ------
        ValueError
            If the spectrum is not exact.

        Examples
        --------
        >>> from hessdiag.spectra import Spectrum
        >>> Spectrum.from_eigenvalues([3.0], n_params=3).eigenvalues()
        array([0., 0., 3.])
        """
        if not self.exact:
            raise ValueError(
                "Expected an exact spectrum, found a quadrature. Use nodes and weights, or "
                "compute with method='exact'."
            )
        counts = np.rint(self.weights * self.n_params).astype(int)
        return np.repeat(self.nodes, counts)

    def density(self, grid: ArrayLike, bandwidth: float | None = None) -> np.ndarray:
        """Return the spectral density on a grid, each node smoothed by a Gaussian.

        Parameters
        ----------
        grid : array-like of shape (n_points,)
            Where to evaluate, in units of the eigenvalues.
        bandwidth : float, default=None
            Standard deviation of the Gaussians; 1% of the range of the nodes where None (as in
            Ghorbani, Krishnan and Xiao, 2019), but at least 1e-12.

        Returns
        -------
        ndarray of shape (n_points,)
            Density; integrates to 1 over the real line.

        Raises
        ------
        ValueError
            If `bandwidth` is not positive.

        Examples
        --------
        >>> from hessdiag.spectra import Spectrum
        >>> spectrum = Spectrum.from_eigenvalues([1.0])
        >>> spectrum.density([1.0], bandwidth=1.0).round(4)
        array([0.3989])
        """
        grid = np.asarray(grid, dtype=np.float64)
        if bandwidth is None:
            bandwidth = max(0.01 * (self.nodes[-1] - self.nodes[0]), 1e-12)
        if not bandwidth > 0:
            raise ValueError(
                f"Expected a positive bandwidth, found {bandwidth!r}. Pass one above 0."
            )
        scaled = (grid[..., None] - self.nodes) / bandwidth
        bells = np.exp(-0.5 * scaled**2) / (bandwidth * math.sqrt(2 * math.pi))
        return bells @ self.weights

    def __repr__(self):
        """Show size, kind, range and trace."""
        if not np.isfinite(self.nodes).all():
            return f"Spectrum(n_params={self.n_params}, undefined: not finite)"
        nonzero = np.count_nonzero(self.nodes)
        how = f"exact, {nonzero} nonzero" if self.exact else f"lanczos, {self.nodes.size} nodes"
        return (
            f"Spectrum(n_params={self.n_params}, {how} in [{self.min_eigenvalue:.4g}, "
            f"{self.max_eigenvalue:.4g}], trace={self.trace:.4g})"
        )
