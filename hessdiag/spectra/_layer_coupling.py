"""What lies between the layers: sizes of all blocks of the Hessian, next to the layers' own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hessdiag.curvature import LocalCurvature
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.curvature.products import CrossProducts
from hessdiag.spectra._settings import SpectrumSettings

__all__ = ["LayerCoupling", "layer_coupling"]

# A norm below this share of the whole Hessian's is rounding of zero.
NEGLIGIBLE = 1e-12
# Probes of each layer where none are asked for; the docstring says why.
DEFAULT_PROBES = 100
# Vectors multiplied at once: on processors, more would fall out of their caches.
AT_ONCE_ON_CPU = 16
AT_ONCE_ELSEWHERE = 64
# Entries of what they give: 256 MiB in float64.
MOST_ENTRIES = 2**25


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
                    f"{matrix.shape}."
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


def layer_coupling(
    net,
    X,
    y,
    layers=None,
    scalar="loss",
    n_probes=None,
    max_params=3000,
    max_samples=None,
    batch_size=None,
    random_state=None,
    device=None,
    dtype="float64",
):
    """Measure what a layer-wise view of the Hessian leaves out: its blocks between layers.

    `layer_spectra` looks at every layer's local Hessian ``H_ll`` [1]_, the blocks on the diagonal
    of the Hessian H of all layers' parameters. Here are the sizes of all blocks: the resonance of
    layers l and m is the Frobenius norm ``|H_lm|_F``, and their coupling is the resonance divided
    by the geometric mean of the two layers' own [2]_; phi is the share of ``|H|_F^2`` that does
    not lie on the diagonal. No block is ever stored, only sums of squares.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net; left exactly as it is.
    X : array-like, dict, DataFrame, tensor or Dataset of length n_samples
        Data, as the net's ``fit`` takes them.
    y : array-like of length n_samples or None
        Targets; None where `X` is a Dataset that yields them.
    layers : str, list of str, dict or None, default=None
        As in `layer_spectra`. H is the Hessian in the parameters of these layers; a tied parameter
        counts once, all others are held fixed.
    scalar : "loss" or callable, default="loss"
        What is differentiated: the net's loss through skorch's ``get_loss``, or a callable that
        takes (output, y) to a tensor of no dimensions.
    n_probes : int or None, default=None
        Random vectors for each layer, at least 2. Layers with no more parameters than that are
        exact nevertheless, as that takes no more products. None is exact for nets of up to
        `max_params` parameters, and takes 100 probes beyond: one squared norm has a relative
        standard deviation of sqrt(2) at most, so that the resonances' standard errors are then
        below about 7% of them, and most are far smaller.
    max_params : int, default=3000
        Number of parameters of all layers up to which None takes the exact way. By default that is
        as many as take two seconds on one core for 300 samples in a fully connected net.
    max_samples : int or None, default=None
        As in `layer_spectra`.
    batch_size : int or None, default=None
        As in `layer_spectra`; results do not depend on it.
    random_state : int, RandomState, Generator or None, default=None
        Seed of sample choice and probes; None means 0.
    device : str or torch.device, default=None
        As in `layer_spectra`.
    dtype : {"float32", "float64"} or None, default="float64"
        Precision; None follows the net, but raises half precisions to float32.

    Returns
    -------
    LayerCoupling
        Resonance, coupling and phi with their standard errors. Norms of blocks that are NaN or
        infinite are NaN, and so is phi then.

    Raises
    ------
    TypeError, ValueError
        As `layer_spectra`; also for fewer than two probes, and for a mapping of layers' own
        functions as scalar, which have no blocks between layers.

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
    n_each = _check(scalar, n_probes, max_params)
    settings = SpectrumSettings(random_state=random_state)
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
        )
        if n_probes is None and sum(b.n_params for b in problem.blocks) <= max_params:
            n_each = math.inf
        generator = torch.Generator().manual_seed(settings.seed)
        known, shares = _squared_norms(problem, n_each, generator)
    return _coupling(tuple(b.name for b in problem.blocks), known, shares)


def _check(scalar, n_probes, max_params):
    """Check what `layer_coupling` alone asks for; return the number of probes of each layer."""
    if isinstance(scalar, Mapping):
        raise ValueError(
            "Expected one function of the net's output as scalar, found a mapping of layers' own "
            "functions, whose Hessians have no blocks between layers. Pass 'loss' or a callable "
            "(output, y) -> 0-d tensor."
        )
    if n_probes is not None and not (isinstance(n_probes, (int, np.integer)) and n_probes >= 2):
        raise ValueError(
            "Expected n_probes to be None or an integer from 2 on, as one probe has no standard "
            f"error, found {n_probes!r}."
        )
    if not isinstance(max_params, (int, np.integer)) or max_params < 0:
        raise ValueError(f"Expected max_params to be an integer from 0 on, found {max_params!r}.")
    return DEFAULT_PROBES if n_probes is None else int(n_probes)


