"""The doors in one call: each prepares a net and its data, and asks one thing of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from hessdiag.docstrings import take_parameters
from hessdiag.spectra._local_spectra import LocalSpectra

if TYPE_CHECKING:
    import numpy as np
    import torch
    from skorch import NeuralNet

    from hessdiag.spectra.results import LayerCoupling, LayerTrace, SpectraPlan, Spectrum


@take_parameters(LocalSpectra, LocalSpectra.spectra)
def layer_spectra(
    net: NeuralNet,
    X: Any,
    y: Any = None,
    layers: str | Sequence[str] | Mapping[str, Any] | None = None,
    curvature: Literal["hessian", "ggn"] = "hessian",
    scalar: Literal["loss"] | Callable[..., Any] | Mapping[str, Callable[..., Any]] = "loss",
    method: Literal["auto", "exact", "lanczos"] = "auto",
    n_lanczos_steps: int = 30,
    n_probes: int = 3,
    max_samples: int | None = None,
    batch_size: int | None = None,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    device: str | torch.device | None = None,
    dtype: Literal["float32", "float64"] | None = None,
    tolerance: float | None = None,
    max_memory: float | None = None,
    output: str | int | None = None,
    max_time: float | None = 60.0,
) -> dict[str, Spectrum]:
    """Compute the spectrum of every layer's local Hessian.

    The local Hessian of layer l is the second derivative of a scalar, by default the net's own loss
    on the given data, in that layer's parameters alone. Where it equals the local Gauss-Newton
    matrix ``sum_n J_n' Lambda_n J_n`` (J the outputs' derivatives in the layer's parameters, Lambda
    the loss's second derivatives in the outputs), which is measured and not assumed, its
    eigenvalues are exact at any number of parameters: they follow from a matrix of side
    ``min(p, N rank(Lambda))`` [1]_. Elsewhere the Hessian itself is formed for small layers, and
    probed by stochastic Lanczos quadrature for large ones [2]_.

    Returns
    -------
    dict of str to Spectrum
        Spectra by layer name, in forward order. The spectrum of a layer whose curvature is NaN or
        infinite is NaN; other layers keep theirs.

    See Also
    --------
    examine : Spectra together with all else that the factors tell.
    plan_spectra : What will be computed, and how long it will take.

    Notes
    -----
    A net that ends in probabilities (softmax under ``NLLLoss``, sigmoid under ``BCELoss``) is
    treated as one that ends in the corresponding logits: the Hessian is the same, and its
    Gauss-Newton part is that of the logits.

    Whether Hessian and Gauss-Newton matrix coincide (`gn_gap`) is measured on all samples; where
    that would take more than some ten seconds, first on two of them, drawn at random, and on all
    only for the layers where they differ there. Piecewise-linear and smooth functions are told
    apart by any sample. The risk is a layer whose part beyond Gauss-Newton vanishes on the two,
    but not on others: it is then given its Gauss-Newton spectrum.

    Where a loss has too many second derivatives in the outputs to be formed (an image or a token
    sequence for an output), Gauss-Newton matrices too are multiplied by passes through the net, and
    the gap of every layer is that on two samples, drawn at random, if there are more than four.

    A loss that is no sum over samples of functions of their outputs (an added weight penalty, a net
    that mixes samples, several output tensors) is differentiated as it is, on all samples at once.

    With a function for each layer, a layer that is called several times counts with the sum of the
    function over its calls, each with what it received in that call. A tied parameter counts where
    its first owner uses it. A layer that is never called itself (the output projection of
    ``MultiheadAttention``), and a block of several layers, have the output of the smallest module
    that is called and holds all their parameters; it is given as it is, also where it is a tuple.

    References
    ----------
    .. [1] Dangel, Tatzel and Hennig (2022). ViViT: curvature access through the generalized
       Gauss-Newton's low-rank structure. TMLR.
    .. [2] Ghorbani, Krishnan and Xiao (2019). An investigation into neural net optimization via
       Hessian eigenvalue density. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.spectra import layer_spectra
    >>> X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> layer_spectra(net, X, y)
    {'module': Spectrum(n_params=5, exact, 4 nonzero in [0, 2.5], trace=4)}
    >>> layer_spectra(net, X, y, scalar={"*": lambda output, y: (output**2).sum()})
    {'module': Spectrum(n_params=5, exact, 4 nonzero in [0, 10], trace=16)}
    """
    local = LocalSpectra(
        net,
        X,
        y,
        layers=layers,
        scalar=scalar,
        curvature=curvature,
        max_samples=max_samples,
        batch_size=batch_size,
        max_memory=max_memory,
        dtype=dtype,
        device=device,
        random_state=random_state,
        output=output,
    )
    return local.spectra(
        method=method,
        n_lanczos_steps=n_lanczos_steps,
        n_probes=n_probes,
        tolerance=tolerance,
        max_time=max_time,
    )


@take_parameters(LocalSpectra, LocalSpectra.spectra)
def plan_spectra(
    net: NeuralNet,
    X: Any,
    y: Any = None,
    layers: str | Sequence[str] | Mapping[str, Any] | None = None,
    curvature: Literal["hessian", "ggn"] = "hessian",
    scalar: Literal["loss"] | Callable[..., Any] | Mapping[str, Callable[..., Any]] = "loss",
    method: Literal["auto", "exact", "lanczos"] = "auto",
    n_lanczos_steps: int = 30,
    n_probes: int = 3,
    max_samples: int | None = None,
    batch_size: int | None = None,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    device: str | torch.device | None = None,
    dtype: Literal["float32", "float64"] | None = None,
    tolerance: float | None = None,
    max_memory: float | None = None,
    output: str | int | None = None,
) -> SpectraPlan:
    """Say what `layer_spectra` with the same arguments will do, with estimated time and memory.

    Runs the net forward, and measures on a few samples whether each layer's Hessian and
    Gauss-Newton matrix coincide and how fast this machine is; nothing large is computed.

    Returns
    -------
    SpectraPlan
        The plan; print it for a table.

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
    start = time.monotonic()
    local = LocalSpectra(
        net,
        X,
        y,
        layers=layers,
        scalar=scalar,
        curvature=curvature,
        max_samples=max_samples,
        batch_size=batch_size,
        max_memory=max_memory,
        dtype=dtype,
        device=device,
        random_state=random_state,
        output=output,
    )
    preparing = time.monotonic() - start
    plan = local.plan(
        method=method, n_lanczos_steps=n_lanczos_steps, n_probes=n_probes, tolerance=tolerance
    )
    return replace(plan, preparing=preparing)


