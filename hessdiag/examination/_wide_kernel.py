"""What a layer of unlimited width would make of the same inputs, sample by sample left out.

The Gauss-Newton matrix of the last layer of a net whose hidden layers are infinitely wide has a
Gram matrix in closed form, the arc-cosine kernel [1]_. Kernel ridge regression with it is what
training that layer converges to, and its predictions for left-out samples are exact and free.
Beside them stands what the net at hand has made of the same samples: what it could still learn
(widening would help), and what it has learned that no other sample supports (it has memorized).

References
----------
.. [1] Cho, Saul (2009). Kernel methods for deep learning. NeurIPS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: Ridges of the regression, in units of the kernel's mean eigenvalue.
RIDGES = 10.0 ** np.arange(-3, 3.5, 0.5)

# How much more than rounding what varies is to be.
BEYOND = 10.0

#: Names of what `wide_kernel_statistics` returns, in its order.
STATISTICS = (
    "attainable_r2",
    "attainable_gap",
    "attainable_r2_linear",
    "attainable_gap_linear",
    "attainable_r2_deep",
    "attainable_gap_deep",
    "attainable_log10_ridge",
    "memorized_share",
    "missed_share",
    "residual_predictability",
    "recoverable_share",
    "prediction_predictability",
    "disagreement",
)


def arc_cosine_kernel(
    kernel: np.ndarray, depth: int = 1, squared_lengths: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Map the kernel of a layer's inputs to that of infinitely wide ReLU layers behind it.

    ``k(x, x') = |x| |x'| (sin t + (pi - t) cos t) / pi`` with t the angle between x and x': twice
    ``E[relu(w x) relu(w x')]`` over standard normal w, so that ``k(x, x) = |x|^2`` [1]_.

    Parameters
    ----------
    kernel : ndarray of shape (n_samples, n_samples) or (n_rows, n_columns)
        Inner products of the inputs.
    depth : int, default=1
        Number of layers.
    squared_lengths : tuple of ndarray of shape (n_rows,) and (n_columns,), or None, default=None
        Inner products of each row's, and each column's, input with itself; None takes the diagonal.

    Returns
    -------
    kernel : ndarray of the same shape
        Inner products behind the last of them.

    References
    ----------
    .. [1] Cho, Saul (2009). Kernel methods for deep learning. NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdiag.examination import arc_cosine_kernel
    >>> arc_cosine_kernel(np.eye(2)).round(3).tolist()
    [[1.0, 0.318], [0.318, 1.0]]
    """
    if squared_lengths is None:
        squared_lengths = (np.diag(kernel), np.diag(kernel))
    # A layer keeps the lengths.
    products = np.outer(*(np.sqrt(np.maximum(squared, 0.0)) for squared in squared_lengths))
    for _ in range(depth):
        cosines = kernel / np.maximum(products, 1e-300)
        np.clip(cosines, -1.0, 1.0, out=cosines)
        # In place, as this is most of the time where samples are a thousand.
        found = np.arccos(cosines)
        np.subtract(np.pi, found, out=found)
        found *= cosines
        sines = 1.0 - cosines
        cosines += 1.0
        sines *= cosines
        found += np.sqrt(sines, out=sines)
        found *= products
        found /= np.pi
        kernel = found
    return kernel


def left_out_residuals(kernel: np.ndarray, targets: np.ndarray, ridges: ArrayLike) -> np.ndarray:
    """Give what kernel ridge regression on all other samples leaves of each sample's targets.

    With ``K = U diag(w) U'`` and ``d = ridge / (w + ridge)``, the residual of sample n without it
    is ``(U d U' y)_n / (U d U')_nn`` [1]_.

    Parameters
    ----------
    kernel : ndarray of shape (n_samples, n_samples)
        Symmetric, positive semi-definite.
    targets : ndarray of shape (n_samples, n_targets)
        What is regressed; centre it first, as there is no intercept.
    ridges : array-like of shape (n_ridges,)
        Positive ridges.

    Returns
    -------
    residuals : ndarray of shape (n_ridges, n_samples, n_targets)
        Targets minus predictions.

    References
    ----------
    .. [1] Allen (1974). The relationship between variable selection and data augmentation and a
       method for prediction. Technometrics 16(1).

    Examples
    --------
    >>> import numpy as np
    >>> from hessdiag.examination import left_out_residuals
    >>> left_out_residuals(np.eye(2), np.array([[1.0], [-1.0]]), [0.5])[0].tolist()
    [[1.0], [-1.0]]
    """
    values, vectors = np.linalg.eigh(kernel)
    return residuals_of_decomposition(np.maximum(values, 0.0), vectors, targets, ridges)


def residuals_of_decomposition(values, vectors, targets, ridges):
    """Give `left_out_residuals` by a kernel that is decomposed already.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Eigenvalues, not negative.
    vectors : ndarray of shape (n_samples, n_samples)
        Eigenvectors, one in each column.
    targets : ndarray of shape (n_samples, n_targets)
        What is regressed.
    ridges : array-like of shape (n_ridges,)
        Positive ridges.

    Returns
    -------
    residuals : ndarray of shape (n_ridges, n_samples, n_targets)
        Targets minus predictions.
    """
    shrinkage = np.asarray(ridges)[:, None] / (values + np.asarray(ridges)[:, None])
    kept = vectors @ (shrinkage[:, :, None] * (vectors.T @ targets))
    diagonal = shrinkage @ np.square(vectors).T
    return kept / np.maximum(diagonal, 1e-300)[:, :, None]


