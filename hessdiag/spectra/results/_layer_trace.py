"""LayerTrace: the trace of one layer's local Hessian, exact or estimated."""

from __future__ import annotations

from dataclasses import dataclass

from hessdiag.moved import warn_of_old_name


@dataclass(frozen=True)
class LayerTrace:
    """Trace of one layer's local curvature matrix, with its standard error.

    Parameters
    ----------
    n_params : int
        Number of the layer's trainable parameters, the size of the matrix.
    trace : float
        The trace or its estimate, in units of loss per squared parameter.
    trace_error : float
        Standard error of `trace` over the probe vectors; 0 where the trace is exact.
    n_probes : int
        Number of probe vectors; 0 where the trace is exact.

    See Also
    --------
    hessdiag.spectra.layer_traces : Computes the traces of all layers of a net.

    Examples
    --------
    >>> from hessdiag.spectra import LayerTrace
    >>> LayerTrace(n_params=10, trace=2.5, trace_error=0.1, n_probes=20).exact
    False
    """

    n_params: int
    trace: float
    trace_error: float
    n_probes: int

    @property
    def trace_se(self) -> float:
        """Old name of `trace_error`."""
        warn_of_old_name("trace_se", "trace_error", "attribute of LayerTrace")
        return self.trace_error

    @property
    def exact(self) -> bool:
        """Whether the trace is no estimate."""
        return self.n_probes == 0
