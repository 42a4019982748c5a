"""LocalSpectra: a net and its data, checked once, and all that its layers' Hessians tell."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from hessdiag.curvature import prepare
from hessdiag.curvature.network import (
    NotSeparableError,
    check_device,
    draw_seed,
    second_derivatives_named,
    untouched_surroundings,
)
from hessdiag.progress import shown
from hessdiag.spectra._coupling_work import couple_layers
from hessdiag.spectra._executor import choose_policy, compute_spectra
from hessdiag.spectra._plan import plan_of
from hessdiag.spectra._settings import SpectrumSettings, check_counts, check_time
from hessdiag.spectra._time_budget import has_passed, policy_within, warn_of_left_out
from hessdiag.spectra._trace_work import TraceWork

if TYPE_CHECKING:
    import numpy as np
    from skorch import NeuralNet

    from hessdiag.spectra.results import LayerCoupling, LayerTrace, SpectraPlan, Spectrum


class LocalSpectra:
    """Local Hessians of all layers of a net on some data, and their spectra.

    The net and its data are checked, copied and run once, here; what is then asked for are plans,
    spectra, traces and couplings of the same problem. `hessdiag.LocalHessians` adds examinations.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net. It is left exactly as it is, also after an error: all is computed on a copy, in
        evaluation mode.
    X : array-like, dict, DataFrame, tensor or Dataset of length n_samples
        Data, as the net's ``fit`` takes them.
    y : array-like of length n_samples or None, default=None
        Targets; None where `X` is a Dataset that yields them.
    layers : str, list of str, dict or None, default=None
        Layers to examine: names or patterns (as in ``fnmatch``) of modules; or block name ->
        names or patterns of parameters, to treat several as one. None takes every module that
        directly owns trainable parameters. A parameter that is tied belongs to the first of its
        owners, with all its uses. Frozen parameters, and those of the criterion, take no part.
    scalar : "loss", callable or mapping of str to callable, default="loss"
        What is differentiated: the net's loss through skorch's ``get_loss``, or a callable that
        takes (output, y) to a tensor of no dimensions. A mapping of layer names or patterns to such
        callables gives each layer a function of its own output, what it receives being held fixed;
        a name counts before a pattern, and the first pattern that matches before others. Mean or
        sum is the callable's own affair.
    curvature : {"hessian", "ggn"}, default="hessian"
        The Hessian, or its Gauss-Newton part, which is positive semidefinite for convex losses.
    max_samples : int or None, default=None
        Number of samples to draw (without replacement) and to look at; None takes all.
    batch_size : int or None, default=None
        Samples that pass through the net at once; results do not depend on it. None takes all at
        once, or as many as `max_memory` allows.
    max_memory : float or None, default=None
        Bytes to keep within, beside what is taken already: by smaller chunks of samples, one layer
        after the other, fewer vectors at once, and Lanczos in place of large exact decompositions.
        Tensors take four fifths of it at the most; the rest is for the C library, which gives freed
        memory back with some delay. None sets no bound.
    dtype : {"float32", "float64"} or None, default=None
        Precision; None follows the net, but raises half precisions to float32. Output Hessians,
        Gram matrices and eigenvalues are in float64 anyway.
    device : str or torch.device, default=None
        Where to compute; None follows the net.
    random_state : int, RandomState, Generator or None, default=None
        Seed of sample choice and probes; None means 0, as an examination should be repeatable. A
        generator is drawn from once.
    output : str, int or None, default=None
        Where the net sends several tensors, the name of the one that the loss is taken of: a key
        or an attribute such as "logits", a place such as 0, or "hidden.1" further down. The loss is
        given all that the net sends where it takes that, and the tensor alone where not. None finds
        the one that has a derivative, if it is only one.

    Raises
    ------
    TypeError
        If `net` is not a skorch net.
    sklearn.exceptions.NotFittedError
        If `net` is not fitted.
    ValueError
        If parameters or data are not finite, X and y do not fit each other, the criterion cannot
        take y, the loss is not one number, a layer pattern matches nothing, or forward passes
        differ.

    See Also
    --------
    layer_spectra : The spectra in one call.
    hessdiag.LocalHessians : The same, with examinations.

    Notes
    -----
    The object holds a copy of the net and the data. What a method returns does not depend on what
    was called before.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.spectra import LocalSpectra
    >>> X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> local = LocalSpectra(net, X, y)
    >>> local
    LocalSpectra(Linear, 1 layer, 5 parameters, 4 samples)
    >>> local.spectra()
    {'module': Spectrum(n_params=5, exact, 4 nonzero in [0, 2.5], trace=4)}
    >>> round(local.traces()["module"].trace, 5)
    4.0
    """

    def __init__(
        self,
        net: NeuralNet,
        X: Any,
        y: Any = None,
        *,
        layers: str | Sequence[str] | Mapping[str, Any] | None = None,
        scalar: Literal["loss"] | Callable[..., Any] | Mapping[str, Callable[..., Any]] = "loss",
        curvature: Literal["hessian", "ggn"] = "hessian",
        max_samples: int | None = None,
        batch_size: int | None = None,
        max_memory: float | None = None,
        dtype: Literal["float32", "float64"] | None = None,
        device: str | torch.device | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        output: str | int | None = None,
    ) -> None:
        check_counts(batch_size=batch_size, max_samples=max_samples)
        check_device(device)
        self._seed = draw_seed(random_state)
        self._curvature, self._max_memory, self._device = curvature, max_memory, device
        # What the matrix and the bound may be is checked before the net is run.
        self._settings()
        start = time.monotonic()
        with self._at_work():
            self._problem = prepare(
                net,
                X,
                y,
                layers=layers,
                scalar=scalar,
                max_samples=max_samples,
                batch_size=batch_size,
                random_state=self._seed,
                device=device,
                dtype=dtype,
                max_memory=max_memory,
                output=output,
            )
        # Seconds that preparing took: part of the first budget of time that is asked for.
        self._spent = time.monotonic() - start

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers in forward order."""
        return tuple(block.name for block in self._problem.blocks)

    @property
    def n_samples(self) -> int:
        """Number of samples that are looked at."""
        return self._problem.n_samples

    @property
    def n_params(self) -> int:
        """Number of parameters of all layers."""
        return sum(block.n_params for block in self._problem.blocks)

    def __reduce_ex__(self, protocol):
        """Refuse to be pickled or copied: there is nothing that the copy could not be made of."""
        raise TypeError(
            f"Expected what is pickled or copied to be plain results, found a {type(self).__name__}"
            ", which holds a working copy of a net. Send net, X and y instead and make it there, "
            "or send its spectra or its examination."
        )

    def __repr__(self):
        """Show class, size and number of layers."""
        n, kind = len(self._problem.blocks), self._problem.working_copy.root_kind()
        return (
            f"{type(self).__name__}({kind}, {n} layer{'s'[: n != 1]}, {self.n_params} parameters, "
            f"{self.n_samples} samples)"
        )

    def plan(
        self,
        method: Literal["auto", "exact", "lanczos"] = "auto",
        n_lanczos_steps: int = 30,
        n_probes: int = 3,
        tolerance: float | None = None,
    ) -> SpectraPlan:
        """Say what `spectra` with the same arguments will do, with estimated time and memory.

        Measures on a few samples whether each layer's Hessian and Gauss-Newton matrix coincide, and
        how fast this machine is; nothing large is computed.

        Parameters
        ----------
        method : {"auto", "exact", "lanczos"}, default="auto"
            As in `spectra`.
        n_lanczos_steps, n_probes : int, default=30, 3
            As in `spectra`.
        tolerance : float or None, default=None
            As in `spectra`.

        Returns
        -------
        SpectraPlan
            The plan; print it for a table.
        """
        settings = self._settings(
            method=method,
            n_lanczos_steps=n_lanczos_steps,
            n_probes=n_probes,
            tolerance=tolerance,
        )
        with self._at_work():
            return plan_of(choose_policy(self._problem, settings))

    def spectra(
        self,
        method: Literal["auto", "exact", "lanczos"] = "auto",
        n_lanczos_steps: int = 30,
        n_probes: int = 3,
        tolerance: float | None = None,
        max_time: float | None = 60.0,
    ) -> dict[str, Spectrum]:
        """Compute the spectrum of every layer's local Hessian.

        Parameters
        ----------
        method : {"auto", "exact", "lanczos"}, default="auto"
            "auto" takes an exact spectrum where the matrix to be decomposed has a side up to 2500,
            which takes about two seconds, and Lanczos beyond.
        n_lanczos_steps : int, default=30
            Steps per probe. The extreme eigenvalues of such spectra are found within 20 to 30
            (Ghorbani, Krishnan and Xiao, 2019).
        n_probes : int, default=3
            Random starts; their spread gives the standard error of the trace.
        tolerance : float or None, default=None
            Lanczos stops early where the error bound of the eigenvalue of largest size falls below
            this share of it.
        max_time : float or None, default=60
            Seconds to keep within, those of preparing included. What would not fit is less: first
            exact spectra that Lanczos approximates sooner, then probes, samples and steps; a
            `BudgetWarning` says what. None sets no bound.

        Returns
        -------
        dict of str to Spectrum
            Spectra by layer name, in forward order. The spectrum of a layer whose curvature is NaN
            or infinite is NaN; other layers keep theirs.

        Raises
        ------
        ValueError
            If an exact spectrum that is asked for does not fit in memory, a Gauss-Newton matrix is
            asked for of a loss that has none, or `max_memory` is too little; the error then says
            how much would do.
        """
        settings = self._settings(
            method=method,
            n_lanczos_steps=n_lanczos_steps,
            n_probes=n_probes,
            tolerance=tolerance,
        )
        check_time(max_time)
        spent, self._spent = self._spent, 0.0
        with self._at_work():
            policy, left_out = policy_within(self._problem, settings, max_time, spent)
            spectra = compute_spectra(policy)
            if has_passed(policy.settings):
                left_out.append("steps of Lanczos that were not taken then were not taken at all")
        warn_of_left_out(left_out, max_time)
        return spectra

    def plan_traces(
        self,
        method: Literal["auto", "hutchinson"] = "auto",
        n_probes: int = 20,
        tolerance: float | None = None,
    ) -> SpectraPlan:
        """Say what `traces` with the same arguments will do, with estimated time and memory.

        Parameters
        ----------
        method : {"auto", "hutchinson"}, default="auto"
            As in `traces`.
        n_probes : int, default=20
            As in `traces`.
        tolerance : float or None, default=None
            As in `traces`.

        Returns
        -------
        SpectraPlan
            The plan; print it for a table. Layers that go the way "squares" have exact traces.
        """
        settings = self._settings(n_probes=n_probes, tolerance=tolerance)
        with self._at_work():
            return TraceWork(self._problem, settings, method).plan()

    def traces(
        self,
        method: Literal["auto", "hutchinson"] = "auto",
        n_probes: int = 20,
        tolerance: float | None = None,
    ) -> dict[str, LayerTrace]:
        """Compute the trace of every layer's local Hessian, by few products of the whole net.

        Parameters
        ----------
        method : {"auto", "hutchinson"}, default="auto"
            "auto" uses factors where their backward sweeps, one for each column of the output
            Hessians' roots, take no longer than the products; "hutchinson" takes products alone.
        n_probes : int, default=20
            Number of probe vectors, at least 2; at most so many where a `tolerance` is given. The
            standard error falls with its square root.
        tolerance : float or None, default=None
            Stop as soon as every layer's standard error is below this share of its trace's size.

        Returns
        -------
        dict of str to LayerTrace
            Traces by layer name, in forward order. The trace of a layer whose curvature is NaN or
            infinite is NaN; other layers keep theirs.

        Raises
        ------
        ValueError
            If `n_probes` is below 2, or a Gauss-Newton matrix is asked for of a loss that has none.
        """
        settings = self._settings(n_probes=n_probes, tolerance=tolerance)
        with self._at_work():
            return TraceWork(self._problem, settings, method).run()

    def coupling(self, n_probes: int | None = None, max_params: int = 3000) -> LayerCoupling:
        """Measure what a layer-wise view of the Hessian leaves out: its blocks between layers.

        Parameters
        ----------
        n_probes : int or None, default=None
            Random vectors for each layer, at least 2. Layers with no more parameters than that are
            exact nevertheless, as that takes no more products. None is exact for nets of up to
            `max_params` parameters, and takes 100 probes beyond: one squared norm has a relative
            standard deviation of sqrt(2) at most, so that the resonances' standard errors are then
            below about 7% of them, and most are far smaller.
        max_params : int, default=3000
            Number of parameters of all layers up to which None takes the exact way. By default that
            is as many as take two seconds on one core for 300 samples in a fully connected net.

        Returns
        -------
        LayerCoupling
            Resonance, coupling and phi with their standard errors.

        Raises
        ------
        ValueError
            For fewer than two probes, for a mapping of layers' own functions as scalar, which have
            no blocks between layers, and for ``curvature="ggn"``.
        """
        settings = self._settings()
        with self._at_work():
            return couple_layers(self._problem, settings, n_probes, max_params)

    def _settings(self, **keywords):
        """Check what one piece of work is asked with."""
        return SpectrumSettings(
            curvature=self._curvature, seed=self._seed, max_memory=self._max_memory, **keywords
        )

    @contextlib.contextmanager
    def _at_work(self):
        """Leave no trace in the surroundings, and draw the same numbers whatever came before."""
        with (
            untouched_surroundings(self._device),
            second_derivatives_named(),
            shown(f"Curvature of {self}" if hasattr(self, "_problem") else "Preparing the net"),
        ):
            torch.manual_seed(0)
            try:
                yield
            except NotSeparableError as error:
                # Known beforehand of all samples, and met all the same on some of them.
                raise ValueError(
                    "Expected a loss that is a sum over samples of functions of their outputs, "
                    f"found that {error}. Ask for the spectra of the Hessian alone, which any loss "
                    "has: layer_spectra(net, X, y, curvature='hessian')."
                ) from error
            finally:
                if hasattr(self, "_problem"):
                    self._problem.working_copy.reset()
