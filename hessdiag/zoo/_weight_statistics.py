"""What others read from the weights alone: the inputs of the evaluation's rivals."""

from __future__ import annotations

import numpy as np

from hessdiag.zoo._power_law import fit_power_law

_QUANTILES = (0, 25, 50, 75, 100)
_FLOOR = 1e-12

#: Statistics of each layer after Unterthiner et al. (2020): of its weights and biases as samples,
#: with norms and the spectrum of its weight matrix.
WEIGHT_STATISTICS = (
    *(
        f"{kind}_{name}"
        for kind in ("weights", "biases")
        for name in ("mean", "variance", *(f"quantile_{q}" for q in _QUANTILES))
    ),
    "log_frobenius_norm",
    "log_spectral_norm",
    "log_nuclear_norm",
    *(f"singular_value_quantile_{q}" for q in _QUANTILES[:-1]),
    "stable_rank_fraction",
    "effective_rank_fraction",
)

#: Statistics of each layer that WeightWatcher reports (Martin et al. 2021).
POWER_LAW_STATISTICS = (
    "alpha",
    "alpha_distance",
    "tail_fraction",
    "alpha_weighted",
    "log_alpha_norm",
    "log_norm",
    "log_largest_eigenvalue",
    "stable_rank",
)

_PLACES = {
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
}

#: Names of what `weight_statistics` returns.
RIVAL_NAMES = tuple(
    f"{family}__{place}__{name}"
    for family, names in (("weights", WEIGHT_STATISTICS), ("weightwatcher", POWER_LAW_STATISTICS))
    for place in _PLACES
    for name in names
)


def weight_statistics(module):
    """Measure the weights of a network as its rivals do, pooled over layers to a fixed width.

    A layer is a parameter with at least two axes, as a matrix with a row per output (kernels are
    flattened); its bias is the vector of the same module with as many entries. Normalizations have
    no such parameter and are left out. The first family follows Unterthiner et al. [1]_: mean,
    variance and quantiles (0, 25, 50, 75, 100 %) of weights and of biases; norms; singular values
    in units of the largest. The second is that of WeightWatcher [2]_ for the eigenvalues of
    ``W^T W``: the exponent alpha of their tail, its Kolmogorov-Smirnov distance, the share of
    eigenvalues in the tail, ``alpha log10 lambda_max``, ``log10 sum lambda^alpha``,
    ``log10 ||W||_F^2``, ``log10 lambda_max`` and the stable rank; what needs alpha is NaN in layers
    with fewer than 10 eigenvalues.

    Parameters
    ----------
    module : torch.nn.Module
        A trained network.

    Returns
    -------
    statistics : ndarray of shape (n_names,)
        In the order of `RIVAL_NAMES`: per family, each place (first, last, mean, min, max over
        the layers where the statistic applies) in turn; NaN where it applies to none.

    References
    ----------
    .. [1] Unterthiner et al. (2020). Predicting neural network accuracy from weights.
       arXiv:2002.11448.
    .. [2] Martin, Peng, Mahoney (2021). Predicting trends in the quality of state-of-the-art neural
       networks without access to training or testing data. Nature Communications 12.
    """
    layers = list(_layers(module))
    if not layers:
        return np.full(len(RIVAL_NAMES), np.nan)
    families = [
        np.array([_weight_row(matrix, bias) for matrix, bias in layers]),
        np.array([_power_law_row(matrix) for matrix, _ in layers]),
    ]
    return np.concatenate([_pool(values, pool) for values in families for pool in _PLACES.values()])


def _layers(module):
    """Yield (weight matrix, bias or an empty vector), in the order of registration."""
    for child in module.modules():
        own = [p.detach().double().cpu().numpy() for p in child.parameters(recurse=False)]
        vectors = [values for values in own if values.ndim == 1]
        for values in own:
            if values.ndim >= 2:
                matrix = values.reshape(len(values), -1)
                biases = [vector for vector in vectors if len(vector) == len(matrix)]
                yield matrix, biases[0] if biases else np.empty(0)


def _weight_row(matrix, bias):
    """The statistics of `WEIGHT_STATISTICS`."""
    singular = np.linalg.svd(matrix, compute_uv=False)
    energy = singular**2 / max((singular**2).sum(), _FLOOR)
    entropy = -(energy * np.log(np.maximum(energy, _FLOOR))).sum()
    largest = max(singular[0], _FLOOR)
    return [
        *_sample_row(matrix.ravel()),
        *_sample_row(bias),
        _log10(np.linalg.norm(singular)),
        _log10(largest),
        _log10(singular.sum()),
        *np.percentile(singular / largest, _QUANTILES[:-1]),
        (singular**2).sum() / largest**2 / len(singular),
        np.exp(entropy) / len(singular),
    ]


def _pool(values, pool):
    """Pool each column over the layers where it is finite."""
    columns = [column[np.isfinite(column)] for column in values.T]
    return [pool(column) if len(column) else np.nan for column in columns]


def _sample_row(values):
    """Mean, variance and quantiles; NaN without values."""
    if len(values) == 0:
        return [np.nan] * (2 + len(_QUANTILES))
    return [values.mean(), values.var(), *np.percentile(values, _QUANTILES)]


def _power_law_row(matrix):
    """The statistics of `POWER_LAW_STATISTICS`."""
    eigenvalues = np.linalg.svd(matrix, compute_uv=False) ** 2
    largest, total = max(eigenvalues[0], _FLOOR), eigenvalues.sum()
    tail = fit_power_law(eigenvalues)
    # sum lambda^alpha overflows for steep tails: it is taken relative to the largest.
    log_alpha_norm = tail.alpha * np.log10(largest) + np.log10(
        np.sum((eigenvalues / largest) ** tail.alpha)
    )
    return [
        tail.alpha,
        tail.distance,
        tail.n_tail / len(eigenvalues) if tail.n_tail else np.nan,
        tail.alpha * np.log10(largest),
        log_alpha_norm,
        _log10(total),
        np.log10(largest),
        total / largest,
    ]


def _log10(value):
    """log10 with a floor far below any that matters."""
    return np.log10(max(value, _FLOOR))