def wide_kernel_statistics(
    inner_products: np.ndarray,
    targets: np.ndarray,
    predictions: np.ndarray,
    rounding: float = 0.0,
) -> dict[str, float]:
    """Compare what a net has made of its samples with what a wide one would make of them left out.

    Parameters
    ----------
    inner_products : ndarray of shape (n_samples, n_samples)
        Of a layer's inputs; their scale does not matter. A bias as strong as the inputs is added.
    targets : ndarray of shape (n_samples, n_targets)
        Targets, one-hot for classes.
    predictions : ndarray of shape (n_samples, n_targets)
        The net's predictions in the same coordinates: probabilities for classes.
    rounding : float, default=0.0
        Length of what rounding adds to the predictions of all samples: predictions, and residuals,
        that vary by some ten times that count as constant.

    Returns
    -------
    statistics : dict of str to float
        With Y the targets, Yc the centred ones, P the predictions and F the left-out predictions of
        Yc by the wide kernel at its best ridge:

        - ``attainable_r2``: ``1 - |Yc - F|^2 / |Yc|^2``; ``attainable_r2_linear`` and
          ``attainable_r2_deep`` the same for the linear kernel and for three wide layers;
        - ``attainable_gap``: ``attainable_r2`` minus the net's own ``1 - |Y - P|^2 / |Yc|^2`` on
          its training samples; negative where it fits more than can be known;
          ``attainable_gap_linear`` and ``attainable_gap_deep`` likewise;
        - ``memorized_share``: sum over samples of ``max(0, |Yc - F|_n^2 - |Y - P|_n^2) / |Yc|^2``,
          and ``missed_share``: the same with the signs reversed;
        - ``residual_predictability``: ``1 - |R - G|^2 / |R|^2`` for the net's centred residuals
          R = Y - P and their left-out predictions G, at the best ridge; ``recoverable_share``: the
          same times ``|R|^2 / |Yc|^2``;
        - ``prediction_predictability``: the same for the net's own centred predictions;
        - ``disagreement``: ``|P - mean Y - F|^2 / |Yc|^2``;
        - ``attainable_log10_ridge``: the best ridge in units of the kernel's mean eigenvalue.

        All are NaN where targets do not vary or an entry is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdiag.examination import wide_kernel_statistics
    >>> x = np.linspace(-1.0, 1.0, 20)[:, None]
    >>> found = wide_kernel_statistics(x @ x.T, x**2, np.full((20, 1), np.mean(x**2)))
    >>> found["attainable_gap"] > 0.9
    True
    """
    centred = targets - targets.mean(axis=0)
    total = np.square(centred).sum()
    scale = np.trace(inner_products) / len(inner_products)
    arrays = (inner_products, targets, predictions)
    if len(targets) < 3 or not all(np.isfinite(a).all() for a in arrays) or total <= 0:
        return dict.fromkeys(STATISTICS, np.nan)
    kernel = inner_products / (scale if scale > 0 else 1.0) + 1.0
    residuals = targets - predictions
    own = np.square(residuals).sum(axis=1)
    fitted = 1.0 - own.sum() / total
    wanted = [centred, residuals - residuals.mean(axis=0), predictions - predictions.mean(axis=0)]
    found = {}
    for name, depth in (("_linear", 0), ("_deep", 3), ("", 1)):
        wide = arc_cosine_kernel(kernel, depth)
        ridges = RIDGES * np.trace(wide) / len(wide)
        columns = np.hstack(wanted if depth == 1 else wanted[:1])
        left = left_out_residuals(wide, columns, ridges)
        left = np.split(left, columns.shape[1] // centred.shape[1], axis=2)
        sizes = [np.square(part).sum(axis=(1, 2)) for part in left]
        best = int(np.argmin(sizes[0]))
        found[f"attainable_r2{name}"] = 1.0 - sizes[0][best] / total
        found[f"attainable_gap{name}"] = found[f"attainable_r2{name}"] - fitted
    left_out = np.square(left[0][best]).sum(axis=1)
    rest, spread = np.square(wanted[1]).sum(), np.square(wanted[2]).sum()
    least = (BEYOND * rounding) ** 2
    predictability = 1.0 - sizes[1].min() / rest if rest > least else 0.0
    forecast = centred - left[0][best]
    found |= {
        "attainable_log10_ridge": float(np.log10(RIDGES[best])),
        "memorized_share": np.maximum(left_out - own, 0.0).sum() / total,
        "missed_share": np.maximum(own - left_out, 0.0).sum() / total,
        "residual_predictability": predictability,
        "recoverable_share": predictability * rest / total,
        "prediction_predictability": 1.0 - sizes[2].min() / spread if spread > least else 0.0,
        "disagreement": np.square(predictions - targets.mean(axis=0) - forecast).sum() / total,
    }
    return {name: float(found[name]) for name in STATISTICS}