@take_parameters(LocalSpectra, LocalSpectra.traces)
def layer_traces(
    net: NeuralNet,
    X: Any,
    y: Any = None,
    layers: str | Sequence[str] | Mapping[str, Any] | None = None,
    curvature: Literal["hessian", "ggn"] = "hessian",
    scalar: Literal["loss"] | Callable[..., Any] | Mapping[str, Callable[..., Any]] = "loss",
    method: Literal["auto", "hutchinson"] = "auto",
    n_probes: int = 20,
    max_samples: int | None = None,
    batch_size: int | None = None,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    device: str | torch.device | None = None,
    dtype: Literal["float32", "float64"] | None = None,
    tolerance: float | None = None,
    max_memory: float | None = None,
    output: str | int | None = None,
) -> dict[str, LayerTrace]:
    """Compute the trace of every layer's local Hessian, by few products of the whole net.

    Gauss-Newton matrices give up their traces exactly, as sums of squares of their factors. The
    rest of the Hessian, or all of it where the loss has no factors, is estimated after Hutchinson
    [1]_: with random signs v on all parameters at once, ``v_l . (H v)_l`` has the trace of layer
    l's local Hessian as its mean. So `n_probes` products of the whole net serve all layers,
    however many there are.

    Returns
    -------
    dict of str to LayerTrace
        Traces by layer name, in forward order. The trace of a layer whose curvature is NaN or
        infinite is NaN; other layers keep theirs.

    See Also
    --------
    layer_spectra : The spectra themselves, whose traces are exact where they are.
    plan_traces : What will be computed, and how long it will take.

    Notes
    -----
    The parts ``v_l . H_lm v_m`` that other layers m add to a probe's value have mean zero, but add
    to its variance, which is ``2 |H_ll|_F^2 - 2 sum_i (H_ll)_ii^2 + sum_{m != l} |H_lm|_F^2``. The
    standard error is that of the probes' mean, so that it knows of them.

    Whether a layer's Hessian is its Gauss-Newton matrix is measured on a few random samples.

    References
    ----------
    .. [1] Hutchinson (1990). A stochastic estimator of the trace of the influence matrix for
       Laplacian smoothing splines. Communications in Statistics.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.spectra import layer_traces
    >>> X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> trace = layer_traces(net, X, y)["module"]
    >>> round(trace.trace, 5), trace.exact
    (4.0, True)
    """
    local = LocalSpectra(
        net,
        X,
        y,
        layers=layers,
        scalar=scalar,
        curvature=curvature,
        max_samples=max_samples,
        batch_size=batch_size,
        max_memory=max_memory,
        dtype=dtype,
        device=device,
        random_state=random_state,
        output=output,
    )
    return local.traces(method, n_probes, tolerance)


