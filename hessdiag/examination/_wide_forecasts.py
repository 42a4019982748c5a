"""What infinitely wide layers forecast between the samples, and how far a net agrees with that.

A net that has memorized its samples and one that generalizes may be alike on those samples; they
differ between them. There a wide layer's kernel regression forecasts the targets, without the very
samples that the place lies between, in place of labels, which do not exist there.
"""

from __future__ import annotations

import numpy as np

from hessdiag.examination._wide_kernel import (
    RIDGES,
    arc_cosine_kernel,
    residuals_of_decomposition,
)

#: Depths of the kernels to choose from: linear, one wide layer, three.
DEPTHS = (0, 1, 3)

#: Least probability that a forecast gives to a class.
FLOOR = 0.01

#: Factors on the outputs that are tried, to see whether the net is over- or underconfident.
TEMPERS = np.exp(np.linspace(np.log(0.02), np.log(2.0), 25))

#: Names of what `compare_classes` and `compare_numbers` return.
COMPARISONS = (
    "distance",
    "agreement",
    "loss",
    "tempered_loss",
    "log_temper",
    "excess",
    "tempering_gain",
    "other_class",
)


class WideForecasts:
    """Kernel ridge regression of the targets, its kernel and ridge chosen by what is left out.

    Of the linear kernel and the arc-cosine kernels of one and three wide layers [1]_, and of ridges
    from 1e-3 to 1e3 of the mean eigenvalue, the pair with the least squared left-out residuals.

    Parameters
    ----------
    inner_products : ndarray of shape (n_samples, n_samples)
        Of the samples' inputs. Their scale does not matter; a bias as strong as they is added.
    targets : ndarray of shape (n_samples, n_targets)
        Targets, one-hot for classes.

    Attributes
    ----------
    depth : int
        Number of wide layers.
    log10_ridge : float
        The ridge, in units of the kernel's mean eigenvalue.
    mean : ndarray of shape (n_targets,)
        Mean of the targets.
    variance : float
        Mean squared distance of the targets from their mean.
    left_out : ndarray of shape (n_samples, n_targets)
        Forecast of each sample's target, minus the mean, by all others.

    References
    ----------
    .. [1] Cho, Saul (2009). Kernel methods for deep learning. NeurIPS.
    """

    def __init__(self, inner_products, targets):
        n = len(targets)
        self.mean = targets.mean(axis=0)
        centred = targets - self.mean
        self.variance = float(np.square(centred).sum() / n)
        scale = np.trace(inner_products) / n
        self._scale = scale if scale > 0 else 1.0
        self._squared_lengths = np.diag(inner_products) / self._scale + 1.0
        products, least = inner_products / self._scale + 1.0, np.inf
        for depth in DEPTHS:
            kernel = arc_cosine_kernel(products, depth)
            ridges = RIDGES * np.trace(kernel) / n
            values, vectors = np.linalg.eigh(kernel)
            values = np.maximum(values, 0.0)
            residuals = residuals_of_decomposition(values, vectors, centred, ridges)
            sizes = np.square(residuals).sum(axis=(1, 2))
            best = int(np.argmin(sizes))
            if sizes[best] < least:
                least = sizes[best]
                self.depth, self.log10_ridge = depth, float(np.log10(RIDGES[best]))
                self.left_out = centred - residuals[best]
                self._precision = (vectors / (values + ridges[best])) @ vectors.T
        self._coefficients = self._precision @ centred

    def at(self, products, squared_lengths, pairs):
        """Forecast targets, minus their mean, at new inputs.

        With M the inverse of the regularized kernel, a = M y, and k the kernel of a new input with
        the samples, the forecast is k'a, and without the samples S it is ``k'a - k'M_S (M_SS)^-1
        a_S``: the block form of the leave-one-out formula.

        Parameters
        ----------
        products : ndarray of shape (n_new, n_samples)
            Inner products of the new inputs with the samples' inputs.
        squared_lengths : ndarray of shape (n_new,)
            Inner products of the new inputs with themselves.
        pairs : ndarray of int of shape (n_new, 2)
            The two samples that each new input lies between; twice the same if it is near one.

        Returns
        -------
        forecasts : ndarray of shape (n_new, n_targets)
            By all samples.
        without : ndarray of shape (n_new, n_targets)
            By all samples but the pair.
        """
        lengths = (squared_lengths / self._scale + 1.0, self._squared_lengths)
        kernel = arc_cosine_kernel(products / self._scale + 1.0, self.depth, lengths)
        forecasts = kernel @ self._coefficients
        first, second = pairs.T
        projected = [np.einsum("ij,ij->i", kernel, self._precision[index]) for index in pairs.T]
        own = [self._precision[index, index] for index in pairs.T]
        # A pair of the same sample is one sample: nothing couples it, and it counts once.
        same = first == second
        both = np.where(same, 0.0, self._precision[first, second])
        determinant = own[0] * own[1] - both**2
        shares = [
            (projected[0] * own[1] - projected[1] * both) / determinant,
            np.where(same, 0.0, (projected[1] * own[0] - projected[0] * both) / determinant),
        ]
        taken = sum(
            share[:, None] * self._coefficients[index]
            for share, index in zip(shares, pairs.T, strict=True)
        )
        return forecasts, forecasts - taken


