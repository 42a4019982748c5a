"""The spectra of all layers of a net, in one call."""

from __future__ import annotations

from hessdiag.curvature import LocalCurvature
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.spectra._local_spectra import local_spectra
from hessdiag.spectra._settings import SpectrumSettings

__all__ = ["layer_spectra"]


def layer_spectra(
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
    """Compute the spectrum of every layer's local Hessian.

    The local Hessian of layer l is the second derivative of a scalar, by default the net's own loss
    on the given data, in that layer's parameters alone. Where it equals the local Gauss-Newton
    matrix ``sum_n J_n' Lambda_n J_n`` (J the outputs' derivatives in the layer's parameters, Lambda
    the loss's second derivatives in the outputs), which is measured and not assumed, its
    eigenvalues are exact at any number of parameters: they follow from a matrix of side
    ``min(p, N rank(Lambda))`` [1]_. Elsewhere the Hessian itself is formed for small layers, and
    probed by stochastic Lanczos quadrature for large ones [2]_.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net. It is left exactly as it is, also after an error: all is computed on a copy, in
        evaluation mode.
    X : array-like, dict, DataFrame, tensor or Dataset of length n_samples
        Data, as the net's ``fit`` takes them.
    y : array-like of length n_samples or None
        Targets; None where `X` is a Dataset that yields them.
    layers : str, list of str, dict or None, default=None
        Layers to examine: names or patterns (as in ``fnmatch``) of modules; or block name ->
        names or patterns of parameters, to treat several as one. None takes every module that
        directly owns trainable parameters. A parameter that is tied belongs to the first of its
        owners, with all its uses. Frozen parameters, and those of the criterion, take no part.
    curvature : {"hessian", "ggn"}, default="hessian"
        The Hessian, or its Gauss-Newton part, which is positive semidefinite for convex losses.
    scalar : "loss", callable or mapping of str to callable, default="loss"
        What is differentiated: the net's loss through skorch's ``get_loss``, or a callable that
        takes (output, y) to a tensor of no dimensions. A mapping of layer names or patterns to such
        callables gives each layer a function of its own output, what it receives being held fixed;
        a name counts before a pattern, and the first pattern that matches before others. Mean or
        sum is the callable's own affair.
    method : {"auto", "exact", "lanczos"}, default="auto"
        "auto" takes an exact spectrum where the matrix to be decomposed has a side up to 2500,
        which takes about two seconds, and Lanczos beyond.
    n_lanczos_steps : int, default=30
        Steps per probe. The extreme eigenvalues of such spectra settle within 20 to 30 [2]_.
    n_probes : int, default=3
        Random starts; their spread gives the standard error of the trace.
    max_samples : int or None, default=None
        Number of samples to draw (without replacement) and to look at; None takes all.
    batch_size : int or None, default=None
        Samples that pass through the net at once; results do not depend on it. None takes all at
        once, or as many as `max_memory` allows.
    random_state : int, RandomState, Generator or None, default=None
        Seed of sample choice and probes; None means 0, as an examination should be repeatable.
    device : str or torch.device, default=None
        Where to compute; None follows the net.
    dtype : {"float32", "float64"} or None, default=None
        Precision; None follows the net, but raises half precisions to float32. Output Hessians,
        Gram matrices and eigenvalues are in float64 anyway.
    tolerance : float or None, default=None
        Lanczos stops early where the error bound of the eigenvalue of largest size falls below this
        share of it.
    max_memory : float or None, default=None
        Bytes to keep within, beside what is taken already: by smaller chunks of samples, one layer
        after the other, fewer vectors at once, and Lanczos in place of large exact decompositions.
        Tensors take four fifths of it at the most; the rest is for the C library, which gives freed
        memory back with some delay. None sets no bound.

    Returns
    -------
    dict of str to Spectrum
        Spectra by layer name, in forward order. The spectrum of a layer whose curvature is NaN or
        infinite is NaN; other layers keep theirs.

    Raises
    ------
    TypeError
        If `net` is not a skorch net.
    sklearn.exceptions.NotFittedError
        If `net` is not fitted.
    ValueError
        If parameters or data are not finite, X and y do not fit each other, the criterion cannot
        take y, the loss is not one number, a layer pattern matches nothing, forward passes differ,
        an exact spectrum that is asked for does not fit in memory, or `max_memory` is too little;
        the error then says how much would do.

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
        return local_spectra(problem, settings)
