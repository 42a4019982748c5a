"""LayerCoupling: sizes of all blocks of a net's Hessian, next to the layers' own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class LayerCoupling:
    """Sizes of the blocks of a net's Hessian, layer by layer.

    Parameters
    ----------
    layer_names : tuple of str of length n_layers
        The layers, in forward order.
    resonance : array-like of shape (n_layers, n_layers)
        Frobenius norms ``|H_lm|_F`` of the Hessian's blocks, in units of loss per squared
        parameter; symmetric, with the layers' own (local) Hessians on the diagonal.
    resonance_error : array-like of shape (n_layers, n_layers)
        Standard errors of `resonance` over the probes; 0 where a norm is exact.
    coupling : array-like of shape (n_layers, n_layers)
        ``|H_lm|_F / sqrt(|H_ll|_F |H_mm|_F)``, without a unit: 1 on the diagonal, 0 between layers
        that do not interact. NaN where the norm of either layer's local Hessian is zero, or below
        1e-12 of that of the whole.
    coupling_error : array-like of shape (n_layers, n_layers)
        Standard errors of `coupling` over the probes.
    phi : float
        Share of the Hessian's squared Frobenius norm that lies between layers, in [0, 1]:
        ``1 - sum_l |H_ll|_F^2 / |H|_F^2``. NaN where the Hessian is zero.
    phi_error : float
        Standard error of `phi` over the probes.
    method : {"exact", "probes"}
        Whether all norms are exact, or some were estimated.
    n_probes : int
        Probe vectors of each layer; 0 where all is exact.

    See Also
    --------
    hessdiag.spectra.layer_coupling : Computes this for a net.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdiag.spectra import LayerCoupling
    >>> nothing = np.zeros((2, 2))
    >>> found = LayerCoupling(
    ...     layer_names=("0", "2"), resonance=[[4.0, 1.0], [1.0, 1.0]], resonance_error=nothing,
    ...     coupling=[[1.0, 0.5], [0.5, 1.0]], coupling_error=nothing,
    ...     phi=2 / 19, phi_error=0.0, method="exact", n_probes=0,
    ... )
    >>> found
    LayerCoupling(2 layers, exact, phi=0.105)
    >>> print(found)
    LayerCoupling(2 layers, exact, phi=0.105)
    coupling      0      2
    0         1.000  0.500
    2         0.500  1.000
    """

    layer_names: tuple[str, ...]
    resonance: np.ndarray
    resonance_error: np.ndarray
    coupling: np.ndarray
    coupling_error: np.ndarray
    phi: float
    phi_error: float
    method: str
    n_probes: int

    def __post_init__(self):
        """Check the shapes, and freeze the arrays."""
        object.__setattr__(self, "layer_names", tuple(self.layer_names))
        shape = (len(self.layer_names),) * 2
        for name in ("resonance", "resonance_error", "coupling", "coupling_error"):
            matrix = np.array(getattr(self, name), dtype=np.float64)
            if matrix.shape != shape:
                raise ValueError(
                    f"Expected {name} of shape {shape}, one row and column for each layer, found "
                    f"{matrix.shape}. Pass matrices of this shape."
                )
            matrix.flags.writeable = False
            object.__setattr__(self, name, matrix)

    def __repr__(self):
        """Say how many layers, how it was computed, and how much lies between layers."""
        n, phi = len(self.layer_names), f"{self.phi:.3g}"
        how = "exact" if self.method == "exact" else f"{self.n_probes} probes"
        if self.phi_error > 0:
            phi += f" +- {self.phi_error:.1g}"
        return f"LayerCoupling({n} layer{'s'[: n != 1]}, {how}, phi={phi})"

    def __str__(self):
        """Show the coupling of all pairs of layers as a table."""
        cells = [["coupling", *self.layer_names]]
        for name, row in zip(self.layer_names, self.coupling):
            cells.append([name, *(f"{value:.3f}" for value in row)])
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))])
            for row in cells
        ]
        return "\n".join([repr(self), *lines])