def compare_numbers(predictions, forecasts, mean, variance, attainable):
    """Compare a net's numbers with forecasts of them.

    Parameters
    ----------
    predictions, forecasts : ndarray of shape (n_inputs, n_targets)
        Of the net, and of the wide layer; forecasts are given minus the mean.
    mean : ndarray of shape (n_targets,)
        Mean of the targets.
    variance : float
        Their variance, the unit of losses.
    attainable : float
        Loss of the wide layer on samples left out, in that unit: what no forecast explains.

    Returns
    -------
    found : dict of str to float
        `COMPARISONS`, see `compare_classes`; losses are squared errors, tempered predictions are
        shrunk towards the mean, and there are no classes (NaN).
    """
    centred = predictions - mean
    found, slope = _agreement(centred, forecasts, variance)
    temper = float(np.clip(slope, 0.02, 1.5))
    loss = found["distance"] + attainable
    tempered = np.square(temper * centred - forecasts).sum() / (variance * len(centred))
    return _losses(found, loss, min(loss, tempered + attainable), temper, attainable, np.nan)


def compare_classes(logits, forecasts, mean, variance, attainable):
    """Compare a net's probabilities with forecasts of the classes.

    Parameters
    ----------
    logits : ndarray of shape (n_inputs, n_classes)
        Of the net.
    forecasts : ndarray of shape (n_inputs, n_classes)
        Of the wide layer, minus the mean; clipped from below at 0.01 and divided by their sum they
        are probabilities q.
    mean : ndarray of shape (n_classes,)
        Frequencies of the classes.
    variance : float
        Variance of the one-hot targets.
    attainable : float
        Loss of the wide layer on samples left out, in units of the entropy of `mean`.

    Returns
    -------
    found : dict of str to float
        With P the net's probabilities, F the forecasts minus the mean, and H the entropy of `mean`:

        - ``distance``: ``mean |P - mean - F|^2 / variance``;
        - ``agreement``: the cosine of ``P - mean`` and F;
        - ``loss``: ``-mean sum_k q_k log P_k / H``, the loss to be expected there;
        - ``tempered_loss``: the least of these with the logits times a factor of 0.02 to 2, and at
          most 1; ``log_temper``: the logarithm of that factor;
        - ``excess``: ``loss`` minus `attainable`; ``tempering_gain``: ``loss`` minus
          ``tempered_loss``;
        - ``other_class``: share of the inputs at which the two name different classes.
    """
    probabilities = np.exp(log_softmax(logits))
    found, _ = _agreement(probabilities - mean, forecasts, variance)
    likely = to_probabilities(forecasts, mean)
    entropy = entropy_of(mean) * len(logits)
    losses = [-(likely * log_softmax(factor * logits)).sum() / entropy for factor in TEMPERS]
    best = int(np.argmin(losses))
    loss = -(likely * log_softmax(logits)).sum() / entropy
    other = np.mean(likely.argmax(axis=1) != logits.argmax(axis=1))
    tempered = min(loss, losses[best], 1.0)
    return _losses(found, loss, tempered, TEMPERS[best], attainable, other)


def to_probabilities(forecasts, mean):
    """Turn forecasts of one-hot targets, minus their mean, into probabilities.

    Parameters
    ----------
    forecasts : ndarray of shape (n_inputs, n_classes)
        Any numbers.
    mean : ndarray of shape (n_classes,)
        Frequencies of the classes.

    Returns
    -------
    probabilities : ndarray of shape (n_inputs, n_classes)
        Rows of sum 1.
    """
    likely = np.maximum(forecasts + mean, FLOOR)
    return likely / likely.sum(axis=1, keepdims=True)


def entropy_of(probabilities):
    """Return the entropy of a distribution in nats.

    Parameters
    ----------
    probabilities : ndarray of shape (n_classes,)
        Of sum 1.

    Returns
    -------
    entropy : float
        0 where one class is certain.
    """
    return float(-(probabilities * np.log(np.maximum(probabilities, 1e-300))).sum())


def log_softmax(logits):
    """Return the logarithms of the probabilities that logits stand for.

    Parameters
    ----------
    logits : ndarray of shape (n_inputs, n_classes)
        Logarithms up to a constant in each row.

    Returns
    -------
    logarithms : ndarray of shape (n_inputs, n_classes)
        At most 0.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _agreement(centred, forecasts, variance):
    """Distance and cosine of predictions and forecasts; slope of the latter on the former."""
    product = (centred * forecasts).sum()
    squares = np.square(centred).sum(), np.square(forecasts).sum()
    found = {
        "distance": np.square(centred - forecasts).sum() / (variance * len(centred)),
        "agreement": product / max(np.sqrt(squares[0] * squares[1]), 1e-12),
    }
    return found, product / max(squares[0], 1e-12)


def _losses(found, loss, tempered, temper, attainable, other):
    """Add what both kinds of targets have in common."""
    return found | {
        "loss": loss,
        "tempered_loss": tempered,
        "log_temper": np.log(temper),
        "excess": loss - attainable,
        "tempering_gain": loss - tempered,
        "other_class": other,
    }
