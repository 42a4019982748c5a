"""What computing the spectra of a net will take: per layer the way, time and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from hessdiag.curvature import LocalCurvature
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.spectra._local_spectra import check_separable
from hessdiag.spectra._memory_plan import MemoryPlan
from hessdiag.spectra._settings import SpectrumSettings
from hessdiag.spectra._ways import DENSE

__all__ = ["LayerPlan", "SpectraPlan", "plan_spectra"]

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

    @property
    def seconds(self):
        """Estimated time of all layers."""
        return sum(layer.seconds for layer in self.layers)

    @property
    def bytes(self):
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


def plan_spectra(
    net,
    X,
    y,
    layers=None,
    curvature="hessian",
    scalar="loss",
    method="auto",
    n_lanczos_steps=30,
    n_probes=3,
    max_samples=None,
    batch_size=None,
    random_state=None,
    device=None,
    dtype=None,
    tolerance=None,
    max_memory=None,
):
    """Say what `layer_spectra` with the same arguments will do, with estimated time and memory.

    Runs the net forward, and measures on a few samples whether each layer's Hessian and
    Gauss-Newton matrix coincide and how fast this machine is; nothing large is computed.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net.
    X : array-like, dict, DataFrame, tensor or Dataset of length n_samples
        Data.
    y : array-like of length n_samples or None
        Targets.
    layers : str, list of str, dict or None, default=None
        As in `layer_spectra`.
    curvature : {"hessian", "ggn"}, default="hessian"
        As in `layer_spectra`.
    scalar : "loss", callable or mapping of str to callable, default="loss"
        As in `layer_spectra`.
    method : {"auto", "exact", "lanczos"}, default="auto"
        As in `layer_spectra`.
    n_lanczos_steps : int, default=30
        As in `layer_spectra`.
    n_probes : int, default=3
        As in `layer_spectra`.
    max_samples : int or None, default=None
        As in `layer_spectra`.
    batch_size : int or None, default=None
        As in `layer_spectra`.
    random_state : int, RandomState, Generator or None, default=None
        As in `layer_spectra`.
    device : str or torch.device, default=None
        As in `layer_spectra`.
    dtype : {"float32", "float64"} or None, default=None
        As in `layer_spectra`.
    tolerance : float or None, default=None
        As in `layer_spectra`.
    max_memory : int or None, default=None
        As in `layer_spectra`.

    Returns
    -------
    SpectraPlan
        The plan; print it for a table.

    Raises
    ------
    ValueError
        As `layer_spectra`, and where ``method="exact"`` cannot be kept in memory.

    See Also
    --------
    layer_spectra : Computes the spectra.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.spectra import plan_spectra
    >>> X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> [layer.way for layer in plan_spectra(net, X, y).layers]
    ['factors']
    """
    settings = SpectrumSettings(
        curvature=curvature,
        method=method,
        n_lanczos_steps=n_lanczos_steps,
        n_probes=n_probes,
        random_state=random_state,
        tolerance=tolerance,
        max_memory=max_memory,
    )
    with untouched_surroundings(device):
        problem = LocalCurvature(
            net,
            X,
            y,
            layers=layers,
            scalar=scalar,
            max_samples=max_samples,
            batch_size=batch_size,
            random_state=random_state,
            device=device,
            dtype=dtype,
            max_memory=max_memory,
        )
        check_separable(problem, settings)
        memory = MemoryPlan(problem, settings)
        speed, pass_seconds = _speed(), pass_seconds_of(problem)
    plans = []
    for block in problem.blocks:
        way = memory.ways[block.name]
        seconds = way.operations / speed
        if way.by_factor:
            # The columns' sweeps serve all layers at once, unless memory is short.
            share = 1 if memory.is_tight else len(problem.blocks)
            seconds += pass_seconds * (1 + 2 * memory.rank) / share
        else:
            # A Hessian-vector product costs about four passes forward and back, and three more
            # where its graph is not kept.
            n_products = way.side if way.name == DENSE else settings.n_products
            seconds += 4 * pass_seconds * n_products
            if len(problem.chunks) > 1:
                seconds += 3 * pass_seconds * n_products / way.n_vectors
        plans.append(
            LayerPlan(
                block.name,
                block.kind,
                block.n_params,
                problem.n_samples * memory.rank,
                way.name,
                way.side,
                seconds,
                memory.bytes_of[block.name],
            )
        )
    return SpectraPlan(tuple(plans), memory.peak, len(problem.chunks))


def _speed():
    """Measure floating-point operations per second of a matrix product in float64."""
    matrix = np.ones((256, 256))
    matrix @ matrix
    start = time.perf_counter()
    matrix @ matrix
    return 2 * 256**3 / max(time.perf_counter() - start, 1e-6)


def pass_seconds_of(problem):
    """Measure one pass forward over all samples."""
    start = time.perf_counter()
    with torch.no_grad():
        for chunk in problem.chunks:
            problem.working_copy(chunk.X)
    return time.perf_counter() - start