@take_parameters(LocalSpectra, LocalSpectra.traces)
def plan_traces(
    net: NeuralNet,
    X: Any,
    y: Any = None,
    layers: str | Sequence[str] | Mapping[str, Any] | None = None,
    curvature: Literal["hessian", "ggn"] = "hessian",
    scalar: Literal["loss"] | Callable[..., Any] | Mapping[str, Callable[..., Any]] = "loss",
    method: Literal["auto", "hutchinson"] = "auto",
    n_probes: int = 20,
    max_samples: int | None = None,
    batch_size: int | None = None,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    device: str | torch.device | None = None,
    dtype: Literal["float32", "float64"] | None = None,
    tolerance: float | None = None,
    max_memory: float | None = None,
    output: str | int | None = None,
) -> SpectraPlan:
    """Say what `layer_traces` with the same arguments will do, with estimated time and memory.

    Runs the net forward, and measures on a few samples whether each layer's Hessian and
    Gauss-Newton matrix coincide; nothing large is computed.

    Returns
    -------
    SpectraPlan
        The plan; print it for a table. Layers that go the way "squares" have exact traces.

    See Also
    --------
    layer_traces : Computes the traces.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.spectra import plan_traces
    >>> X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
    >>> net = NeuralNetRegressor(torch.nn.Linear(4, 1), verbose=0, train_split=None).fit(X, y)
    >>> [layer.way for layer in plan_traces(net, X, y).layers]
    ['squares']
    """
    start = time.monotonic()
    local = LocalSpectra(
        net,
        X,
        y,
        layers=layers,
        scalar=scalar,
        curvature=curvature,
        max_samples=max_samples,
        batch_size=batch_size,
        max_memory=max_memory,
        dtype=dtype,
        device=device,
        random_state=random_state,
        output=output,
    )
    preparing = time.monotonic() - start
    return replace(local.plan_traces(method, n_probes, tolerance), preparing=preparing)