def _squared_norms(problem, n_each, generator):
    """Return squared norms of blocks: those known (L, L), and what each probe adds to others.

    The second is {layer's position: (n_probes, L)}, whose means over the probes, summed over both
    layers of a pair, are the squared norms that are not known.
    """
    blocks = problem.blocks
    products = CrossProducts(problem.whole_products(blocks).scalars, blocks)
    n_params = sum(block.n_params for block in blocks)
    on_cpu = problem.working_copy.device.type == "cpu"
    most = AT_ONCE_ON_CPU if on_cpu else AT_ONCE_ELSEWHERE
    at_once = max(1, min(problem.vectors_at_once(most), MOST_ENTRIES // n_params))
    known, shares = np.zeros((len(blocks), len(blocks))), {}
    few = [i for i, block in enumerate(blocks) if block.n_params <= n_each]
    left = list(range(len(blocks)))
    for i in few:
        names = [blocks[j].name for j in left]
        for vectors in _identity(blocks[i], at_once):
            known[i, left] += products.squared_norms(blocks[i].name, vectors, names).sum(axis=0)
        known[left, i] = known[i, left]
        left.remove(i)
    for i in left:
        names = [blocks[j].name for j in left]
        squares = [
            products.squared_norms(blocks[i].name, vectors, names)
            for vectors in _random_signs(blocks[i], n_each, at_once, generator)
        ]
        shares[i] = np.zeros((n_each, len(blocks)))
        shares[i][:, left] = 0.5 * np.concatenate(squares)
        shares[i][:, i] *= 2.0
    return known, shares


def _identity(block, at_once):
    """Yield the rows of the identity of a block's parameters, some at once."""
    first, p = block.parameters[0], block.n_params
    for start in range(0, p, at_once):
        k = min(at_once, p - start)
        rows = torch.zeros(k, p, dtype=first.dtype, device=first.device)
        rows[torch.arange(k), start + torch.arange(k)] = 1.0
        yield rows


def _random_signs(block, n_probes, at_once, generator):
    """Yield vectors of random signs on a block's parameters, some at once."""
    first = block.parameters[0]
    for start in range(0, n_probes, at_once):
        k = min(at_once, n_probes - start)
        signs = torch.randint(0, 2, (k, block.n_params), generator=generator)
        yield (2 * signs - 1).to(device=first.device, dtype=first.dtype)


def _coupling(names, known, shares):
    """Turn squared norms into resonance, coupling and phi, and spreads into standard errors."""
    squares = known.copy()
    for i, share in shares.items():
        _add(squares, i, share.mean(axis=0))
    squares[~np.isfinite(squares)] = math.nan
    own, total = np.diag(squares), squares.sum()
    resonance_variance, coupling_variance = np.zeros_like(squares), np.zeros_like(squares)
    phi_variance = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where a layer's own block is rounding of zero, so is what it would be divided by.
        resonance = np.sqrt(squares)
        norms = np.sqrt(np.where(own > NEGLIGIBLE**2 * total, own, 0.0))
        coupling = resonance / np.sqrt(norms[:, None] * norms)
        coupling[~np.isfinite(coupling)] = math.nan
        phi = (squares - np.diag(own)).sum() / total
        for i, share in shares.items():
            # To first order, what each probe changes: first in logarithms of squares.
            relative = np.where(squares[i] > 0, share / squares[i], 0.0)
            change = 0.5 * resonance[i] * relative
            _add(resonance_variance, i, _variance_of_mean(change))
            change = coupling[i] * (0.5 * relative - 0.25 * relative[:, [i]])
            change[:, i] = 0.0
            _add(coupling_variance, i, _variance_of_mean(change))
            between = 2 * (share.sum(axis=1) - share[:, i])
            change = ((1 - phi) * between - phi * share[:, i]) / total
            phi_variance += _variance_of_mean(change)
    return LayerCoupling(
        layer_names=names,
        resonance=resonance,
        resonance_error=np.where(np.isnan(resonance), math.nan, np.sqrt(resonance_variance)),
        coupling=coupling,
        coupling_error=np.where(np.isnan(coupling), math.nan, np.sqrt(coupling_variance)),
        phi=float(phi),
        phi_error=math.nan if np.isnan(phi) else float(np.sqrt(phi_variance)),
        method="probes" if shares else "exact",
        n_probes=max((len(share) for share in shares.values()), default=0),
    )


def _add(table, i, row):
    """Add to the row and the column of a layer in a symmetric table."""
    table[i] += row
    table[:, i] += row
    table[i, i] -= row[i]


def _variance_of_mean(values):
    """Estimate the variance of the mean over the first axis."""
    return values.var(axis=0, ddof=1) / len(values)
