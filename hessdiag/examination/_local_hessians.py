"""LocalHessians: the front door to the engine, and `examine`, its shortcut to all at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from hessdiag.cases import NetworkCase
from hessdiag.docstrings import take_parameters
from hessdiag.examination._examination import Examination
from hessdiag.examination._examine import examine_problem
from hessdiag.spectra import LocalSpectra, check_counts, check_time

if TYPE_CHECKING:
    import numpy as np
    import torch
    from skorch import NeuralNet

DENSE_LIMIT = 1000


@take_parameters(LocalSpectra)
class LocalHessians(LocalSpectra):
    """Local Hessians of all layers of a net on some data: the front door to the engine.

    The net and its data are checked, copied and run once, here. Then ask for a `plan`, `spectra`,
    `traces`, the `coupling` between layers, or `examine` all that a diagnosis is made of.

    Parameters
    ----------
    curvature : {"hessian", "ggn", "auto"}, default="hessian"
        The Hessian, or its Gauss-Newton part, which is positive semidefinite for convex losses;
        "auto" takes the latter where the loss has one, and the Hessian elsewhere.
    digest : str or None, default=None
        Digest of net and data where it is known, see `NetworkCase.digest`; None computes it, where
        there is one.

    Raises
    ------
    TypeError, sklearn.exceptions.NotFittedError, ValueError
        As `hessdiag.spectra.LocalSpectra`.

    See Also
    --------
    hessdiag.layer_spectra, hessdiag.layer_traces, hessdiag.examine : Shortcuts in one call.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag import LocalHessians
    >>> X, y = np.eye(4, dtype="float32"), np.arange(4.0, dtype="float32")[:, None]
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> local = LocalHessians(net, X, y, dtype="float64")
    >>> local
    LocalHessians(Linear, 1 layer, 5 parameters, 4 samples)
    >>> local.spectra()["module"].exact
    True
    >>> local.examine().context["null_loss"]
    1.25
    """

    def __init__(
        self,
        net: NeuralNet,
        X: Any,
        y: Any = None,
        *,
        layers: str | Sequence[str] | Mapping[str, Any] | None = None,
        scalar: Literal["loss"] | Callable[..., Any] | Mapping[str, Callable[..., Any]] = "loss",
        curvature: Literal["hessian", "ggn", "auto"] = "hessian",
        max_samples: int | None = None,
        batch_size: int | None = None,
        max_memory: float | None = None,
        dtype: Literal["float32", "float64"] | None = None,
        device: str | torch.device | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        digest: str | None = None,
        output: str | int | None = None,
    ) -> None:
        start = time.monotonic()
        super().__init__(
            net,
            X,
            y,
            layers=layers,
            scalar=scalar,
            curvature="hessian" if curvature == "auto" else curvature,
            max_samples=max_samples,
            batch_size=batch_size,
            max_memory=max_memory,
            dtype=dtype,
            device=device,
            random_state=random_state,
            output=output,
        )
        if curvature == "auto" and self._problem.is_separable:
            self._curvature = "ggn"
        self._digest = _digest_or_none(net, X, y, output) if digest is None else digest
        shape = getattr(X, "shape", None)
        self._n_inputs = int(shape[1]) if shape is not None and len(shape) == 2 else None
        self._made_with = {
            "layers": layers,
            "scalar": scalar if isinstance(scalar, str) else "a callable",
            "curvature": curvature,
            "max_samples": max_samples,
            "batch_size": batch_size,
            "max_memory": max_memory,
            "dtype": None if dtype is None else str(dtype),
            "device": None if device is None else str(device),
            "random_state": self._seed,
        }
        if output is not None:
            self._made_with["output"] = output
        self._spent = time.monotonic() - start

    @take_parameters(LocalSpectra.spectra)
    def examine(
        self,
        name: str | None = None,
        method: Literal["auto", "exact", "lanczos"] = "auto",
        n_lanczos_steps: int = 30,
        n_probes: int = 3,
        tolerance: float | None = None,
        max_samples: int | None = None,
        max_gram_size: int | None = 1000,
        dense_limit: int = DENSE_LIMIT,
        max_time: float | None = 60.0,
        n_output_columns: int | None = None,
    ) -> Examination:
        """Examine the net: spectra of all layers, and what follows from them and from the data.

        Parameters
        ----------
        name : str or None, default=None
            How to call the case.
        method : {"auto", "exact", "lanczos"}, default="auto"
            How a Hessian is treated that differs from its Gauss-Newton matrix, as in `spectra`;
            Gauss-Newton spectra are always exact here.
        max_samples : int or None, default=None
            Number of samples to draw for curvature, from all that this object has; None takes as
            many as `max_gram_size` allows.
        max_gram_size : int or None, default=1000
            Largest side of a Gram matrix, samples times rank of the output Hessian (classes - 1 for
            cross-entropy, 1 for a single output); samples are drawn to keep it, as time grows with
            its cube. Where that would leave fewer than a tenth of it, a fifth of it is drawn, and
            each output Hessian is seen through random columns, whose number stands in the context
            as ``n_output_columns``: Gauss-Newton spectra are then unbiased in the trace, with a
            standard error, but not exact. The default takes about 0.1 seconds per layer. None sets
            no bound.
        dense_limit : int, default=1000
            Number of parameters up to which a Hessian is formed and decomposed, which takes about
            0.2 seconds; Lanczos beyond.
        max_time : float or None, default=60
            Seconds to keep within, as far as samples, probes and Hessians can be left out; what is
            left out stands in the context as ``left_out``, and results then depend on how fast the
            machine is. Preparing the net, and a little of each part, is always done; where that
            took longer the context says so as ``seconds_taken``. By default that is what one waits
            for. None sets no bound.
        n_output_columns : int or None, default=None
            Random columns that stand for each sample's outputs, on `max_samples` samples whatever
            `max_gram_size` says; None chooses, as said there. From the rank of the output Hessians
            on, all outputs are looked at.

        Returns
        -------
        Examination
            Layers, whole net, context and settings. The whole net's spectrum is that of its
            Gauss-Newton matrix, from the sum of the layers' Gram matrices; its statistics are those
            of the sum in which each layer counts in units of its own prior, ``K_l |w_l|^2 / p_l``,
            which a rescaling of ReLU layers does not change.

        Raises
        ------
        ValueError
            As `spectra`; also for a mapping of layers' own functions as scalar, and where
            `max_memory` is too little for the Gram matrices.
        """
        check_counts(
            max_samples=max_samples,
            max_gram_size=max_gram_size,
            n_output_columns=n_output_columns,
        )
        check_time(max_time)
        # What preparing took counts once.
        spent, self._spent = self._spent, 0.0
        settings = self._settings(
            method=method,
            n_lanczos_steps=n_lanczos_steps,
            n_probes=n_probes,
            tolerance=tolerance,
            dense_limit=dense_limit,
        )
        with self._at_work():
            layers, network, context = examine_problem(
                self._problem,
                settings,
                max_samples,
                max_gram_size,
                max_time,
                n_output_columns,
                spent,
            )
        if self._n_inputs is not None:
            context["n_inputs"] = self._n_inputs
        made_with = self._made_with | {
            "method": method,
            "n_lanczos_steps": n_lanczos_steps,
            "n_probes": n_probes,
            "tolerance": tolerance,
            "max_gram_size": max_gram_size,
            "dense_limit": dense_limit,
            "max_time": max_time,
        }
        if max_samples is not None:
            made_with["max_samples"] = max_samples
        if n_output_columns is not None:
            made_with["n_output_columns"] = n_output_columns
        return Examination(name, self._digest, layers, network, context, made_with)


def _digest_or_none(net, X, y, output):
    """Return the digest of net and data; None where something cannot be seen through."""
    try:
        return NetworkCase(net, X, y, held_back="keep", output=output).digest()
    except Exception:
        return None


@take_parameters(LocalHessians.examine, LocalHessians, LocalSpectra)
def examine(
    net: NeuralNet,
    X: Any,
    y: Any = None,
    name: str | None = None,
    layers: str | Sequence[str] | Mapping[str, Any] | None = None,
    curvature: Literal["hessian", "ggn", "auto"] = "hessian",
    method: Literal["auto", "exact", "lanczos"] = "auto",
    n_lanczos_steps: int = 30,
    n_probes: int = 3,
    max_samples: int | None = None,
    max_gram_size: int | None = 1000,
    dense_limit: int = DENSE_LIMIT,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    device: str | torch.device | None = None,
    dtype: Literal["float32", "float64"] | None = "float64",
    scalar: Literal["loss"] | Callable[..., Any] | Mapping[str, Callable[..., Any]] = "loss",
    batch_size: int | None = None,
    tolerance: float | None = None,
    max_memory: float | None = None,
    digest: str | None = None,
    output: str | int | None = None,
    max_time: float | None = 60.0,
    n_output_columns: int | None = None,
) -> Examination:
    """Examine a net on its training data: spectra of all layers, and what follows from them.

    Parameters
    ----------
    dtype : {"float32", "float64"} or None, default="float64"
        Precision; None follows the net.
    max_memory : float or None, default=None
        Bytes to keep within, beside what is taken already; see `hessdiag.spectra.LocalSpectra`.
        None sets no bound.

    Returns
    -------
    Examination
        Layers, whole net, context and settings, see `LocalHessians.examine`.

    Raises
    ------
    TypeError, ValueError
        As `hessdiag.layer_spectra`.

    See Also
    --------
    hessdiag.layer_spectra : Spectra alone.
    hessdiag.examination.gram_statistics : The statistics.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.examination import examine
    >>> X, y = np.eye(4, dtype="float32"), np.arange(4.0, dtype="float32")[:, None]
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> examination = examine(net, X, y)
    >>> examination.layer_names, examination.context["null_loss"]
    (('module',), 1.25)
    """
    local = LocalHessians(
        net,
        X,
        y,
        layers=layers,
        scalar=scalar,
        curvature=curvature,
        batch_size=batch_size,
        max_memory=max_memory,
        dtype=dtype,
        device=device,
        random_state=random_state,
        digest=digest,
        output=output,
    )
    return local.examine(
        name,
        method=method,
        n_lanczos_steps=n_lanczos_steps,
        n_probes=n_probes,
        tolerance=tolerance,
        max_samples=max_samples,
        max_gram_size=max_gram_size,
        dense_limit=dense_limit,
        max_time=max_time,
        n_output_columns=n_output_columns,
    )