@take_parameters(LocalSpectra, LocalSpectra.coupling)
def layer_coupling(
    net: NeuralNet,
    X: Any,
    y: Any = None,
    layers: str | Sequence[str] | Mapping[str, Any] | None = None,
    scalar: Literal["loss"] | Callable[..., Any] | Mapping[str, Callable[..., Any]] = "loss",
    n_probes: int | None = None,
    max_params: int = 3000,
    max_samples: int | None = None,
    batch_size: int | None = None,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    device: str | torch.device | None = None,
    dtype: Literal["float32", "float64"] | None = "float64",
    max_memory: float | None = None,
    output: str | int | None = None,
) -> LayerCoupling:
    """Measure what a layer-wise view of the Hessian leaves out: its blocks between layers.

    `layer_spectra` looks at every layer's local Hessian ``H_ll`` [1]_, the blocks on the diagonal
    of the Hessian H of all layers' parameters. Here are the sizes of all blocks: the resonance of
    layers l and m is the Frobenius norm ``|H_lm|_F``, and their coupling is the resonance divided
    by the geometric mean of the two layers' own [2]_; phi is the share of ``|H|_F^2`` that does
    not lie on the diagonal. No block is ever stored, only sums of squares.

    Returns
    -------
    LayerCoupling
        Resonance, coupling and phi with their standard errors. Norms of blocks that are NaN or
        infinite are NaN, and so is phi then.

    See Also
    --------
    layer_spectra : The spectra of the blocks on the diagonal.
    layer_traces : Their traces.

    Notes
    -----
    The exact way multiplies H by the columns of the identity, many at once, and uses the symmetry
    of H: a layer's columns are followed only into that layer and those after it.

    With probes, every layer m has its own random signs v, and ``E |H_lm v|^2 = |H_lm|_F^2`` as in
    [3]_. One product gives the blocks between m and all layers. Those between two layers are the
    mean of what both layers' probes say of them. Squared norms are without bias; the root of an
    estimate is low by about ``resonance_error**2 / (2 * resonance)``, half a percent at an error of
    10%, and coupling and phi, being ratios, are off by shares of the same order. Standard errors
    follow from the spread over the probes by the delta method: to first order, and with what the
    numbers that stem from the same probes have in common. Squared norms being skewed, errors from
    few probes (say 10) are rough, and too small where the norm came out too small.

    If H is positive semidefinite, coupling is at most 1. If not, it can be of any size. Coupling
    does not change when all parameters of a layer are measured in other units, nor under the
    rescaling of ReLU layers as far as that multiplies all parameters of each layer by one number
    (with a bias in the later one it does not). Resonance and phi do change: they are relative to
    the parameters as they are, like every Frobenius norm of a Hessian.

    References
    ----------
    .. [1] Bolshim and Kugaevskikh (2025). Local properties of neural networks through the lens of
       layer-wise Hessians. arXiv:2510.17486.
    .. [2] Kugaevskikh and Bolshim (2026). Inter-layer Hessian analysis of neural networks with DAG
       architectures. arXiv:2604.11639.
    .. [3] Hutchinson (1990). A stochastic estimator of the trace of the influence matrix for
       Laplacian smoothing splines. Communications in Statistics.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skorch import NeuralNetRegressor
    >>> from hessdiag.spectra import layer_coupling
    >>> one, two = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    >>> _ = one.weight.data.fill_(1.0), two.weight.data.fill_(2.0)
    >>> net = NeuralNetRegressor(torch.nn.Sequential(one, two), verbose=0).initialize()
    >>> X = np.ones((1, 1), dtype="float32")

    The loss is ``(w1 w2 - y)^2``, whose Hessian has ``2 w2^2``, ``2 w1^2`` on the diagonal, and
    ``4 w1 w2 - 2 y`` beside it.

    >>> found = layer_coupling(net, X, 2 * X)
    >>> found.resonance
    array([[8., 4.],
           [4., 2.]])
    >>> round(found.coupling[0, 1], 6), round(found.phi, 6)
    (np.float64(1.0), 0.32)
    """
    local = LocalSpectra(
        net,
        X,
        y,
        layers=layers,
        scalar=scalar,
        max_samples=max_samples,
        batch_size=batch_size,
        max_memory=max_memory,
        dtype=dtype,
        device=device,
        random_state=random_state,
        output=output,
    )
    return local.coupling(n_probes, max_params)
