"""What computing spectra or traces will take: per layer the way, time and memory."""

from __future__ import annotations

from dataclasses import dataclass

WORDS = {
    "factors": "exact, Gauss-Newton by factors",
    "dense": "exact, dense Hessian",
    "lanczos": "Lanczos quadrature",
    "squares": "exact, squares of factors",
    "signs": "random signs",
    "squares+signs": "squares of factors, random signs for the rest",
}


@dataclass(frozen=True)
class LayerPlan:
    """How one layer's spectrum will be computed.

    Parameters
    ----------
    name : str
        Name of the layer.
    kind : str
        Class of its module.
    n_params : int
        Number of trainable parameters p.
    n_rows : int
        Samples times rank of the output Hessian, N * R; 0 where the loss has none.
    way : {"factors", "dense", "lanczos", "squares", "signs", "squares+signs"}
        The way that will be taken; the last three are to traces.
    side : int
        Side of the matrix that is decomposed, or length of the Lanczos vectors.
    seconds : float
        Estimated time.
    bytes : float
        Estimated memory while this layer is worked on, beyond what is held throughout.

    Examples
    --------
    >>> from hessdiag.spectra import LayerPlan
    >>> LayerPlan("0", "Linear", 8, 20, "factors", 8, 1e-3, 1536.0).way
    'factors'
    """

    name: str
    kind: str
    n_params: int
    n_rows: int
    way: str
    side: int
    seconds: float
    bytes: float


@dataclass(frozen=True)
class SpectraPlan:
    """What `layer_spectra` will do; printing it shows a table.

    Parameters
    ----------
    layers : tuple of LayerPlan
        The layers, in forward order.
    peak : float or None, default=None
        Estimated memory at its highest, in bytes, with the copy of the net, the data, and all that
        layers share (and a fifth for the C library, where `max_memory` is set); None takes the
        largest of the layers' own.
    n_chunks : int, default=1
        Number of chunks of samples that pass through the net one after the other.
    preparing : float, default=0.0
        Seconds that copying and checking the net take, before there is anything of its layers.

    Examples
    --------
    >>> from hessdiag.spectra import LayerPlan, SpectraPlan
    >>> print(SpectraPlan((LayerPlan("0", "Linear", 8, 20, "factors", 8, 1e-3, 1536.0),)))
    layer  kind    parameters  rows  way                             side  seconds  MiB
    0      Linear           8    20  exact, Gauss-Newton by factors     8    0.001  0.0
    total                   8                                                0.001  0.0
    """

    layers: tuple[LayerPlan, ...]
    peak: float | None = None
    n_chunks: int = 1
    preparing: float = 0.0

    @property
    def seconds(self) -> float:
        """Estimated time of all layers, with that of preparing the net."""
        return self.preparing + sum(layer.seconds for layer in self.layers)

    @property
    def bytes(self) -> float:
        """Estimated memory at its highest."""
        return max(layer.bytes for layer in self.layers) if self.peak is None else self.peak

    def __str__(self):
        """Show a table with one row per layer."""
        header = ("layer", "kind", "parameters", "rows", "way", "side", "seconds", "MiB")
        rows = [
            (
                layer.name,
                layer.kind,
                str(layer.n_params),
                str(layer.n_rows),
                WORDS[layer.way],
                str(layer.side),
                f"{layer.seconds:.3f}",
                f"{layer.bytes / 2**20:.1f}",
            )
            for layer in self.layers
        ]
        n_params = sum(layer.n_params for layer in self.layers)
        seconds, size = f"{self.seconds:.3f}", f"{self.bytes / 2**20:.1f}"
        if self.preparing:
            rows.append(("preparing", *5 * ("",), f"{self.preparing:.3f}", ""))
        rows.append(("total", "", str(n_params), "", "", "", seconds, size))
        widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
        left = (0, 1, 4)
        lines = [
            "  ".join(
                cell.ljust(width) if i in left or row is header else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths))
            ).rstrip()
            for row in (header, *rows)
        ]
        if self.n_chunks > 1:
            lines.append(f"Samples pass through the net in {self.n_chunks} chunks.")
        return "\n".join(lines)
